//! A stored run as the base: read from its `run.json`, and used on the same machine only.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::leg::{Leg, keeps_rate};
use super::metric::{Metric, Percentile};
use crate::load::class::Class;
use crate::report::run_json::SCHEMA;

/// Why a folder is no baseline.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// There is no such file.
    #[error("there is no baseline: cannot read `{path}`; make one with `mintbench run --out DIR`", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not what a run writes.
    #[error("`{path}` is not a result of `mintbench run`", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// It is of another format.
    #[error(
        "the baseline has the format `{found}`, not `{SCHEMA}`; make it anew with this version"
    )]
    Schema {
        /// The format.
        found: String,
    },
    /// It was measured on another machine.
    #[error(
        "the baseline is from an unlike machine ({theirs}, {their_cpu}), and this one is {ours} ({our_cpu}); numbers of two machines do not compare: make a baseline here, or name the other build with --base"
    )]
    Unlike {
        /// The fingerprint of the baseline.
        theirs: String,
        /// Its processor.
        their_cpu: String,
        /// The fingerprint of this machine.
        ours: String,
        /// Its processor.
        our_cpu: String,
    },
    /// It is of something that a gate cannot repeat.
    #[error("the baseline cannot be compared with: {0}")]
    Unfit(&'static str),
}

/// A stored run.
#[derive(Debug)]
pub struct Baseline {
    /// What was sent.
    pub scenario: String,
    /// Of everything random.
    pub seed: u64,
    /// How.
    pub load: BaselineLoad,
    /// The build that was measured.
    pub commit: String,
    /// What it came to.
    pub leg: Leg,
}

/// The load of a stored run, as its file holds it.
#[derive(Clone, Debug, Deserialize)]
pub struct BaselineLoad {
    /// The spacing of requests.
    pub arrivals: String,
    /// Requests per second.
    pub rate_target: Option<f64>,
    /// Requests acted on per second.
    pub rate_achieved: Option<f64>,
    /// Requests that were meant.
    pub scheduled: f64,
    /// The measured part in seconds.
    pub duration_s: f64,
    /// The part before it in seconds.
    pub warmup_s: f64,
    /// Connections.
    pub connections: u32,
    /// VMs of the world.
    pub vms: u32,
    /// User-assigned identities of each.
    pub user_assigned: u32,
    /// Generator threads.
    pub threads: usize,
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

#[derive(Deserialize)]
struct File {
    scenario: String,
    seed: u64,
    build: Build,
    host: Machine,
    load: BaselineLoad,
    validity: Validity,
    classes: BTreeMap<String, ClassPart>,
    broker: Option<Broker>,
    checks: Checks,
}

#[derive(Deserialize)]
struct Build {
    git_commit: String,
}

#[derive(Deserialize)]
struct Machine {
    cpu_model: String,
    fingerprint: String,
    steal_share: f64,
}

#[derive(Deserialize)]
struct Validity {
    reasons: Vec<String>,
    unsent: u64,
}

#[derive(Deserialize)]
struct ClassPart {
    count: u64,
    response_us: Points,
}

#[derive(Deserialize)]
struct Points {
    p50: Option<f64>,
    p99: Option<f64>,
}

#[derive(Deserialize)]
struct Broker {
    hits: f64,
    misses: f64,
    coalesced: f64,
    cpu_us_per_request: Option<f64>,
    rss_bytes: f64,
}

#[derive(Deserialize)]
struct Checks {
    passed: bool,
}

impl Baseline {
    /// Reads the run in the folder `path`, which must be of a machine with this fingerprint.
    ///
    /// # Errors
    /// [`BaselineError`] when there is none, or none that this machine can be compared with.
    pub fn read(path: &Path, fingerprint: &str, cpu: &str) -> Result<Self, BaselineError> {
        let path = path.join("run.json");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| BaselineError::Read { path: path.clone(), source })?;
        let parse = |source| BaselineError::Parse { path: path.clone(), source };
        let Head { schema } = serde_json::from_str(&text).map_err(parse)?;
        if schema != SCHEMA {
            return Err(BaselineError::Schema { found: schema });
        }
        let file: File = serde_json::from_str(&text).map_err(parse)?;
        if file.host.fingerprint != fingerprint {
            return Err(BaselineError::Unlike {
                theirs: file.host.fingerprint,
                their_cpu: file.host.cpu_model,
                ours: fingerprint.to_owned(),
                our_cpu: cpu.to_owned(),
            });
        }
        file.into_baseline()
    }
}

