//! Metrics that a gate has to judge.

use std::str::FromStr;

use super::leg::{Pair, Side};
use super::metric::{Metric, Percentile};

/// Metric, or percentile of every class of the load, without which a gate cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Required {
    /// This metric, even if the load does not have it.
    Metric(Metric),
    /// This percentile of each class that the load has.
    Percentile(Percentile),
}

/// Not the name of a requirement.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` cannot be required; use one of: p50, p99, {}", names())]
pub(crate) struct UnknownRequirement {
    name: String,
}

fn names() -> String {
    Metric::ALL.map(|metric| metric.to_string()).join(", ")
}

impl FromStr for Required {
    type Err = UnknownRequirement;

    fn from_str(text: &str) -> Result<Self, UnknownRequirement> {
        match text {
            "p50" => Ok(Self::Percentile(Percentile::P50)),
            "p99" => Ok(Self::Percentile(Percentile::P99)),
            name => name
                .parse()
                .map(Self::Metric)
                .map_err(|_| UnknownRequirement { name: name.to_owned() }),
        }
    }
}

impl Required {
    /// Returns true if it asks for this metric.
    pub(crate) fn covers(self, metric: Metric) -> bool {
        match self {
            Self::Metric(required) => required == metric,
            Self::Percentile(required) => {
                matches!(metric, Metric::Response(_, percentile) if percentile == required)
            }
        }
    }

    /// Returns true if the metric has to be judged with this load.
    pub(super) fn applies(self, metric: Metric, pairs: &[Pair]) -> bool {
        self.covers(metric)
            && match self {
                Self::Metric(_) => true,
                Self::Percentile(_) => has_class(pairs, metric),
            }
    }
}

/// Returns true if the load has the class of the metric: in a leg at least, enough answers for a
/// median. Fewer come by chance, such as a miss among hits.
fn has_class(pairs: &[Pair], metric: Metric) -> bool {
    let Metric::Response(class, _) = metric else { return false };
    let median = Metric::Response(class, Percentile::P50);
    let has = |pair: &Pair, side| pair.leg(side).values.contains_key(&median);
    pairs.iter().any(|pair| has(pair, Side::Base) || has(pair, Side::Candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_stands_for_every_class() {
        let covered = |name: &str| {
            let required: Required = name.parse().unwrap();
            Metric::ALL.into_iter().filter(|m| required.covers(*m)).map(|m| m.to_string()).collect()
        };
        let p99: Vec<String> = covered("p99");
        assert_eq!(p99, ["hit.p99", "miss.p99", "coalesced.p99"]);
        assert_eq!(covered("memory"), ["memory"]);
        let error = "p98".parse::<Required>().unwrap_err().to_string();
        assert!(error.contains("p50, p99, cpu, hit-ratio"), "{error}");
    }
}
