//! Judgement of the records: checks of the answers, steady state, validity and objectives.

pub(crate) mod advice;
pub mod changes;
pub mod checks;
pub mod conditions;
pub mod decision;
pub mod failure;
pub mod gap_fit;
pub mod ledger;
pub(crate) mod notes;
pub mod objective;
pub mod outcome;
pub mod ruling;
pub mod standing;
pub mod steady_state;
pub mod throttle;
pub mod undisturbed;
pub mod validity;
pub mod verify;
