//! A request to stop, and the child process that must not outlive it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// Shared by whoever hears signals and whoever works; nothing is published through its flags.
#[derive(Debug, Default)]
pub struct Stop {
    requested: AtomicBool,
    /// The process id of the broker, 0 while there is none.
    child: AtomicI32,
}

/// Whether a request to stop is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// It is.
    First,
    /// Somebody is in a hurry.
    Repeated,
}

impl Stop {
    /// Asks everybody to stop in order.
    pub fn request(&self) -> Request {
        let before = self.requested.swap(true, Ordering::Relaxed);
        if before { Request::Repeated } else { Request::First }
    }

    /// Whether anybody asked.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Kills the child, if there is one: for a process that is about to end without its drops.
    pub fn kill_child(&self) {
        if let Some(pid) = Pid::from_raw(self.child.load(Ordering::Relaxed)) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }

    /// Names the child, or takes its name back once it was reaped.
    pub(super) fn set_child(&self, child: Option<Pid>) {
        self.child.store(Pid::as_raw(child), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_request_is_first() {
        let stop = Stop::default();
        assert!(!stop.is_requested());
        assert_eq!((stop.request(), stop.request()), (Request::First, Request::Repeated));
        assert!(stop.is_requested());
    }
}
