//! Capacity planning: the capacity of a broker within an objective, and the demand of a fleet.
//!
//! [`search`] finds the highest rate that meets an objective. Its caller measures the levels, so the
//! search is a pure function that simulated servers can test. [`fit`] turns levels into costs: core time
//! for each hit and each mint. [`simulate`] plays a day and a boot storm of a fleet with these costs.
//! [`forecast`] combines both; [`answer`] and [`sentences`] put the result into words.

pub mod answer;
pub mod fit;
pub mod fleet_file;
pub mod forecast;
pub mod held_out;
pub mod level;
pub mod plan_json;
pub mod search;
pub mod sentences;
pub mod simulate;
