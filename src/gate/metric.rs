//! What is compared, and in which unit.

use std::fmt;
use std::str::FromStr;

use crate::load::class::Class;

/// One thing that can get worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Processor time of the broker per request.
    Cpu,
    /// The share of lookups that the cache answered.
    HitRatio,
    /// Anonymous memory of the broker at the end: its heap and stacks, not the pages of its file.
    Memory,
    /// A percentile of the response time of one class.
    Response(Class, Percentile),
}

/// A percentile that is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Percentile {
    /// The median.
    P50,
    /// What one request in a hundred exceeds.
    P99,
}

impl Percentile {
    /// As a share of the samples.
    pub const fn share(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P99 => 0.99,
        }
    }

    /// Fewer samples than this in a leg give no such percentile worth a comparison: some ten must
    /// lie above it.
    pub const fn samples_min(self) -> u64 {
        match self {
            Self::P50 => 100,
            Self::P99 => 1000,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// By how much was lost of a share: base minus candidate.
    Loss,
    /// By their ratio: the logarithm of candidate over base.
    Ratio,
}

/// What is asked of the legs that a metric is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The requests were sent at their rate; when exactly they were answered does not matter.
    Rate,
    /// The run was valid: neither the generator nor the host was the bottleneck.
    Valid,
}

impl Metric {
    /// Every metric, in the order of reports.
    pub const ALL: [Self; 9] = [
        Self::Cpu,
        Self::HitRatio,
        Self::Memory,
        Self::Response(Class::Hit, Percentile::P50),
        Self::Response(Class::Hit, Percentile::P99),
        Self::Response(Class::Miss, Percentile::P50),
        Self::Response(Class::Miss, Percentile::P99),
        Self::Response(Class::Coalesced, Percentile::P50),
        Self::Response(Class::Coalesced, Percentile::P99),
    ];

    /// How it is compared.
    pub const fn scale(self) -> Scale {
        match self {
            Self::HitRatio => Scale::Loss,
            Self::Cpu | Self::Memory | Self::Response(..) => Scale::Ratio,
        }
    }

    /// What a leg must be for it.
    pub const fn demand(self) -> Demand {
        match self {
            Self::Cpu | Self::HitRatio | Self::Memory => Demand::Rate,
            Self::Response(..) => Demand::Valid,
        }
    }

    /// Whether it is a response time.
    pub const fn is_latency(self) -> bool {
        matches!(self, Self::Response(..))
    }

    /// The unit of its values.
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Cpu | Self::Response(..) => "us",
            Self::HitRatio => "share",
            Self::Memory => "bytes",
        }
    }

    /// A value of it, with its unit.
    pub fn show(self, value: f64) -> String {
        match self {
            Self::Cpu => format!("{value:.2} us"),
            Self::Response(..) => format!("{value:.1} us"),
            Self::HitRatio => format!("{:.3} %", value * 100.0),
            Self::Memory => format!("{:.2} MB", value / 1e6),
        }
    }

    /// The difference of a pair; above zero is worse. None where there is none, as of zeros.
    pub fn difference(self, base: f64, candidate: f64) -> Option<f64> {
        let difference = match self.scale() {
            Scale::Loss => base - candidate,
            Scale::Ratio => candidate.ln() - base.ln(),
        };
        difference.is_finite().then_some(difference)
    }

    /// A difference, or a middle of them, as the share that the candidate is worse by.
    pub fn share_of(self, difference: f64) -> f64 {
        match self.scale() {
            Scale::Loss => difference,
            Scale::Ratio => difference.exp_m1(),
        }
    }

    /// The difference that a share stands for.
    pub fn difference_of(self, share: f64) -> f64 {
        match self.scale() {
            Scale::Loss => share,
            Scale::Ratio => share.ln_1p(),
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::HitRatio => f.write_str("hit-ratio"),
            Self::Memory => f.write_str("memory"),
            Self::Response(class, percentile) => write!(f, "{class}.{}", percentile.as_str()),
        }
    }
}

/// Not the name of a metric.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is not a metric; use one of: {}", names())]
pub struct UnknownMetric {
    name: String,
}

fn names() -> String {
    Metric::ALL.map(|metric| metric.to_string()).join(", ")
}

impl FromStr for Metric {
    type Err = UnknownMetric;

    fn from_str(text: &str) -> Result<Self, UnknownMetric> {
        let found = Self::ALL.into_iter().find(|metric| metric.to_string() == text);
        found.ok_or_else(|| UnknownMetric { name: text.to_owned() })
    }
}

impl serde::Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_read_as_it_is_written() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse::<Metric>().unwrap(), metric);
        }
        let error = "speed".parse::<Metric>().unwrap_err().to_string();
        assert!(error.contains("cpu, hit-ratio, memory, hit.p50"), "{error}");
    }

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
