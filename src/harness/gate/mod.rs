//! Verdicts on a candidate build: is it slower than the base?
//!
//! The gate judges pairs of legs (short runs of the two builds, side by side) and does not depend on how
//! they were made. It *fails* if the candidate is slower beyond doubt, *passes* if a slow-down of the
//! limit is excluded, and *cannot tell* otherwise. The legs may also be no evidence; then the gate is
//! *invalid*. A gate may also count the work of both builds instead of measuring times: see `count`.
//! `docs/adr/0007-gate-verdicts.md` and `docs/adr/0008-disturbed-hosts.md` explain the rules.

pub(crate) mod baseline;
pub(crate) mod count;
pub(crate) mod document;
pub(crate) mod evidence;
mod figures;
pub(crate) mod judge;
pub(crate) mod junit;
pub(crate) mod leg;
pub(crate) mod markdown;
pub(crate) mod metric;
pub(crate) mod policy;
pub(crate) mod required;
mod sentence;
pub(crate) mod text;

#[cfg(test)]
mod tests;
