//! A stop request, and the child processes that must not outlive it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// The stop state, shared by signal handlers and workers. Its flags publish no other data.
#[derive(Debug, Default)]
pub struct Stop {
    requested: AtomicBool,
    /// Process ids of the children; 0 marks a free place.
    children: [AtomicI32; CHILDREN_MAX],
}

/// The most child processes: two brokers to compare, each with a token service of its own.
const CHILDREN_MAX: usize = 4;

/// The order of a stop request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The first request.
    First,
    /// A further request, from a user who does not want to wait.
    Repeated,
}

impl Stop {
    /// Asks all workers to stop in order.
    pub fn request(&self) -> Request {
        let before = self.requested.swap(true, Ordering::Relaxed);
        if before { Request::Repeated } else { Request::First }
    }

    /// Returns true if a stop was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }

    /// Kills the children, for a process that is about to end without running its drops.
    pub fn kill_children(&self) {
        for child in &self.children {
            if let Some(pid) = Pid::from_raw(child.load(Ordering::Relaxed)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Registers a child. A child beyond the limit is not registered; only its owner's drop ends
    /// it.
    pub(crate) fn add_child(&self, child: Pid) {
        self.swap(0, child.as_raw_nonzero().get());
    }

    /// Removes a child that was reaped, because its id may soon belong to another process.
    pub(crate) fn remove_child(&self, child: Pid) {
        self.swap(child.as_raw_nonzero().get(), 0);
    }

    /// Replaces the first `from` in the list by `to`.
    fn swap(&self, from: i32, to: i32) {
        let relaxed = Ordering::Relaxed;
        let _ = self
            .children
            .iter()
            .find(|child| child.compare_exchange(from, to, relaxed, relaxed).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_come_and_go_in_any_order() {
        let stop = Stop::default();
        let pid = |id| Pid::from_raw(id).unwrap();
        let known = || stop.children.each_ref().map(|child| child.load(Ordering::Relaxed));
        stop.add_child(pid(7));
        stop.add_child(pid(8));
        stop.remove_child(pid(7));
        assert_eq!(known(), [0, 8, 0, 0]);
        stop.add_child(pid(9));
        stop.remove_child(pid(5));
        assert_eq!(known(), [9, 8, 0, 0]);
    }

    #[test]
    fn only_the_first_request_is_first() {
        let stop = Stop::default();
        assert!(!stop.is_requested());
        assert_eq!((stop.request(), stop.request()), (Request::First, Request::Repeated));
        assert!(stop.is_requested());
    }
}
