//! `count.json`: the verdict on a candidate whose work was counted, compared with its base.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gate::{BuildName, Verdict};
use super::host::{Build, Host};
use crate::harness::class::Class;

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/count/1";

/// `count.json` of `mintbench gate --count`. All counts are per request of the whole server program.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct Count {
    /// The name and version of this format.
    #[schemars(extend("const" = SCHEMA))]
    pub schema: String,
    /// Time at which the gate began: RFC 3339, in UTC, to the second.
    #[schemars(regex(pattern = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"))]
    pub started_at: String,
    /// The verdict on all metrics and checks.
    pub verdict: Verdict,
    /// The reason for the verdict, in a sentence.
    #[schemars(length(min = 1))]
    pub sentence: String,
    /// The build that the candidate is compared with.
    pub base: BuildName,
    /// The build that is judged.
    pub candidate: BuildName,
    /// The program that counted, with its version.
    #[schemars(length(min = 1))]
    pub counter: String,
    /// The command that started a server which is no mintbench; null for a broker.
    pub command: Option<String>,
    /// The machine that counted.
    pub host: Host,
    /// The build of the program that judged.
    pub build: Build,
    /// The metrics of each class of requests, each with its verdict.
    pub metrics: Vec<CountedMetric>,
    /// The functions that take more instructions in the candidate: by class, the largest first.
    pub grown: Vec<GrownFunction>,
    /// Checks that failed, of both builds.
    #[schemars(inner(length(min = 1)))]
    pub failures: Vec<String>,
    /// Notes for the reader of the verdict.
    #[schemars(inner(length(min = 1)))]
    pub notes: Vec<String>,
}

/// One kind of work that is counted.
#[derive(
    Clone, Copy, Debug, Deserialize, Eq, JsonSchema, Ord, PartialEq, PartialOrd, Serialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// Machine instructions of the program itself, without those of the kernel.
    Instructions,
    /// Calls that allocate memory, or that allocate it anew.
    Allocations,
    /// The bytes that these calls ask for.
    AllocatedBytes,
    /// System calls, except waits that ended because their time was over.
    SystemCalls,
    /// The bytes that system calls wrote to files and sockets.
    WrittenBytes,
}

impl Work {
    /// Every kind of work, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Instructions,
        Self::Allocations,
        Self::AllocatedBytes,
        Self::SystemCalls,
        Self::WrittenBytes,
    ];

    /// The name on the command line and in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Allocations => "allocations",
            Self::AllocatedBytes => "allocated-bytes",
            Self::SystemCalls => "system-calls",
            Self::WrittenBytes => "written-bytes",
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Not the name of a kind of work.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` is not counted; use one of: {}", Work::ALL.map(Work::as_str).join(", "))]
pub struct UnknownWork {
    name: String,
}

impl FromStr for Work {
    type Err = UnknownWork;

    fn from_str(text: &str) -> Result<Self, UnknownWork> {
        let found = Self::ALL.into_iter().find(|work| work.as_str() == text);
        found.ok_or_else(|| UnknownWork { name: text.to_owned() })
    }
}

/// One metric of one class of requests.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct CountedMetric {
    /// The class of the requests; `all` for a server whose classes are not known.
    pub class: Class,
    /// The counted work.
    pub work: Work,
    /// The counts of the base, each of another process.
    #[schemars(length(min = 1), inner(range(min = 0)))]
    pub base: Vec<f64>,
    /// The counts of the candidate, each of another process.
    #[schemars(length(min = 1), inner(range(min = 0)))]
    pub candidate: Vec<f64>,
    /// The growth from the mean of the base to the mean of the candidate; below 0 it does less.
    pub change: f64,
    /// The growth between the counts that are closest, and between those that are furthest apart. The verdict
    /// is made of these two.
    pub change_bounds: [f64; 2],
    /// The growth that is allowed.
    #[schemars(range(min = 0))]
    pub allowed: f64,
    /// Reason why the counts are not those of the work for a request, so that the metric decides nothing; null where
    /// they are. Absent in files of earlier versions.
    #[serde(default)]
    pub not_counted: Option<String>,
    /// The verdict on this metric; never `invalid`, and `cannot-tell` where `not_counted` has a reason.
    pub verdict: Verdict,
}

/// A function that takes more instructions in the candidate.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Serialize)]
pub struct GrownFunction {
    /// The class of the requests.
    pub class: Class,
    /// The name of the function, without the hash of the compiler.
    pub function: String,
    /// Its own instructions in the base, without those of the functions that it calls.
    pub base: f64,
    /// Its own instructions in the candidate.
    pub candidate: f64,
    /// The growth of its own instructions.
    pub change: f64,
    /// The growth with all functions that it calls. A function that calls itself counts more than once.
    pub change_inclusive: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_work_is_read_as_it_is_written() {
        for work in Work::ALL {
            assert_eq!(work.to_string().parse::<Work>().unwrap(), work);
            assert_eq!(serde_json::to_value(work).unwrap(), work.as_str());
        }
        let error = "speed".parse::<Work>().unwrap_err().to_string();
        assert!(error.contains("instructions, allocations, allocated-bytes"), "{error}");
    }
}
