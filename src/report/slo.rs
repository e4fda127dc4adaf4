//! Service-level objectives: `p99<2ms`, on the response time of all classes or of one.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::load::class::Class;
use crate::load::recorder::Latencies;
use crate::load::session::Outcome;

/// An upper bound of a percentile of the response time.
#[derive(Clone, Debug, PartialEq)]
pub struct Objective {
    class: Option<Class>,
    /// From 0 to 1.
    quantile: f64,
    limit: Duration,
    text: String,
    /// Number and name of the phase that it is about; none for the whole measured part.
    phase: Option<(usize, String)>,
}

/// Why a text is not an objective.
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

    /// The same, of one phase.
    #[must_use]
    pub fn of_phase(self, index: usize, name: &str) -> Self {
        Self { phase: Some((index, name.to_owned())), ..self }
    }

    /// The name of the phase that it is about, if it is not about all of the measured part.
    pub fn phase(&self) -> Option<&str> {
        self.phase.as_ref().map(|(_, name)| name.as_str())
    }

    /// The measured percentile in nanoseconds; none when its class was not seen, or when so many
    /// requests ended without a token that the percentile is one of them.
    pub fn measured_ns(&self, outcome: &Outcome) -> Option<u64> {
        let of_phase = self.phase.as_ref().and_then(|(index, _)| {
            // A single phase is all of the measured part.
            outcome.measured.tally.phases.get(*index)
        });
        let set = of_phase.unwrap_or(&outcome.measured.totals.whole);
        match (self.class, of_phase) {
            (None, None) => self.of(&outcome.all),
            (None, Some(phase)) => self.of(&phase.all()),
            (Some(class), _) => self.of(set.seen().find(|(seen, _)| *seen == class)?.1),
        }
    }

    /// Whether answers of `class` are among those that it is about.
    pub(super) fn is_about(&self, class: Class) -> bool {
        self.class.is_none_or(|own| own == class)
    }

    /// Whether a measured percentile is within the limit; what was not measured is not.
    pub(super) fn allows(&self, measured_ns: Option<u64>) -> bool {
        measured_ns.is_some_and(|ns| Duration::from_nanos(ns) < self.limit)
    }

    /// Whose response time it bounds; none is of all classes together.
    pub const fn class(&self) -> Option<Class> {
        self.class
    }

    /// Which quantile, from 0 to 1.
    pub const fn quantile(&self) -> f64 {
        self.quantile
    }

    /// The bound in nanoseconds.
    pub const fn limit_ns(&self) -> f64 {
        self.limit.as_secs_f64() * 1e9
    }

    /// The percentile of these latencies in nanoseconds; see [`Objective::measured_ns`].
    ///
    /// An error is no fast answer: it counts as one that takes for ever.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub fn of(&self, latencies: &Latencies) -> Option<u64> {
        let (all, mut tokens) = (latencies.response.len(), latencies.response.clone());
        // Every error was recorded as a response too: subtracting cannot fail.
        let _ = tokens.subtract(&latencies.errors);
        let rank = self.quantile * all as f64;
        let quantile = rank / tokens.len() as f64;
        (!tokens.is_empty() && quantile <= 1.0).then(|| tokens.value_at_quantile(quantile))
    }

    /// Whether it was met; an objective that nothing was measured for is not.
    pub fn is_met(&self, outcome: &Outcome) -> bool {
        self.allows(self.measured_ns(outcome))
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

    #[test]
    fn errors_count_as_over_the_limit_however_fast_they_are() {
        let mut latencies = Latencies::default();
        latencies.response.record_n(1_000, 98).unwrap();
        latencies.response.record_n(10, 2).unwrap();
        latencies.errors.record_n(10, 2).unwrap();
        let measured = |text: &str| text.parse::<Objective>().unwrap().of(&latencies);
        assert_eq!(measured("p98<1ms"), Some(1_000));
        assert_eq!(measured("p99<1ms"), None);
        assert_eq!(Latencies::default().response.len(), 0);
        assert_eq!("p50<1ms".parse::<Objective>().unwrap().of(&Latencies::default()), None);
    }
}