impl File {
    fn into_baseline(self) -> Result<Baseline, BaselineError> {
        let Some(broker) = &self.broker else {
            return Err(BaselineError::Unfit(
                "it is a run against --target, and the gate starts a broker of its own",
            ));
        };
        if !self.checks.passed {
            return Err(BaselineError::Unfit("its checks failed"));
        }
        let leg = Leg {
            values: Metric::ALL
                .into_iter()
                .filter_map(|m| Some((m, self.value(broker, m)?)))
                .collect(),
            responses: BTreeMap::new(),
            kept_rate: self.kept_rate(),
            reasons: self.validity.reasons,
            failures: Vec::new(),
            steal_share: self.host.steal_share,
        };
        Ok(Baseline {
            scenario: self.scenario,
            seed: self.seed,
            load: self.load,
            commit: self.build.git_commit,
            leg,
        })
    }

    fn kept_rate(&self) -> bool {
        let BaselineLoad { rate_achieved, scheduled, duration_s, .. } = &self.load;
        let acted = rate_achieved.unwrap_or(0.0) * duration_s;
        self.validity.unsent == 0 && !self.classes.is_empty() && keeps_rate(acted, *scheduled)
    }

    fn value(&self, broker: &Broker, metric: Metric) -> Option<f64> {
        let lookups = broker.hits + broker.misses + broker.coalesced;
        match metric {
            Metric::Cpu => broker.cpu_us_per_request,
            Metric::HitRatio => (lookups > 0.0).then(|| broker.hits / lookups),
            Metric::Memory => Some(broker.rss_bytes).filter(|rss| *rss > 0.0),
            Metric::Response(class, percentile) => self.percentile(class, percentile),
        }
    }

    fn percentile(&self, class: Class, percentile: Percentile) -> Option<f64> {
        let class = self.classes.get(class.as_str())?;
        let points = (class.count >= percentile.samples_min()).then_some(&class.response_us)?;
        match percentile {
            Percentile::P50 => points.p50,
            Percentile::P99 => points.p99,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A committed run of 30 s, as users have them.
    const STEADY: &str = "results/reference/steady";

    fn fingerprint_of(folder: &str) -> String {
        let text = std::fs::read_to_string(Path::new(folder).join("run.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        json["host"]["fingerprint"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_stored_run_becomes_a_leg_with_its_values() {
        let baseline = Baseline::read(Path::new(STEADY), &fingerprint_of(STEADY), "cpu").unwrap();
        assert_eq!(baseline.scenario, "steady");
        assert!(baseline.load.rate_target.unwrap() > 0.0);
        for metric in ["cpu", "memory", "hit-ratio", "hit.p50", "hit.p99"] {
            assert!(baseline.leg.values[&metric.parse().unwrap()] > 0.0, "{metric}");
        }
    }

    #[test]
    fn another_machine_another_format_and_no_file_are_refused() {
        let unlike = Baseline::read(Path::new(STEADY), "000000000000", "cpu").unwrap_err();
        assert!(matches!(unlike, BaselineError::Unlike { .. }), "{unlike}");
        let folder = tempfile::tempdir().unwrap();
        let missing = Baseline::read(folder.path(), "", "").unwrap_err();
        assert!(matches!(missing, BaselineError::Read { .. }), "{missing}");
        for (text, expected) in
            [("{", "not a result"), ("{\"schema\":\"mintbench/run/9\"}", "mintbench/run/9")]
        {
            std::fs::write(folder.path().join("run.json"), text).unwrap();
            let error = Baseline::read(folder.path(), "", "").unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
