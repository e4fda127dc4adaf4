//! A run from start to end: a broker of its own, changes under load, progress and counters.

pub mod broker_counters;
pub mod changes;
pub mod interleaved;
pub mod progress;
pub mod run;
pub mod self_report;
pub mod serve_process;
