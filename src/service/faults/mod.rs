//! Faults on purpose: refused, slow, cut or wrong answers, for tests of clients.
//!
//! A [`FaultPlan`] has rules. The first rule that applies to a request decides what happens to its answer. Which
//! requests of a caller are hit depends on the seed of the plan and on their order, and on no other caller.
//!
//! Without a plan, a request costs one look at a flag. Waits end when the plan is replaced and when the server
//! stops.

mod asked;
mod choice;
mod delivery;
mod document;
mod injector;
mod refusal;
mod source;
mod target;
mod wait;

pub(crate) use asked::Asked;
pub(crate) use document::{Endpoint, FaultPlan, PlanError};
pub(crate) use injector::{Faults, PlanRefused};
pub(crate) use source::FaultySource;
pub(crate) use target::{Faulty, Target};
