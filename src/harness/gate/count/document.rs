//! Builds the `count.json` document of a gate that counted. All other output forms are made from it.

use std::collections::BTreeSet;

use super::allowance::Allowances;
use super::figures::{change, name};
pub(crate) use super::judge::Sides;
use super::judge::{grown, metrics, overall};
use crate::base::clock::UnixSeconds;
use crate::harness::document::count::{Count, CountedMetric, SCHEMA};
use crate::harness::document::gate::{BuildName, Verdict};
use crate::harness::report::host::{build, host};

/// Identity of a gate: its time, its builds, and what counted them.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// Time at which the gate began.
    pub(crate) started_at: UnixSeconds,
    /// Base build.
    pub(crate) base: BuildName,
    /// Candidate build.
    pub(crate) candidate: BuildName,
    /// Name and version of the program that counted.
    pub(crate) counter: String,
    /// Command of a server that is no mintbench.
    pub(crate) command: Option<String>,
}

/// Failed checks of the two builds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Failures {
    /// Failed checks of the base.
    pub(crate) base: Vec<String>,
    /// Failed checks of the candidate.
    pub(crate) candidate: Vec<String>,
}

/// Builds the document of a gate.
pub(crate) fn document(
    identity: Identity,
    sides: &Sides,
    allowances: &Allowances,
    failures: &Failures,
) -> Count {
    let metrics = metrics(sides, allowances);
    let verdict = overall(&metrics, [&failures.base, &failures.candidate]);
    let failures = named(failures);
    let nameless = nameless(sides);
    Count {
        schema: SCHEMA.to_owned(),
        started_at: identity.started_at.rfc3339(),
        verdict,
        sentence: sentence(verdict, &metrics, &failures),
        base: identity.base,
        candidate: identity.candidate,
        counter: identity.counter,
        command: identity.command,
        host: host(0.0),
        build: build(),
        grown: if nameless.is_empty() { grown(sides) } else { Vec::new() },
        notes: notes(&nameless),
        metrics,
        failures,
    }
}

fn named(failures: &Failures) -> Vec<String> {
    let of = |side: &'static str, failures: &[String]| {
        failures.iter().map(move |failure| format!("{side}: {failure}")).collect::<Vec<_>>()
    };
    [of("base", &failures.base), of("candidate", &failures.candidate)].concat()
}

/// Returns the sides whose functions have no names.
fn nameless(sides: &Sides) -> Vec<&'static str> {
    let sides = [("base", &sides.base), ("candidate", &sides.candidate)];
    let nameless = sides.into_iter().filter(|(_, counts)| counts.iter().any(|one| one.nameless));
    nameless.map(|(side, _)| side).collect()
}

fn notes(nameless: &[&str]) -> Vec<String> {
    if nameless.is_empty() {
        return Vec::new();
    }
    let sides = nameless.join(" and ");
    vec![format!(
        "no function is named, since the names are stripped from the {sides}; build with CARGO_PROFILE_RELEASE_STRIP=none, or let the gate build it with --base-rev and --candidate-rev"
    )]
}

/// Returns the verdict as text.
fn sentence(verdict: Verdict, metrics: &[CountedMetric], failures: &[String]) -> String {
    match verdict {
        Verdict::Fail | Verdict::Invalid if !failures.is_empty() => {
            format!("checks failed, so that work does not matter: {}", failures.join("; "))
        }
        Verdict::Fail => {
            let fails = metrics.iter().filter(|metric| metric.verdict == Verdict::Fail);
            let fails: Vec<String> = fails.map(grew).collect();
            format!("more work for a request than is allowed: {}", fails.join(", "))
        }
        Verdict::Inconclusive => {
            let open = metrics.iter().filter(|metric| metric.verdict == Verdict::Inconclusive);
            let open: Vec<String> = open.map(name).collect();
            format!(
                "counts of one build differ too much to show or to exclude a growth beyond what is allowed: {}; allow more (--allow), or find what makes them differ",
                open.join(", ")
            )
        }
        Verdict::Invalid => "nothing was counted".to_owned(),
        Verdict::Pass => {
            let classes: BTreeSet<&str> =
                metrics.iter().map(|metric| metric.class.as_str()).collect();
            let classes: Vec<&str> = classes.into_iter().collect();
            format!(
                "covers instructions, allocations and system calls of {}, no time: each is within its allowance",
                classes.join(", ")
            )
        }
    }
}

fn grew(metric: &CountedMetric) -> String {
    format!("{} {}", name(metric), change(metric))
}
