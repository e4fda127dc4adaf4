//! What the records mean: checks of the answers, steady state and validity.

pub mod checks;
pub mod conditions;
pub mod cut;
pub(crate) mod failure;
pub mod ledger;
pub mod steady_state;
pub mod validity;
pub mod verify;
