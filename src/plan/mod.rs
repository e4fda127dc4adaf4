//! Capacity: what a broker can do within an objective, and what a fleet asks of it.
//!
//! [`search`] finds the highest rate that meets an objective; who measures a level is its caller's
//! choice, so that the search is a pure function and simulated servers test it. [`fit`] turns levels
//! into costs: time of a core for each hit and each mint. [`simulate`] plays a day and a storm of a
//! fleet with these costs. [`forecast`] puts the two together, [`answer`] and [`sentences`] say it.

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
