//! Definition of a run before it is planned.
//!
//! A scenario file fills a [`RunSpec`]. Flags, environment variables and other commands change its fields.
//! [`RunSpec::resolve`] checks it and turns it into a plan, in which everything is decided.

mod bounds;
mod catalog;
mod format;
mod read;
mod refusal;
mod resolve;
mod run_spec;
mod shortfall;

pub(crate) use self::bounds::{CHANGES_MAX, LENGTH_MIN};
pub(crate) use self::catalog::{Scenario, UnknownScenario};
pub(crate) use self::refusal::{ScenarioError, SpecError};
pub(crate) use self::resolve::{ProcessLimits, Resolved};
pub(crate) use self::run_spec::{ChangeSpec, Herd, Rate, RunSpec, World};

#[cfg(test)]
mod tests;
