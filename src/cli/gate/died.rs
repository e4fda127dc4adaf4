//! Handles a candidate that died under load: this fails a check of its pair and does not end the gate.

use std::error::Error;

use super::legs::{LegError, Legs};
use crate::harness::gate::leg::{Leg, Pair, Side};

/// Returns pair number `number` as evidence against the candidate.
///
/// # Errors
/// Returns `error` itself if the candidate did not cause it.
pub(super) fn pair(error: LegError, legs: &Legs<'_>, number: usize) -> Result<Pair, LegError> {
    // Failures after a request to stop are caused by that request.
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

/// Returns the causes of `error`, whose own text only names the side.
fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
