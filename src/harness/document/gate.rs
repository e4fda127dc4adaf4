//! `gate.json`: the verdict on a candidate, compared with its base.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::host::{Build, Host};
use super::metric::{Metric, Percentile};

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/gate/1";

/// `gate.json` of `mintbench gate`. Effects, intervals, bounds, tolerances and limits are shares: 0.05 is
/// 5 % slower or larger, or for the hit ratio 5 of 100 lookups lost. Below 0 the candidate is better. A value
/// that is not known or infinite is null.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Gate {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// Time at which the gate began: RFC 3339, in UTC, to the second.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))]
    pub started_at: String,
    /// The name of the scenario.
    #[schemars(extend("enum" = ["mint", "steady"]))]
    pub scenario: String,
    /// The seed of the first pair.
    pub seed: u64,
    /// The verdict on all metrics and checks.
    pub verdict: Verdict,
    /// The reason for the verdict, in a sentence.
    #[schemars(length(min = 1))]
    pub sentence: String,
    /// The build that the candidate is compared with.
    pub base: BuildName,
    /// The build that is judged.
    pub candidate: BuildName,
    /// The rules of the gate.
    pub policy: Policy,
    /// The load of each leg.
    pub load: Load,
    /// The machine of the generator.
    pub host: Host,
    /// The build of the generator.
    pub build: Build,
    /// The metrics, each with its verdict.
    pub metrics: Vec<MetricResult>,
    /// The pairs of legs, in the order of measurement.
    pub pairs: Vec<Pair>,
    /// Checks that failed, of both builds.
    #[schemars(inner(length(min = 1)))]
    pub failures: Vec<String>,
    /// Notes for the reader of the verdict.
    #[schemars(inner(length(min = 1)))]
    pub notes: Vec<String>,
}

/// The verdict on a candidate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// A slow-down of the limit can be neither shown nor excluded. Exit code 3.
    #[serde(rename = "cannot-tell")]
    Inconclusive,
    /// The candidate is slower than tolerated. Exit code 1.
    Fail,
    /// The machine or the generator was the bottleneck: nothing is known. Exit code 4.
    Invalid,
    /// A slow-down of the limit is excluded. Exit code 0.
    Pass,
}

impl Verdict {
    /// The verdict in words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inconclusive => "cannot tell",
            Self::Fail => "fail",
            Self::Invalid => "invalid",
            Self::Pass => "pass",
        }
    }
}

/// One of the two builds.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct BuildName {
    /// A path, a revision or a result folder.
    pub name: String,
    /// The git commit; null where it is not known.
    pub commit: Option<String>,
    /// SHA-256 of the executable, in hexadecimal; null for a stored run.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

impl fmt::Display for BuildName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let short = |text: &str| text.chars().take(12).collect::<String>();
        if let Some(commit) = &self.commit {
            write!(f, ", commit {}", short(commit))?;
        }
        self.sha256.as_ref().map_or(Ok(()), |digest| write!(f, ", sha256 {}", short(digest)))
    }
}

/// The rules of a gate.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Policy {
    /// Design of the comparison.
    pub design: Design,
    /// Probability that a candidate no slower than tolerated fails, over all metrics and looks together.
    #[schemars(range(min = 0, max = 1))]
    pub alpha: f64,
    /// Probability that a slow-down of the smallest effect fails, and that one of the limit does not pass.
    #[schemars(range(min = 0, max = 1))]
    pub power: f64,
    /// The slow-down that is tolerated.
    #[schemars(range(min = 0))]
    pub tolerance: f64,
    /// The slow-down that must not pass.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub limit: f64,
    /// Choice of the metrics.
    pub metrics: MetricChoice,
    /// The numbers of pairs after which a verdict was looked for, ascending.
    #[schemars(length(min = 1), inner(range(min = 2)))]
    pub looks: Vec<u64>,
    /// The number of pairs that were measured.
    pub pairs_made: u64,
}

/// Design of the comparison of a gate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Design {
    /// Once, at some other time: it shifts all differences alike.
    Baseline,
    /// Beside every leg of the candidate.
    Pairs,
}

/// Choice of the metrics of a gate.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricChoice {
    /// By default: a metric that this machine cannot judge is reported as not judged.
    #[serde(rename = "if-possible")]
    Default,
    /// By name: a gate that cannot judge one of the metrics is invalid.
    Named,
}

/// The load of each leg.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Load {
    /// Spacing of the requests.
    #[schemars(length(min = 1))]
    pub arrivals: String,
    /// Requests per second.
    pub rate: Option<f64>,
    /// The measured part in seconds.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub duration_s: f64,
    /// The warm-up in seconds.
    #[schemars(range(min = 0))]
    pub warmup_s: f64,
    /// The number of connections.
    pub connections: u64,
    /// The number of virtual machines.
    pub vms: u64,
    /// User-assigned identities of each virtual machine.
    pub user_assigned: u64,
    /// The number of generator threads.
    pub threads: u64,
}

