//! A stored run as the base of a gate. It is read from its `run.json` and used only on the machine it
//! was measured on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::leg::{Leg, keeps_rate};
use super::metric::{Metric, Percentile};
use crate::harness::class::Class;
use crate::harness::document::run::Run;
use crate::harness::document::run::broker::Broker;
use crate::harness::document::run::load::Load;
use crate::harness::report::stored::{StoredError, read_run};

/// Reasons why a folder cannot be used as a baseline.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BaselineError {
    /// The folder has no `run.json`.
    #[error("there is no baseline: `{path}` holds no run.json; make one with `mintbench run --out DIR`", path = .0.display())]
    Absent(PathBuf),
    /// The file cannot be read, or has another format.
    #[error("there is no baseline that can be read; make one with `mintbench run --out DIR`")]
    Stored(#[from] StoredError),
    /// The baseline was measured on another machine.
    #[error(
        "the baseline is from an unlike machine ({theirs}, {their_cpu}), and this one is {ours} ({our_cpu}); numbers of two machines do not compare: make a baseline here, or name the other build with --base"
    )]
    Unlike {
        /// Fingerprint of the baseline's machine.
        theirs: String,
        /// Processor of the baseline's machine.
        their_cpu: String,
        /// Fingerprint of this machine.
        ours: String,
        /// Processor of this machine.
        our_cpu: String,
    },
    /// A gate cannot repeat this kind of run.
    #[error("the baseline cannot be compared with: {0}")]
    Unfit(&'static str),
    /// Its broker was started with arguments that the gate does not use.
    #[error(
        "the baseline cannot be compared with: its broker was started with `{0}`, and the gate starts one without; make a baseline without them, or use --base"
    )]
    Started(String),
    /// Its scenario is a file, not a built-in scenario.
    #[error(
        "the baseline cannot be compared with: its scenario is the file `{0}`, and the gate knows those that are built in"
    )]
    Scenario(String),
}

/// Stored run that a candidate is compared with.
#[derive(Debug)]
pub(crate) struct Baseline {
    /// Name of the scenario.
    pub(crate) scenario: String,
    /// Seed of everything random.
    pub(crate) seed: u64,
    /// Load of the run.
    pub(crate) load: Load,
    /// Commit of the measured build.
    pub(crate) commit: String,
    /// Results of the run.
    pub(crate) leg: Leg,
}

impl Baseline {
    /// Reads the run in the folder `path`. It must come from a machine with this fingerprint.
    ///
    /// # Errors
    /// Returns [`BaselineError`] when there is no run, or none that this machine can be compared with.
    pub(crate) fn read(path: &Path, fingerprint: &str, cpu: &str) -> Result<Self, BaselineError> {
        let run = read_run(path)?.ok_or_else(|| BaselineError::Absent(path.to_owned()))?;
        if run.host.fingerprint != fingerprint {
            return Err(BaselineError::Unlike {
                theirs: run.host.fingerprint,
                their_cpu: run.host.cpu_model,
                ours: fingerprint.to_owned(),
                our_cpu: cpu.to_owned(),
            });
        }
        Self::of(run)
    }

    fn of(run: Run) -> Result<Self, BaselineError> {
        let leg = leg(&run, repeatable(&run)?);
        let Run { scenario, seed, load, build, .. } = run;
        Ok(Self { scenario, seed, load, commit: build.git_commit, leg })
    }
}

/// Returns the broker's counters of a run, if a gate can repeat that run.
fn repeatable(run: &Run) -> Result<&Broker, BaselineError> {
    if run.merged.is_some() {
        return Err(BaselineError::Unfit("it is merged of several runs"));
    }
    if let Some(file) = run.load.scenario_file.clone() {
        return Err(BaselineError::Scenario(file));
    }
    let args = run.load.serve_args.as_deref().unwrap_or_default();
    if !args.is_empty() {
        return Err(BaselineError::Started(args.join(" ")));
    }
    if !run.checks.passed {
        return Err(BaselineError::Unfit("its checks failed"));
    }
    run.broker.as_ref().ok_or(BaselineError::Unfit(
        "it is a run against --target, and the gate starts a broker of its own",
    ))
}

