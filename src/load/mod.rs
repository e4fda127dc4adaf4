//! The open-loop load generator.
//!
//! Requests start at the times of a seeded [`schedule`], never when an answer arrives. Each
//! generator thread paces itself (sleep, then spin), drives its own connections and takes four
//! times of every request: *response* from the intended start, *service* from the write, *lag* from
//! the intended start to the moment the generator noticed it, *queue* from that moment to the
//! write. Nothing is skipped: a request that cannot be sent in time is sent late, with its intended
//! time kept.
//!
//! The module knows token endpoints over the network only, and the synthetic world as a pure rule.

pub mod blocks;
pub mod board;
pub mod cause;
pub mod changes;
pub mod checks;
pub mod class;
pub mod collector;
pub mod conditions;
mod connection;
pub mod cores;
pub mod course;
pub mod cut;
mod dial;
pub mod doctor;
mod failure;
mod fetch;
pub mod fleet;
mod generator;
pub mod host;
pub mod layout;
pub mod metrics;
pub mod mix;
pub mod pacing;
pub mod phases;
pub mod plan;
mod pool;
pub mod profile;
pub mod protocol;
pub mod recorder;
pub mod replay;
mod request;
mod response;
pub mod sample;
pub mod schedule;
pub mod self_report;
pub mod serve_process;
pub mod session;
mod shared;
pub mod stop;
mod tally;
pub mod target;
mod transport;
pub mod trust;
pub mod turns;
pub mod validity;
pub mod verify;
pub mod workload;
pub mod woven;
