//! The text of results on a terminal.

mod attempts;
mod heading;
pub(crate) mod layout;
pub(crate) mod merged;
pub(crate) mod pauses;
pub(crate) mod statement;
pub(crate) mod table;
mod undisturbed;
