//! The documents that mintbench writes, one type each.
//!
//! [`report`](super::report), `gate` and `plan` make and read them. The
//! schemas in `docs/schema/` are generated from these types: the doc comments here are their
//! descriptions.

pub mod compare;
pub mod compare_targets;
pub mod count;
pub mod doctor;
pub mod extra;
pub mod find_max;
pub mod gate;
pub mod host;
pub mod metric;
pub mod percentiles;
pub mod plan;
pub mod run;
#[cfg(test)]
mod tests;
