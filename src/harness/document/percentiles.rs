//! Percentiles of a time, in microseconds; null where nothing was recorded.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Percentiles of a latency.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The 99.9th percentile.
    pub p999: Option<f64>,
    /// The maximum.
    pub max: Option<f64>,
}

/// Percentiles of the response time, each with its bounds and its standing.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct ResponsePercentiles {
    /// The median.
    pub p50: Option<Bounded>,
    /// The 90th percentile.
    pub p90: Option<Bounded>,
    /// The 99th percentile.
    pub p99: Option<Bounded>,
    /// The 99.9th percentile.
    pub p999: Option<Bounded>,
    /// The maximum.
    pub max: Option<Bounded>,
}

impl ResponsePercentiles {
    /// Returns the percentiles as they were recorded.
    pub fn values(self) -> Percentiles {
        let value = |of: Option<Bounded>| of.map(|of| of.value);
        Percentiles {
            p50: value(self.p50),
            p90: value(self.p90),
            p99: value(self.p99),
            p999: value(self.p999),
            max: value(self.max),
        }
    }

    /// Returns the percentiles with their names, in ascending order.
    pub const fn named(self) -> [(&'static str, Option<Bounded>); 5] {
        let Self { p50, p90, p99, p999, max } = self;
        [("p50", p50), ("p90", p90), ("p99", p99), ("p99.9", p999), ("max", max)]
    }
}

/// Percentile of the response time that a perfect generator would have recorded: it lies between the bounds. Files
/// of version 1 hold the value alone.
#[derive(Clone, Copy, Debug, JsonSchema, PartialEq, Serialize)]
pub struct Bounded {
    /// The percentile as recorded, with all delays that the generator may have added.
    pub value: f64,
    /// The lower bound: the percentile less the delays that the generator may have added. Null where it is not
    /// known.
    pub lower: Option<f64>,
    /// The upper bound.
    pub upper: f64,
    /// Standing of the percentile.
    pub standing: Standing,
}

/// Standing of a percentile: how well it is known.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The bounds are within 10 % of each other.
    Measured,
    /// The percentile is at most the upper bound. The lower bound is more than 10 % below.
    Bounded,
    /// Too few independent requests are beyond the percentile.
    Unknown,
    /// The lower bound was not recorded: the figure is from a file of version 1.
    Recorded,
}

impl Bounded {
    /// Returns a percentile without a lower bound, as files of version 1 have it.
    pub const fn recorded(value: f64) -> Self {
        Self { value, lower: None, upper: value, standing: Standing::Recorded }
    }
}

impl<'de> Deserialize<'de> for Bounded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// Both forms of a percentile.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            /// Version 1.
            Value(f64),
            /// Version 2.
            Bounds { value: f64, lower: Option<f64>, upper: f64, standing: Standing },
        }

        Ok(match Form::deserialize(deserializer)? {
            Form::Value(value) => Self::recorded(value),
            Form::Bounds { value, lower, upper, standing } => {
                Self { value, lower, upper, standing }
            }
        })
    }
}

/// Percentiles of a delay, of which the tail matters most.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Tail {
    /// The median.
    pub p50: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The 99.9th percentile.
    pub p999: Option<f64>,
    /// The maximum.
    pub max: Option<f64>,
}

/// Percentiles of the lateness of a probe.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Hiccup {
    /// The 99th percentile.
    pub p99: Option<f64>,
    /// The 99.9th percentile.
    pub p999: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> ResponsePercentiles {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_percentile_of_either_version_is_read() {
        let old = read(r#"{"p50": 5, "p90": 7.5, "p99": null}"#);
        assert_eq!(
            (old.p50, old.p90),
            (Some(Bounded::recorded(5.0)), Some(Bounded::recorded(7.5)))
        );
        assert_eq!((old.p99, old.max), (None, None));
        let new =
            read(r#"{"max": {"value": 9, "lower": 8.5, "upper": 9, "standing": "measured"}}"#);
        let max =
            Bounded { value: 9.0, lower: Some(8.5), upper: 9.0, standing: Standing::Measured };
        assert_eq!(new.max, Some(max));
        assert_eq!(read(&serde_json::to_string(&new).unwrap()), new);
        assert_eq!(new.values(), Percentiles { max: Some(9.0), ..Percentiles::default() });
        assert!(serde_json::from_str::<ResponsePercentiles>(r#"{"p50": "fast"}"#).is_err());
    }
}
