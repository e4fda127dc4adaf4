//! Verdicts on counted work: does a candidate do more for a request than the base?
//!
//! Instructions, allocations and system calls do not depend on the speed of the machine or on its neighbours, so
//! a few hundred requests show what minutes of measured times cannot. Times say more: a cache miss and a wait
//! for a lock cost time and few instructions. `docs/adr/0021-counted-work.md` explains the rules.

pub(crate) mod allowance;
pub(crate) mod counting;
pub(crate) mod document;
mod figures;
mod idle;
mod judge;
pub(crate) mod junit;
mod load;
pub(crate) mod markdown;
pub(crate) mod profile;
pub(crate) mod server;
pub(crate) mod text;
pub(crate) mod trace;
pub(crate) mod valgrind;
