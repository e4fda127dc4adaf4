//! Discrete-event simulation of a fleet.
//!
//! [`node`] is one broker process: cores, worker threads, mint lanes, a bounded mint queue. [`client`]
//! holds the retries and refreshes of real software development kits. [`window`] simulates some seconds
//! of one node in full detail. [`day`] simulates a day of every key of the fleet without queues, so its
//! keys need no common clock. Everything is seeded.

pub(crate) mod backlog;
pub(crate) mod client;
pub(crate) mod day;
pub(crate) mod estimate;
pub(crate) mod node;
pub(crate) mod service;
pub(crate) mod window;
