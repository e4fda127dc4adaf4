//! A fleet without the fleet: discrete events instead of requests.
//!
//! [`node`] is one broker process: cores, worker threads, mint lanes, a bounded mint queue. [`client`]
//! is what real software development kits do when they are refused. [`window`] plays some seconds of
//! one node at full detail; [`day`] plays a day of every key of the fleet without queues, which needs
//! no clock that they share. All of it is seeded.

pub mod backlog;
pub mod client;
pub mod day;
pub mod estimate;
pub mod node;
pub mod service;
pub mod window;
