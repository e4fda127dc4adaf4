//! The documents that mintbench writes, one type each.
//!
//! Those who measure make them, those who report read them, and `docs/schema/` describes them: the
//! doc comments here are the descriptions there.

pub mod compare;
pub mod compare_targets;
pub mod doctor;
pub mod extra;
pub mod gate;
pub mod host;
pub mod metric;
pub mod percentiles;
pub mod plan;
pub mod run;
#[cfg(test)]
mod tests;