/// A metric and what was found of it.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct MetricResult {
    /// The name of the metric.
    pub metric: Metric,
    /// The unit of the medians.
    #[schemars(extend("enum" = ["us", "bytes", "share"]))]
    pub unit: String,
    /// The slow-down that is tolerated.
    #[schemars(range(min = 0))]
    pub tolerance: f64,
    /// The slow-down that must not pass.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub limit: f64,
    /// True: the gate cannot tell unless this metric is judged. Absent in files of earlier versions.
    #[serde(default)]
    pub required: bool,
    /// The judgement; null where the metric is not judged.
    pub judged: Option<Judged>,
    /// Reason why the metric is not judged; null where it is.
    pub not_judged: Option<String>,
}

/// The judgement of a metric.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Judged {
    /// The verdict on this metric; never `invalid`.
    pub verdict: Verdict,
    /// The number of pairs that count for this metric.
    #[schemars(range(min = 1))]
    pub pairs: u64,
    /// A slow-down of this size fails, with the power of the policy.
    pub smallest_effect: Option<f64>,
    /// The median of the base, in the metric's unit. Memory is anonymous memory; in files without `disturbed`
    /// it is resident memory.
    pub base_median: f64,
    /// The median of the candidate, in the metric's unit.
    pub candidate_median: f64,
    /// The middle of the differences, by the method of the bounds. In files without `disturbed` it is the
    /// mean of the differences.
    pub effect: f64,
    /// 95 % interval of the effect, two-sided, by the method of the bounds.
    pub effect_interval: [Option<f64>; 2],
    /// The method of the interval.
    pub effect_interval_method: Method,
    /// The Hodges-Lehmann estimate of the effect.
    pub robust_effect: Option<f64>,
    /// The bounds that the verdict is made of: one error rate for each side.
    pub bounds: [Option<f64>; 2],
    /// The method of the bounds; never `bca`.
    pub bounds_method: Method,
    /// The standard deviation of the differences.
    pub deviation: Option<f64>,
    /// The probability of such differences if the candidate is no slower than tolerated; where `disturbed`
    /// is true, and where the gate ended before its last look, than the limit.
    #[schemars(range(min = 0, max = 1))]
    pub p: f64,
    /// True: the legs were invalid, and the metric fails because every pair and the bounds lie beyond the
    /// limit. Absent in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub disturbed: Option<bool>,
}

/// A method of bounds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The bootstrap, only in files without `disturbed`.
    Bca,
    /// The signed-rank test of Wilcoxon.
    SignedRank,
    /// Student's t.
    Student,
}

/// A pair of legs with the same seed.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Pair {
    /// The seed of both legs.
    pub seed: u64,
    /// Order of the legs.
    pub order: Order,
    /// By which factor each turn of the candidate took more processor time than the turn of the base beside
    /// it, as natural logarithms. Empty where the two did not take turns, absent in files of earlier versions.
    #[serde(default)]
    pub cpu_by_turn: Vec<f64>,
    /// By which factor a request of the candidate took longer than the same request of the base, as a natural
    /// logarithm: the median over all requests of the pair, by the metric of the median response time. Absent in files
    /// of earlier versions.
    #[serde(default)]
    #[schemars(transform = leave_medians)]
    pub response_by_request: BTreeMap<Metric, f64>,
    /// The leg of the base.
    pub base: Leg,
    /// The leg of the candidate.
    pub candidate: Leg,
}

/// Leaves the median response times among the metrics that a schema lists.
fn leave_medians(schema: &mut Schema) {
    let is_median = |name: &str| {
        name.parse::<Metric>().is_ok_and(|of| matches!(of, Metric::Response(_, Percentile::P50)))
    };
    if let Some(metrics) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        metrics.retain(|name, _| is_median(name));
    }
}

/// The order of the legs of a pair.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum Order {
    /// The base was first.
    #[serde(rename = "AB")]
    BaseFirst,
    /// The candidate was first.
    #[serde(rename = "BA")]
    CandidateFirst,
}

/// A run of one build.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Leg {
    /// The value of each metric that is known.
    pub values: BTreeMap<Metric, f64>,
    /// True if the requests were sent at their rate.
    pub kept_rate: bool,
    /// True if the generator and the host kept up.
    pub valid: bool,
    /// Reasons why the leg was not valid.
    #[schemars(inner(length(min = 1)))]
    pub reasons: Vec<String>,
    /// The checks that failed.
    #[schemars(inner(length(min = 1)))]
    pub failures: Vec<String>,
    /// The share of the machine's time that the hypervisor took.
    #[schemars(range(min = 0, max = 1))]
    pub steal_share: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_compared_by_the_medians_of_response_times_only() {
        let schema = schemars::schema_for!(Pair);
        let metrics = schema.pointer("/properties/response_by_request/properties").unwrap();
        let names: Vec<&String> = metrics.as_object().unwrap().keys().collect();
        assert_eq!(names, ["coalesced.p50", "hit.p50", "miss.p50"]);
    }
}
