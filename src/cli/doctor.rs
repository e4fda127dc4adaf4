//! `mintbench doctor`: what this machine can and cannot measure, and what to change.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::run::settings::{Settings, SettingsError};
use super::run::{RunArgs, Scenario};
use super::{Exit, refuse, signals};
use crate::clock::SystemClock;
use crate::load::class::Class;
use crate::load::collector::Discard;
use crate::load::doctor::{self, DoctorError, Examined, Finding, Level, Pair};
use crate::load::session::{self, Outcome, SessionError, Subject, Watcher};
use crate::load::stop::Stop;

/// Say what this machine can and cannot measure, and what to change
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the machine can measure; 4 it cannot (pacing late by more than 1 ms at the \
p99, more than 5 % stolen by the hypervisor, or stopped by a quota for more than 1 %); 2 usage; 130 interrupted."
)]
pub struct DoctorArgs {
    /// How long to look, from 1s to 10m
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
    #[error("cannot write the result to standard output")]
    Print(#[source] io::Error),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// The result for a script; `schema` changes when a reader has to.
#[derive(Debug, Serialize)]
struct DoctorJson<'a> {
    schema: &'static str,
    can_measure: bool,
    fingerprint: String,
    findings: &'a [Finding],
}

/// Runs the command.
pub fn main(args: &DoctorArgs) -> Exit {
    let stop = Arc::new(Stop::default());
    signals::end_at_once(Arc::clone(&stop));
    match run(args, &stop) {
        // Whatever failed then failed because of it.
        _ if stop.is_requested() => Exit::Interrupted,
        Ok(exit) => exit,
        Err(error) => refuse(&error),
    }
}

fn run(args: &DoctorArgs, stop: &Arc<Stop>) -> Result<Exit, CliError> {
    if !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&args.duration) {
        return Err(CliError::Duration(args.duration));
    }
    let examined = doctor::examine(args.duration, stop)?;
    let mut findings = examined.findings();
    if args.thorough {
        findings.extend(thorough(stop)?);
    }
    let hopeless = findings.iter().any(|finding| finding.level == Level::Hopeless);
    let exit = if hopeless { Exit::Invalid } else { Exit::Pass };
    let text = if args.json { json(&examined, &findings, exit)? } else { text(&findings) };
    io::stdout().lock().write_all(text.as_bytes()).map_err(CliError::Print)?;
    Ok(exit)
}

fn text(findings: &[Finding]) -> String {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    let lines = lines.join("\n");
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let verdict = match (count(Level::Hopeless), count(Level::Warn)) {
        (0, 0) => "this machine can measure".to_owned(),
        (0, warnings) => format!(
            "this machine can measure, within the limits of {warnings} warning(s); a run says itself whether it was valid"
        ),
        _ => "nothing that is measured on this machine now would mean anything".to_owned(),
    };
    format!("{lines}\n\n{verdict}\n")
}

fn json(examined: &Examined, findings: &[Finding], exit: Exit) -> Result<String, CliError> {
    let (fingerprint, can_measure) = (examined.host.fingerprint(), exit == Exit::Pass);
    let json = DoctorJson { schema: "mintbench/doctor/1", can_measure, fingerprint, findings };
    let text =
        serde_json::to_string_pretty(&json).map_err(|error| CliError::Print(error.into()))?;
    Ok(format!("{text}\n"))
}

/// What one short run of our broker comes to.
#[derive(Clone, Copy)]
struct Leg {
    p50_ns: f64,
    p99_ns: f64,
    cpu_us: f64,
}

/// Pairs of legs, each with a broker of its own, as in a gate.
const PAIRS: usize = 8;

/// Pairs of the same build: what they differ by is what the machine does.
fn thorough(stop: &Arc<Stop>) -> Result<Vec<Finding>, CliError> {
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        let (first, second) = (leg(stop)?, leg(stop)?);
        // In the order A B B A: a steady drift cancels out.
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
    let args = RunArgs {
        duration: Some(Duration::from_secs(3)),
        warmup: Some(Duration::from_secs(1)),
        vms: Some(100),
        rate: Some(2000.0),
        samples: 1,
        ..RunArgs::of(Scenario::Steady)
    };
    let Settings { plan, .. } = Settings::resolve(&args)?;
    let mut subject = Subject::start(&plan, &[], stop)?;
    let watcher = Watcher { sink: &mut Discard, observe: &mut |_| {} };
    let Outcome { measured, broker, .. } =
        session::measure(&plan, &mut subject, &SystemClock, stop, watcher)?;
    let hits = measured.totals.whole.seen().find(|(class, _)| *class == Class::Hit);
    let at =
        |quantile| hits.map_or(0.0, |(_, hits)| hits.response.value_at_quantile(quantile) as f64);
    let counters = broker.and_then(|counted| counted.measured);
    let cpu_us = counters.and_then(|counters| counters.cpu_us_per_request());
    Ok(Leg { p50_ns: at(0.5), p99_ns: at(0.99), cpu_us: cpu_us.unwrap_or(0.0) })
}
