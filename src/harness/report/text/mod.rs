//! The text of results on a terminal.

mod heading;
pub(crate) mod layout;
pub(crate) mod merged;
pub(super) mod pauses;
pub(super) mod statement;
pub(crate) mod table;
mod undisturbed;
