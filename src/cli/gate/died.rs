//! A candidate that ended under load: a failed check of its pair, and no end of the gate.

use std::error::Error;

use super::legs::{LegError, Legs};
use crate::gate::leg::{Leg, Pair, Side};

/// The pair number `number` as evidence against the candidate.
///
/// # Errors
/// `error` itself, where it is not the candidate's.
pub(super) fn pair(error: LegError, legs: &Legs<'_>, number: usize) -> Result<Pair, LegError> {
    // What fails once the gate is to end fails because of that.
    if !error.blames_candidate() || legs.stop.is_requested() {
        return Err(error);
    }
    let unmeasured = || Leg { reasons: vec!["not measured".to_owned()], ..Leg::default() };
    Ok(Pair {
        seed: legs.plan(number)?.seed,
        first: Side::first_of(number),
        base: unmeasured(),
        candidate: Leg { failures: vec![causes(&error)], ..unmeasured() },
        cpu_by_turn: Vec::new(),
    })
}

/// What lies under `error`, which itself says only whose it is.
fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
