//! Return of free memory to the system.
//!
//! The allocator of the C library keeps the memory of ended connections. Their pieces lie between pieces that
//! are still in use. 5,000 connections from one caller left 120 MB until the process ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::http::ConnectionLimiter;
use crate::base::process::return_free_memory;

/// Interval between two checks for free memory.
const ROUND: Duration = Duration::from_secs(10);

/// The thread that returns free memory; ends when dropped. It keeps its normal priority, because it holds a
/// lock of the allocator while it works.
#[derive(Debug)]
pub(super) struct Trimmer {
    /// Dropping this sender wakes the thread and ends it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Trimmer {
    pub(super) fn start(limiters: Vec<Arc<ConnectionLimiter>>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("trimmer".to_owned());
        let thread = thread.spawn(move || run_rounds(&limiters, &stopped))?;
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

fn run_rounds(limiters: &[Arc<ConnectionLimiter>], stopped: &Receiver<()>) {
    while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        // Every limiter is asked, because each call starts a new count.
        if limiters.iter().filter(|limiter| limiter.has_receded()).count() > 0 {
            return_free_memory();
        }
    }
}
