//! What a plan says as JSON, schema `mintbench/plan/1`. The order of the fields is the order in the file.

use serde::Serialize;

use super::answer::Answer;
use super::fit::{Cost, MemoryModel, Side};
use super::forecast::Forecast;
use super::held_out::Compared;
use super::level::{Level, Verdict};
use super::search::{Found, Probe, Step};
use crate::stats::scalability::Fitted;

/// The name and version of the format.
pub const SCHEMA: &str = "mintbench/plan/1";

/// The whole file.
#[derive(Debug, Serialize)]
pub struct PlanJson {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Whether the nodes are enough.
    pub answer: Answer,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// Of everything random.
    pub seed: u64,
    /// Signature algorithm that was measured.
    pub alg: String,
    /// The objective.
    pub slo: String,
    /// The share of the cores' time that may be used.
    pub target: f64,
    /// Cores that the broker had when it was measured.
    pub measured_cores: u32,
    /// Cache hits.
    pub hit: Option<SideJson>,
    /// Mints.
    pub mint: Option<SideJson>,
    /// Memory of the broker.
    pub memory: Option<MemoryModel>,
    /// What the fleet comes to.
    pub forecast: Option<Forecast>,
    /// How far the model was from runs that it was not fitted to.
    pub held_out: HeldOut,
    /// What a reader should know.
    pub notes: Vec<String>,
    /// The same in words; the answer comes first.
    pub sentences: Vec<String>,
}

/// Hits, or mints.
#[derive(Debug, Serialize)]
pub struct SideJson {
    /// The highest rate that meets the objective.
    pub rate_per_core: Option<f64>,
    /// The next rate that does not, and why.
    pub bracket: Option<Bracket>,
    /// Whether the generator and not the broker is behind the bracket.
    pub generator_limited: bool,
    /// What a request takes.
    pub cost: Option<Cost>,
    /// The most answers per second of a broker that could do no more.
    pub pace: Option<f64>,
    /// The scalability law.
    pub law: Option<LawJson>,
    /// Why there is no law.
    pub law_note: Option<String>,
    /// Where d ln p99 / d ln rate exceeds 1.
    pub knee_elastic: Option<f64>,
    /// Where Kneedle puts the knee.
    pub knee_kneedle: Option<f64>,
    /// Every level, in the order of measurement.
    pub levels: Vec<LevelJson>,
    /// The monotone curve.
    pub curve: Vec<Point>,
}

/// The next failing rate.
#[derive(Debug, Serialize)]
pub struct Bracket {
    /// Requests per second.
    pub rate: f64,
    /// Why it failed.
    pub cause: String,
}

/// X(N) = lambda N / (1 + sigma (N - 1) + kappa N (N - 1)).
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "docs/schema/plan-1.json describes every field")]
pub struct LawJson {
    pub lambda: f64,
    pub sigma: f64,
    pub kappa: f64,
    pub lambda_interval: [f64; 2],
    pub sigma_interval: [f64; 2],
    pub kappa_interval: [f64; 2],
    pub ceiling: Option<f64>,
    pub concurrency_measured_max: f64,
}

/// One level.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "docs/schema/plan-1.json describes every field")]
pub struct LevelJson {
    pub rate: f64,
    pub answered: f64,
    pub met: bool,
    pub cause: Option<String>,
    pub p50_us: f64,
    pub p99_us: f64,
    pub upper_us: Option<f64>,
    pub errors: f64,
    pub cpu_us_per_request: Option<f64>,
    pub concurrency: f64,
    pub noise: Vec<String>,
}

/// One rate of the monotone curve.
#[derive(Debug, Serialize)]
#[expect(missing_docs, reason = "docs/schema/plan-1.json describes every field")]
pub struct Point {
    pub rate: f64,
    pub upper_us: f64,
}

/// How many times what it took in the calibration a request takes beside the held-out runs, by which
/// costs are multiplied; none where that was not measured.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Drift {
    /// A hit.
    pub hit: Option<f64>,
    /// A mint.
    pub mint: Option<f64>,
}

/// The check of the model.
#[derive(Debug, Default, Serialize)]
pub struct HeldOut {
    /// What was compared.
    pub compared: Vec<Compared>,
    /// The share of misses in the mix.
    pub misses: Option<f64>,
    /// Every level of the mix, in the order of measurement.
    pub mix: Vec<LevelJson>,
    /// How the machine had changed by then.
    pub mix_drift: Drift,
    /// Every storm.
    pub storms: Vec<LevelJson>,
    /// How the machine had changed by then.
    pub storm_drift: Drift,
    /// Why something was not compared.
    pub notes: Vec<String>,
}

impl SideJson {
    /// What a side of the calibration says.
    pub fn of(side: &Side) -> Self {
        let missed = side.found.missed.as_ref();
        Self {
            rate_per_core: side.rate(),
            bracket: missed.map(Bracket::of),
            generator_limited: side.is_generator_limited(),
            cost: Some(side.cost),
            pace: side.pace(),
            law: side.law.as_ref().ok().map(LawJson::of),
            law_note: side.law.as_ref().err().map(ToString::to_string),
            knee_elastic: side.knee_elastic,
            knee_kneedle: side.knee_kneedle,
            levels: LevelJson::of_all(&side.found),
            curve: side
                .found
                .curve
                .iter()
                .map(|step| Point { rate: step.rate, upper_us: step.upper_ns / 1e3 })
                .collect(),
        }
    }
}

impl Bracket {
    fn of(step: &Step) -> Self {
        let cause = step.missed.as_ref().map(ToString::to_string).unwrap_or_default();
        Self { rate: step.rate, cause }
    }
}

impl LawJson {
    fn of(fitted: &Fitted) -> Self {
        let [lambda, sigma, kappa] = fitted.intervals.map(|(low, high)| [low, high]);
        Self {
            lambda: fitted.law.lambda,
            sigma: fitted.law.sigma,
            kappa: fitted.law.kappa,
            lambda_interval: lambda,
            sigma_interval: sigma,
            kappa_interval: kappa,
            ceiling: fitted.law.ceiling(),
            concurrency_measured_max: fitted.measured_max,
        }
    }
}

impl LevelJson {
    /// Every level of a search.
    pub fn of_all(found: &Found) -> Vec<Self> {
        let probe = |probe: &Probe| Self::of(&probe.level, &probe.verdict);
        found.probes.iter().map(probe).collect()
    }

    /// A level and what it says.
    pub fn of(level: &Level, verdict: &Verdict) -> Self {
        Self {
            rate: level.offered,
            answered: level.answered,
            met: *verdict == Verdict::Met,
            cause: match verdict {
                Verdict::Met => None,
                Verdict::Missed(cause) => Some(cause.to_string()),
            },
            p50_us: level.p50_ns / 1e3,
            p99_us: level.p99_ns / 1e3,
            upper_us: level.upper_ns.map(|ns| ns / 1e3),
            errors: level.errors,
            cpu_us_per_request: level.cpu_us,
            concurrency: level.concurrency(),
            noise: level.noise.clone(),
        }
    }
}
