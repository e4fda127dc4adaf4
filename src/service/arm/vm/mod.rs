//! Virtual machines and their network interfaces.

pub(super) mod identity;
pub(super) mod interfaces;
pub(super) mod machines;
pub(super) mod plan;
mod profile;
