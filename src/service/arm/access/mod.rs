//! Role assignments and role definitions.

pub(super) mod assignments;
pub(super) mod definitions;
