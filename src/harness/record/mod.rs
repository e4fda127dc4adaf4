//! Records of a run: latencies, counts, sampled answers, and the broker's own counters.

pub mod blocks;
pub mod broker_counters;
pub mod collector;
pub mod intervals;
pub mod measured;
pub mod observer;
pub mod recorder;
pub mod sample;
pub mod self_report;
pub mod tally;
pub mod witness;
pub mod writes;
