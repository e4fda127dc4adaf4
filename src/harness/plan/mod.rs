//! Capacity planning: the capacity of a broker within an objective, and the demand of a fleet.
//!
//! [`search`] finds the highest rate that meets an objective. Its caller measures the levels, so the
//! search is a pure function that simulated servers can test. [`fit`] turns levels into costs: core time
//! for each hit and each mint. [`cost_interval`] says how much these vary. [`simulate`] plays a day and a
//! boot storm of a fleet with these costs. [`forecast`] combines both; [`answer`] and [`sentences`] put
//! the result into words.

pub(crate) mod answer;
pub(crate) mod core_use;
pub(crate) mod cost_interval;
pub(crate) mod fit;
pub(crate) mod fleet_file;
pub(crate) mod forecast;
pub(crate) mod held_out;
pub(crate) mod level;
pub(crate) mod plan_json;
pub(crate) mod search;
pub(crate) mod sentences;
pub(crate) mod simulate;
pub(crate) mod throttle;
