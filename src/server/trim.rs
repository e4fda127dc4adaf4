//! Gives memory that is free inside the process back to the system.
//!
//! The allocator of the C library keeps what thousands of ended connections leave: their pieces lie between
//! others that live. 5,000 connections from one caller left 120 MB until the process ended.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::machine::{resident_bytes, return_free_memory};

/// How often the memory is looked at.
const ROUND: Duration = Duration::from_secs(10);

/// Growth since the last time that is not worth a walk through the free lists.
const GROWTH_BYTES_MIN: u64 = 4 * 1024 * 1024;

/// The thread that does it; ends when dropped. It does not give way to others, as it holds a lock of the
/// allocator while it works.
#[derive(Debug)]
pub(super) struct Trimmer {
    /// Dropping it wakes the thread and ends it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Trimmer {
    pub(super) fn start() -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("trimmer".to_owned());
        let thread = thread.spawn(move || go_round(&stopped))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Trimmer {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn go_round(stopped: &Receiver<()>) {
    let mut floor_bytes = u64::MAX;
    while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        let Some(now_bytes) = resident_bytes() else { return };
        floor_bytes = floor_bytes.min(now_bytes);
        if has_grown(floor_bytes, now_bytes) {
            return_free_memory();
            floor_bytes = resident_bytes().unwrap_or(now_bytes);
        }
    }
}

/// Whether the process has grown by a tenth.
fn has_grown(floor_bytes: u64, now_bytes: u64) -> bool {
    now_bytes.saturating_sub(floor_bytes) > (floor_bytes / 10).max(GROWTH_BYTES_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_tenth_more_memory_is_worth_a_look_and_a_little_more_is_not() {
        assert!(has_grown(100 * MIB, 111 * MIB) && !has_grown(100 * MIB, 110 * MIB));
        assert!(has_grown(10 * MIB, 15 * MIB) && !has_grown(10 * MIB, 14 * MIB));
        assert!(!has_grown(20 * MIB, 10 * MIB));
    }
}
