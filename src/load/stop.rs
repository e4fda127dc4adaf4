//! A request to stop, and the child processes that must not outlive it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// Shared by whoever hears signals and whoever works; nothing is published through its flags.
#[derive(Debug, Default)]
pub struct Stop {
    requested: AtomicBool,
    /// Process ids, 0 where there is none.
    children: [AtomicI32; CHILDREN_MAX],
}

/// Two brokers to compare, each with a token service of its own.
const CHILDREN_MAX: usize = 4;

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

    /// Kills the children, if there are any: for a process that is about to end without its drops.
    pub fn kill_children(&self) {
        for child in &self.children {
            if let Some(pid) = Pid::from_raw(child.load(Ordering::Relaxed)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }

    /// Names a child. One too many is not known here, and ends with its owner's drop only.
    pub(super) fn add_child(&self, child: Pid) {
        self.swap(0, child.as_raw_nonzero().get());
    }

    /// Takes its name back once it was reaped: its id may soon be another's.
    pub(super) fn remove_child(&self, child: Pid) {
        self.swap(child.as_raw_nonzero().get(), 0);
    }

    /// Puts one id in the place of another, in the first place where that is.
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
