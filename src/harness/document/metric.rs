//! The names of the metrics of a gate.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::harness::class::Class;

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
    /// The 99th percentile.
    P99,
}

impl Percentile {
    const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P99 => "p99",
        }
    }
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

impl Serialize for Metric {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Metric {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl JsonSchema for Metric {
    fn schema_name() -> Cow<'static, str> {
        "Metric".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "The name of a metric.",
            "type": "string",
            "enum": Self::ALL.map(|metric| metric.to_string()),
        })
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
}
