//! The conditions of a plan, and those that a number of nodes misses.

use super::Situation;
use crate::harness::plan::simulate::estimate::Estimate;

/// Simulated situation of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Case {
    /// The busiest minute of the day.
    Busiest,
    /// The moment after nodes are lost.
    Lost,
    /// The boot storm.
    Storm,
    /// The boot storm with nodes lost.
    StormLost,
}

impl Case {
    /// All cases, in the order of the table.
    pub(crate) const ALL: [Self; 4] = [Self::Busiest, Self::Lost, Self::Storm, Self::StormLost];

    /// Returns the name of the case for tables and messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Busiest => "busiest minute",
            Self::Lost => "nodes lost",
            Self::Storm => "boot storm",
            Self::StormLost => "boot storm, nodes lost",
        }
    }

    const fn is_storm(self) -> bool {
        matches!(self, Self::Storm | Self::StormLost)
    }
}

/// Limits that a situation must meet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Limit of the objective's percentile, in milliseconds.
    pub(super) limit_ms: f64,
    /// Limit of the p99 of the time to a token in a storm, in milliseconds.
    pub(super) storm_p99_ms: f64,
}

/// Condition that is not met.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub(crate) enum Missed {
    /// The cores are busier than the target allows.
    #[error(
        "{:.1} % of the cores' time is used after the loss, the target is {:.1} %",
        used * 100.0, target * 100.0
    )]
    Target { used: f64, target: f64 },
    /// Requests are answered with status 503.
    #[error("{}: {:.3} % of the requests are answered 503", case.as_str(), share * 100.0)]
    Refused { case: Case, share: f64 },
    /// Callers end without a token.
    #[error("{}: {:.3} % of the callers end without a token", case.as_str(), share * 100.0)]
    GaveUp { case: Case, share: f64 },
    /// A queue of mints or requests grows without end.
    #[error("{}: a queue still grows at the end of the simulated time", case.as_str())]
    Growing { case: Case },
    /// The objective's percentile is too high.
    #[error("{}: the objective's percentile is {ms:.2} ms, the limit is {limit_ms:.2} ms", case.as_str())]
    Slow { case: Case, ms: f64, limit_ms: f64 },
    /// Tokens come too late in a storm.
    #[error("{}: the p99 of the time to a token is {ms:.2} ms, the limit is {limit_ms:.2} ms", case.as_str())]
    SlowStorm { case: Case, ms: f64, limit_ms: f64 },
}

impl Situation {
    /// Returns the conditions that this situation misses. `by` picks the judged value of each
    /// percentile's estimate.
    pub(super) fn missed(
        &self,
        case: Case,
        bounds: &Bounds,
        by: fn(&Estimate) -> f64,
    ) -> Vec<Missed> {
        let (refused, gave_up) = (self.refused_share.mean, self.gave_up_share.mean);
        let (ms, limit_ms) = if case.is_storm() {
            (self.token_p99_ms.as_ref().map_or(0.0, by), bounds.storm_p99_ms)
        } else {
            (by(&self.quantile_ms), bounds.limit_ms)
        };
        let slow = match case {
            Case::Busiest | Case::Lost => Missed::Slow { case, ms, limit_ms },
            Case::Storm | Case::StormLost => Missed::SlowStorm { case, ms, limit_ms },
        };
        let conditions = [
            (refused > 0.0, Missed::Refused { case, share: refused }),
            (gave_up > 0.0, Missed::GaveUp { case, share: gave_up }),
            (self.growing, Missed::Growing { case }),
            (ms > limit_ms, slow),
        ];
        conditions.into_iter().filter_map(|(missed, what)| missed.then_some(what)).collect()
    }
}
