//! The open-loop load generator, its judgement, and the commands that build on both.
//!
//! Requests start at the times of a seeded [`schedule`], never when an answer arrives. The harness reaches
//! a target over the network only.

pub mod class;
pub mod dialect;
pub mod doctor;
pub mod document;
pub mod driver;
pub(crate) mod find_max;
pub(crate) mod gate;
pub mod judge;
pub mod machine;
pub mod nanos;
pub(crate) mod plan;
pub mod record;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod session;
pub mod stats;
