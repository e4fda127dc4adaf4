//! A run from start to end: a broker of its own, changes under load, progress and counters.

pub mod changes;
pub mod error;
pub mod interleaved;
pub mod progress;
pub mod run;
pub mod serve_process;
pub mod subject;
