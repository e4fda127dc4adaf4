//! `mintbench doctor`: tests which measurements are valid on this machine, and advises changes.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use parking_lot::Mutex;

use super::exit::{Exit, refuse};
use super::progress::{Progress, left};
use super::signals;
use super::terminal::{PrintError, Stream, print};
use crate::base::clock::SystemClock;
use crate::base::printable;
use crate::harness::class::Class;
use crate::harness::doctor;
use crate::harness::doctor::examined::{Examined, Pair};
use crate::harness::doctor::{DoctorError, Trial};
use crate::harness::document::doctor::{Doctor, Finding, SCHEMA};
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::validity::{Reason, Usable};
use crate::harness::machine::stop::Stop;
use crate::harness::record::collector::Discard;
use crate::harness::scenario::run_plan::RunPlan;
use crate::harness::scenario::spec::{ProcessLimits, RunSpec, Scenario, SpecError, World};
use crate::harness::session::error::SessionError;
use crate::harness::session::run;
use crate::harness::session::run::Watcher;
use crate::harness::session::subject::Subject;

/// Test which measurements are valid on this machine, and advise changes
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 a run here is valid now; 4 it is not, by the rules of `mintbench run --strict`; 2 usage; \
130 interrupted."
)]
pub(super) struct DoctorArgs {
    /// Length of the examination, 1s to 10m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration, env = "MINTBENCH_DOCTOR_DURATION")]
    duration: Duration,
    /// Measure a broker against itself as well: 8 pairs of short runs, about 80 s more
    #[arg(long, env = "MINTBENCH_DOCTOR_THOROUGH")]
    thorough: bool,
    /// Print JSON instead of sentences
    #[arg(long, env = "MINTBENCH_DOCTOR_JSON")]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Doctor(#[from] DoctorError),
    #[error("--duration {} is out of range; use 1s to 10m", humantime::format_duration(*.0))]
    Duration(Duration),
    #[error(transparent)]
    Print(#[from] PrintError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Spec(#[from] SpecError),
}

/// Runs the command.
pub(super) fn main(args: &DoctorArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    let (known, json) = (Arc::new(Mutex::new(String::new())), args.json);
    let so_far = Arc::clone(&known);
    signals::end_at_once(Arc::clone(&stop), move || {
        // Standard output gets whole JSON or nothing.
        let out = if json { Stream::Error } else { Stream::Output };
        signals::interrupted_after(&so_far.lock(), out, "the examination is not complete");
    });
    match run(args, &stop, &known) {
        // Failures after the interruption are caused by it.
        _ if stop.is_requested() => Exit::Interrupted,
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

fn run(args: &DoctorArgs, stop: &Arc<Stop>, known: &Mutex<String>) -> Result<Exit, CliError> {
    if !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&args.duration) {
        return Err(CliError::Duration(args.duration));
    }
    let progress = Progress::start();
    let pairs = if args.thorough { LEG * 2 * PAIRS } else { Duration::ZERO };
    let begin = |what: &str, ahead: Duration| {
        progress.step(format!("{what}, {}", left((ahead + pairs).as_secs_f64())));
    };
    begin("examining the machine", args.duration);
    let examined = doctor::examine(args.duration / 3 * 2, stop)?;
    let mut findings = examined.findings();
    *known.lock() = lines(&findings);
    begin("measuring a short run", args.duration / 3);
    let trial = trial(args.duration / 3, stop)?;
    findings.push(trial.finding());
    *known.lock() = lines(&findings);
    if args.thorough {
        findings.extend(thorough(stop, &progress)?);
    }
    drop(progress);
    let reasons = [examined.reasons(), trial.reasons].concat();
    let text =
        if args.json { json(&examined, findings, &reasons)? } else { text(&findings, &reasons) };
    print(&text)?;
    Ok(if reasons.is_empty() { Exit::Pass } else { Exit::Invalid })
}

fn text(findings: &[Finding], reasons: &[Reason]) -> String {
    format!("{}\n{}\n", lines(findings), doctor::verdict(findings, reasons))
}

fn lines(findings: &[Finding]) -> String {
    findings.iter().flat_map(|finding| [finding.to_string(), "\n".to_owned()]).collect()
}

fn json(
    examined: &Examined,
    findings: Vec<Finding>,
    reasons: &[Reason],
) -> Result<String, CliError> {
    let document = Doctor {
        schema: SCHEMA.to_owned(),
        can_measure: reasons.is_empty(),
        usable: Usable::of(reasons).names().iter().map(ToString::to_string).collect(),
        fingerprint: examined.host.fingerprint(),
        findings,
    };
    Ok(printable::json(&document).map_err(PrintError::from)?)
}

/// Measures a run at the default rate of `run`.
fn trial(span: Duration, stop: &Arc<Stop>) -> Result<Trial, CliError> {
    let (plan, Outcome { reasons, .. }) = short_run(span, None, stop)?;
    let rate = plan.workload.level().unwrap_or_default();
    Ok(Trial { rate, duration_s: span.as_secs_f64(), reasons })
}

/// Runs `steady` with few VMs and a short warm-up.
fn short_run(
    span: Duration,
    rate: Option<f64>,
    stop: &Arc<Stop>,
) -> Result<(RunPlan, Outcome), CliError> {
    let mut spec = RunSpec::read(Scenario::Steady)?.lasting(span);
    if let Some(rate) = rate {
        spec = spec.at_rate(rate);
    }
    let spec = RunSpec {
        warmup: Duration::from_secs(1),
        world: World { vms: Some(100), ..spec.world },
        samples: 1,
        ..spec
    };
    let plan = spec.resolve(&ProcessLimits::of_process())?.plan;
    let mut subject = Subject::start(&plan, &[], stop)?;
    let watcher = Watcher { sink: &mut Discard, observe: &mut |_| {} };
    let outcome = run::measure(&plan, &mut subject, &SystemClock, stop, watcher)?;
    Ok((plan, outcome))
}

/// Results of one short run of our broker.
#[derive(Clone, Copy)]
struct Leg {
    p50_ns: f64,
    p99_ns: f64,
    cpu_us: f64,
}

/// Number of pairs of legs. Each leg has its own broker, as in a gate.
const PAIRS: u32 = 8;
/// Approximate time of a leg, including the start of its broker.
const LEG: Duration = Duration::from_secs(5);

/// Measures pairs of the same build. Their differences come from the machine.
fn thorough(stop: &Arc<Stop>, progress: &Progress) -> Result<Vec<Finding>, CliError> {
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let ahead = left((LEG * 2 * (PAIRS - pair)).as_secs_f64());
        progress.step(format!("pair {} of {PAIRS}, {ahead}", pair + 1));
        let (first, second) = (leg(stop)?, leg(stop)?);
        // In the order A B B A, a steady drift cancels out.
        pairs.push(if pair % 2 == 0 { (first, second) } else { (second, first) });
    }
    let of = |metric: fn(&Leg) -> f64| -> Vec<Pair> {
        pairs.iter().map(|(a, b)| Pair(metric(a), metric(b))).collect()
    };
    Ok(vec![
        doctor::effect("hit p50", &of(|leg| leg.p50_ns), "the median response of cache hits"),
        doctor::effect("hit p99", &of(|leg| leg.p99_ns), "the p99 response of cache hits"),
        doctor::effect("CPU", &of(|leg| leg.cpu_us), "the broker's CPU time per request"),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
fn leg(stop: &Arc<Stop>) -> Result<Leg, CliError> {
    let (_, outcome) = short_run(Duration::from_secs(3), Some(2000.0), stop)?;
    let Outcome { measured, broker, .. } = outcome;
    let hits = measured.totals.whole.seen().find(|(class, _)| *class == Class::Hit);
    let at =
        |quantile| hits.map_or(0.0, |(_, hits)| hits.response.value_at_quantile(quantile) as f64);
    let counters = broker.and_then(|counted| counted.measured);
    let cpu_us = counters.and_then(|counters| counters.cpu_us_per_request());
    Ok(Leg { p50_ns: at(0.5), p99_ns: at(0.99), cpu_us: cpu_us.unwrap_or(0.0) })
}
