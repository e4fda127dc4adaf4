//! The gate: is the candidate slower than the base?
//!
//! Judges pairs of legs (short runs of the two builds, side by side) and knows nothing of how they
//! came about. A verdict is one of three: *fail* where the candidate is slower beyond doubt, *pass*
//! where a slow-down of the limit is excluded, *cannot tell* else. The rules and the reasons for them
//! are in `docs/adr/0007-gate-verdicts.md` and `docs/adr/0008-disturbed-hosts.md`.

pub mod baseline;
pub mod document;
pub mod evidence;
pub mod judge;
pub mod junit;
pub mod leg;
pub mod markdown;
pub mod metric;
pub mod policy;
mod sentence;
pub mod text;

#[cfg(test)]
mod tests;
