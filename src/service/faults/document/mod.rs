//! The document with the faults of a server: TOML or JSON, in a file or in a request to the admin endpoint.

mod check;
mod fields;
mod parse;
mod plan;
#[cfg(test)]
mod tests;

pub(crate) use parse::PlanError;
pub(crate) use plan::{Endpoint, FaultPlan};
pub(super) use plan::{Fault, Rule};
