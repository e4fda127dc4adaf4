//! What the records mean: checks of the answers, steady state and validity.

pub mod checks;
pub mod conditions;
pub mod cut;
mod failure;
pub mod ledger;
pub mod objective;
pub mod steady_state;
pub mod validity;
pub mod verify;