fn leg(run: &Run, broker: &Broker) -> Leg {
    let values = Metric::ALL.into_iter();
    Leg {
        values: values.filter_map(|m| Some((m, value(run, broker, m)?))).collect(),
        responses: BTreeMap::new(),
        kept_rate: kept_rate(run),
        late_medians: BTreeSet::new(),
        reasons: run.validity.faults(),
        failures: Vec::new(),
        steal_share: run.host.steal_share,
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn kept_rate(run: &Run) -> bool {
    let Load { rate_achieved, scheduled, duration_s, .. } = &run.load;
    let acted = rate_achieved.unwrap_or(0.0) * duration_s;
    run.validity.unsent == 0 && !run.classes.is_empty() && keeps_rate(acted, *scheduled as f64)
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn value(run: &Run, broker: &Broker, metric: Metric) -> Option<f64> {
    match metric {
        Metric::Cpu => broker.cpu_us_per_request,
        Metric::HitRatio => broker.hit_ratio(),
        Metric::Memory => broker.anonymous_bytes.map(|bytes| bytes as f64),
        Metric::Response(class, percentile) => at(run, class, percentile),
    }
}

fn at(run: &Run, class: Class, percentile: Percentile) -> Option<f64> {
    let class = run.classes.get(&class)?;
    let points = (class.count >= percentile.samples_min()).then(|| class.response_us.values())?;
    match percentile {
        Percentile::P50 => points.p50,
        Percentile::P99 => points.p99,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a committed run of 30 s, like one a user has.
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
        for metric in ["cpu", "hit-ratio", "hit.p50", "hit.p99"] {
            assert!(baseline.leg.values[&metric.parse().unwrap()] > 0.0, "{metric}");
        }
        let mut run = read_run(Path::new(STEADY)).unwrap().unwrap();
        let memory = |run: &Run| value(run, run.broker.as_ref().unwrap(), Metric::Memory);
        // Resident memory, as older runs have it, is another quantity than the memory of a leg.
        run.broker.as_mut().unwrap().anonymous_bytes = None;
        assert_eq!(memory(&run), None);
        run.broker.as_mut().unwrap().anonymous_bytes = Some(1_056_768);
        assert_eq!(memory(&run), Some(1_056_768.0));
    }

    #[test]
    fn another_machine_another_format_and_no_file_are_refused() {
        let unlike = Baseline::read(Path::new(STEADY), "000000000000", "cpu").unwrap_err();
        assert!(matches!(unlike, BaselineError::Unlike { .. }), "{unlike}");
        let folder = tempfile::tempdir().unwrap();
        let missing = Baseline::read(folder.path(), "", "").unwrap_err();
        assert!(matches!(missing, BaselineError::Absent(_)), "{missing}");
        for (text, expected) in
            [("{", "is damaged"), ("{\"schema\":\"mintbench/run/9\"}", "mintbench/run/9")]
        {
            std::fs::write(folder.path().join("run.json"), text).unwrap();
            let error = Baseline::read(folder.path(), "", "").unwrap_err();
            let cause = std::error::Error::source(&error).unwrap().to_string();
            assert!(cause.contains(expected), "{cause}");
        }
    }

    /// Returns the refusal of the committed run after `change`.
    fn refusal(change: impl FnOnce(&mut Run)) -> String {
        let mut run = read_run(Path::new(STEADY)).unwrap().unwrap();
        change(&mut run);
        Baseline::of(run).unwrap_err().to_string()
    }

    #[test]
    fn a_load_that_the_gate_cannot_repeat_is_refused_by_name() {
        let args = refusal(|run| {
            run.load.serve_args = Some(["--alg", "EdDSA"].map(str::to_owned).to_vec());
        });
        assert!(args.contains("`--alg EdDSA`"), "{args}");
        let file = refusal(|run| {
            run.load.scenario_file = Some("steady.toml".to_owned());
        });
        assert!(file.contains("`steady.toml`"), "{file}");
        assert!(refusal(|run| run.broker = None).contains("--target"));
        assert!(refusal(|run| run.checks.passed = false).contains("checks failed"));
    }
}
