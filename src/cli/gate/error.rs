//! Reasons why a leg of a gate has no result.

use std::error::Error;

use crate::harness::gate::leg::{Leg, Pair, Side};
use crate::harness::scenario::spec::SpecError;
use crate::harness::session::error::SessionError;

/// Reason why a leg has no result.
#[derive(Debug, thiserror::Error)]
pub(super) enum LegError {
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("pair {pair}: the {} could not be measured", side.as_str())]
    Session { side: Side, pair: usize, source: SessionError },
}

impl LegError {
    /// Returns true if the candidate died under load. This is a failed check, not a mistake of the user.
    pub(super) const fn blames_candidate(&self) -> bool {
        matches!(
            self,
            Self::Session {
                side: Side::Candidate,
                source: SessionError::Counters(_) | SessionError::Died(_),
                ..
            }
        )
    }

    /// Returns pair number `number` as evidence against a candidate that died under load.
    pub(super) fn evidence(&self, seed: u64, number: usize) -> Pair {
        let unmeasured = || Leg { reasons: vec!["not measured".to_owned()], ..Leg::default() };
        let candidate = Leg { failures: vec![causes(self)], ..unmeasured() };
        Pair::apart(seed, Side::first_of(number), unmeasured(), candidate)
    }
}

/// Returns the causes of `error`, whose own text only names the side.
fn causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| (**cause).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
