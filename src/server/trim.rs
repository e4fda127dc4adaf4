//! Gives memory that is free inside the process back to the system.
//!
//! The allocator of the C library keeps what thousands of ended connections leave: their pieces lie between
//! others that live. 5,000 connections from one caller left 120 MB until the process ended.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::http::Gate;
use crate::machine::return_free_memory;

/// How often it is looked whether much has become free.
const ROUND: Duration = Duration::from_secs(10);

/// The thread that does it; ends when dropped. It does not give way to others, as it holds a lock of the
/// allocator while it works.
#[derive(Debug)]
pub(super) struct Trimmer {
    /// Dropping it wakes the thread and ends it.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Trimmer {
    pub(super) fn start(gates: Vec<Arc<Gate>>) -> std::io::Result<Self> {
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("trimmer".to_owned());
        let thread = thread.spawn(move || go_round(&gates, &stopped))?;
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

fn go_round(gates: &[Arc<Gate>], stopped: &Receiver<()>) {
    while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
        // Each is asked: the answer begins a new count.
        if gates.iter().filter(|gate| gate.has_receded()).count() > 0 {
            return_free_memory();
        }
    }
}
