//! Rules for comparing the metrics of a gate.

use crate::harness::class::Class;
pub(crate) use crate::harness::document::metric::{Metric, Percentile};

impl Percentile {
    /// Returns the percentile as a share of the samples.
    pub(crate) const fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P99 => 0.99,
        }
    }

    /// Returns the minimum number of samples in a leg for this percentile: about ten must lie above a
    /// p99.
    pub(crate) const fn samples_min(self) -> u64 {
        match self {
            Self::P50 => 100,
            Self::P99 => 1000,
        }
    }
}

/// Scale on which two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// Loss of a share: base minus candidate.
    Loss,
    /// Ratio: the logarithm of candidate over base.
    Ratio,
}

/// Condition that a leg must meet for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Requirement {
    /// The requests were sent at their rate, and the median lag of the generator is at most a quarter of
    /// the median response time of this class.
    Median(Class),
    /// The requests were sent at their rate; the exact response times do not matter.
    Rate,
    /// The run was valid: neither the generator nor the host was the bottleneck.
    Valid,
}

/// Parts of the two legs of a pair that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Each turn of one leg with the turn of the other beside it, or the requests in them one by one.
    InTurns,
    /// The whole legs.
    Whole,
}

impl Metric {
    /// Returns the scale of comparison.
    pub(crate) const fn scale(self) -> Scale {
        match self {
            Self::HitRatio => Scale::Loss,
            Self::Cpu | Self::Memory | Self::Response(..) => Scale::Ratio,
        }
    }

    /// Returns the condition that a leg must meet, if the turns of its pair are compared and if they are
    /// not.
    pub(crate) const fn requirement(self, compared: Compared) -> Requirement {
        match (self, compared) {
            (Self::Cpu | Self::HitRatio | Self::Memory, _) => Requirement::Rate,
            (Self::Response(class, Percentile::P50), Compared::InTurns) => {
                Requirement::Median(class)
            }
            (Self::Response(..), _) => Requirement::Valid,
        }
    }

    /// Returns true if the metric is a response time.
    pub(crate) const fn is_latency(self) -> bool {
        matches!(self, Self::Response(..))
    }

    /// Returns the unit of the values.
    pub(crate) const fn unit(self) -> &'static str {
        match self {
            Self::Cpu | Self::Response(..) => "us",
            Self::HitRatio => "share",
            Self::Memory => "bytes",
        }
    }

    /// Formats a value with its unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{value:.2} us"),
            Self::Response(..) => format!("{value:.1} us"),
            Self::HitRatio => format!("{:.3} %", value * 100.0),
            Self::Memory => format!("{:.2} MB", value / 1e6),
        }
    }

    /// Returns the difference of a pair; above zero is worse. Returns none if it is not finite, as with
    /// zeros.
    pub(crate) fn difference(self, base: f64, candidate: f64) -> Option<f64> {
        let difference = match self.scale() {
            Scale::Loss => base - candidate,
            Scale::Ratio => candidate.ln() - base.ln(),
        };
        difference.is_finite().then_some(difference)
    }

    /// Converts a difference, or a middle of differences, to the share by which the candidate is worse.
    pub(crate) fn share_of(self, difference: f64) -> f64 {
        match self.scale() {
            Scale::Loss => difference,
            Scale::Ratio => difference.exp_m1(),
        }
    }

    /// Converts a share to a difference.
    pub(crate) fn difference_of(self, share: f64) -> f64 {
        match self.scale() {
            Scale::Loss => share,
            Scale::Ratio => share.ln_1p(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_above_zero_on_either_scale() {
        let slower = Metric::Cpu.difference(10.0, 11.0).unwrap();
        assert!((Metric::Cpu.share_of(slower) - 0.1).abs() < 1e-12);
        assert!((Metric::Cpu.difference_of(0.1) - slower).abs() < 1e-12);
        let lost = Metric::HitRatio.difference(0.99, 0.97).unwrap();
        assert!((lost - 0.02).abs() < 1e-12);
        assert_eq!(Metric::Cpu.difference(0.0, 1.0), None);
    }
}
