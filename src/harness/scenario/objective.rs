//! Service-level objectives such as `p99<2ms`, on the response time of all classes or of one class.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::harness::class::Class;
use crate::harness::nanos::Nanos;

/// Upper bound of a percentile of the response time.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    class: Option<Class>,
    /// Percentile as a quantile, 0 to 1.
    quantile: f64,
    limit: Duration,
    text: String,
    /// Number and name of the phase; none for the whole measured part.
    phase: Option<(usize, String)>,
}

/// Error: a text is not an objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an objective; write [CLASS.]pNN<TIME or max<TIME, like p99<2ms or hit.p99.9<500us"
)]
pub struct ObjectiveError(String);

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        Self::parse(text).ok_or_else(|| ObjectiveError(text.to_owned()))
    }
}

impl Objective {
    fn parse(text: &str) -> Option<Self> {
        let (left, limit) = text.split_once('<')?;
        let left = left.trim();
        let named = Class::ALL
            .into_iter()
            .find_map(|class| Some((class, left.strip_prefix(class.as_str())?.strip_prefix('.')?)));
        let (class, percentile) =
            named.map_or((None, left), |(class, percentile)| (Some(class), percentile));
        let percent = match percentile {
            "max" => 100.0,
            percentile => percentile.strip_prefix('p')?.parse::<f64>().ok()?,
        };
        let limit = humantime::parse_duration(limit.trim()).ok()?;
        let text = text.trim().to_owned();
        (percent > 0.0 && percent <= 100.0).then_some(Self {
            class,
            quantile: percent / 100.0,
            limit,
            text,
            phase: None,
        })
    }

    /// Returns the same objective for one phase.
    #[must_use]
    pub fn of_phase(self, index: usize, name: &str) -> Self {
        Self { phase: Some((index, name.to_owned())), ..self }
    }

    /// Returns the name of the phase, or none if the objective covers the whole measured part.
    pub fn phase(&self) -> Option<&str> {
        self.phase.as_ref().map(|(_, name)| name.as_str())
    }

    /// Returns the number of the phase from 0, or none if the objective covers the whole measured part.
    pub fn phase_index(&self) -> Option<usize> {
        self.phase.as_ref().map(|(index, _)| *index)
    }

    /// Returns the class whose response time is bounded, or none for all classes together.
    pub const fn class(&self) -> Option<Class> {
        self.class
    }

    /// Returns the quantile, 0 to 1.
    pub const fn quantile(&self) -> f64 {
        self.quantile
    }

    /// Returns the bound in nanoseconds.
    pub const fn limit_ns(&self) -> f64 {
        self.limit.as_secs_f64() * 1e9
    }

    /// Returns true if a response time is within the bound.
    pub fn allows(&self, response: Nanos) -> bool {
        Duration::from(response) < self.limit
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objectives_name_a_class_a_percentile_and_a_limit() {
        let all: Objective = "p99<2ms".parse().unwrap();
        assert_eq!((all.class, all.quantile, all.limit), (None, 0.99, Duration::from_millis(2)));
        let hit: Objective = "hit.p99.9 < 500us".parse().unwrap();
        assert_eq!((hit.class, hit.limit), (Some(Class::Hit), Duration::from_micros(500)));
        assert!((hit.quantile - 0.999).abs() < 1e-12);
        for text in ["", "p99", "p99<", "99<2ms", "p0<1ms", "p101<1ms", "fast.p99<1ms", "p99<2"] {
            assert!(text.parse::<Objective>().is_err(), "{text}");
        }
    }
}
