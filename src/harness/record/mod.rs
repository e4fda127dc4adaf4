//! What was seen: latencies, counts, causes of failures and sampled answers.

pub mod blocks;
pub mod cause;
pub mod collector;
pub(crate) mod observer;
pub mod recorder;
pub mod sample;
pub mod status;
pub(crate) mod tally;
