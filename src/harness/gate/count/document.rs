//! Builds the `count.json` document of a gate that counted. All other output forms are made from it.

use std::collections::BTreeSet;

use super::allowance::Allowances;
use super::counting::Counts;
use super::figures::{change, name};
pub(crate) use super::judge::Sides;
use super::judge::{grown, has, is_done_elsewhere, metrics, overall};
use crate::base::clock::UnixSeconds;
use crate::harness::document::count::{Count, CountedMetric, SCHEMA, Work};
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
    let nameless = sides_with(sides, |counts| counts.nameless);
    let parents = sides_with(sides, |counts| counts.has_children);
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
        notes: notes(&nameless, &parents, &metrics),
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

/// Returns the sides of which a count has this property.
fn sides_with(sides: &Sides, property: fn(&Counts) -> bool) -> Vec<&'static str> {
    let sides = [("base", &sides.base), ("candidate", &sides.candidate)];
    let with = sides.into_iter().filter(|(_, counts)| counts.iter().any(property));
    with.map(|(side, _)| side).collect()
}

fn notes(nameless: &[&str], parents: &[&str], metrics: &[CountedMetric]) -> Vec<String> {
    let sides = nameless.join(" and ");
    let stripped = (!nameless.is_empty()).then(|| {
        format!(
            "no function is named, since the names are stripped from the {sides}; build with CARGO_PROFILE_RELEASE_STRIP=none, or let the gate build it with --base-rev and --candidate-rev"
        )
    });
    let unseen = lacks_allocations(metrics).then(|| {
        "allocations were not counted: no request of the candidate made one that Valgrind sees, and it sees those of the C library only; a server with an allocator of its own has to use that one to be counted".to_owned()
    });
    let forked = (!parents.is_empty()).then(|| {
        format!(
            "other processes that the {} started are not counted; let --command start one process that does all the work",
            parents.join(" and ")
        )
    });
    stripped.into_iter().chain(unseen).chain(forked).collect()
}

/// Returns true if the allocations were not counted.
fn lacks_allocations(metrics: &[CountedMetric]) -> bool {
    let is_unseen = |of: &CountedMetric| of.work == Work::Allocations && of.not_counted.is_some();
    metrics.iter().any(is_unseen)
}

/// Returns the verdict as text.
fn sentence(verdict: Verdict, metrics: &[CountedMetric], failures: &[String]) -> String {
    match verdict {
        Verdict::Fail | Verdict::Invalid if !failures.is_empty() => {
            format!("checks failed, so that work does not matter: {}", failures.join("; "))
        }
        Verdict::Fail => {
            let fails = metrics.iter().filter(|metric| has(metric, Verdict::Fail));
            let fails: Vec<String> = fails.map(grew).collect();
            format!("more work for a request than is allowed: {}", fails.join(", "))
        }
        Verdict::Inconclusive => {
            let open = metrics.iter().filter(|metric| has(metric, Verdict::Inconclusive));
            let open: Vec<String> = open.map(name).collect();
            format!(
                "counts of one build differ too much to show or to exclude a growth beyond what is allowed: {}; allow more (--allow), or find what makes them differ",
                open.join(", ")
            )
        }
        Verdict::Invalid => invalid(metrics),
        Verdict::Pass => pass(metrics),
    }
}

fn invalid(metrics: &[CountedMetric]) -> String {
    let idle = metrics.iter().filter(|metric| is_done_elsewhere(metric)).filter_map(|metric| {
        let reason = metric.not_counted.as_ref()?;
        Some(format!("{} is {reason}", name(metric)))
    });
    let idle: Vec<String> = idle.collect();
    if idle.is_empty() {
        return "nothing was counted".to_owned();
    }
    format!(
        "cannot tell, because another process than the counted one does the work: {}; let --command start the program that answers, in one process, without a shell, a supervisor or workers",
        idle.join(", ")
    )
}

fn pass(metrics: &[CountedMetric]) -> String {
    let classes: BTreeSet<&str> = metrics.iter().map(|metric| metric.class.as_str()).collect();
    let classes: Vec<&str> = classes.into_iter().collect();
    let classes = classes.join(", ");
    let covers = if lacks_allocations(metrics) {
        format!("instructions and system calls of {classes}, no allocations and no time")
    } else {
        format!("instructions, allocations and system calls of {classes}, no time")
    };
    format!("covers {covers}: each is within its allowance")
}

fn grew(metric: &CountedMetric) -> String {
    format!("{} {}", name(metric), change(metric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::class::Class;

    /// Returns the document of two equal builds that make so many allocations, instructions and calls.
    fn of_equal(allocations: f64, instructions: f64, calls: f64) -> Count {
        let work = [
            (Work::Allocations, allocations),
            (Work::AllocatedBytes, 16.0 * allocations),
            (Work::Instructions, instructions),
            (Work::SystemCalls, calls),
        ];
        let work = work.into_iter().map(|(work, count)| ((Class::All, work), count)).collect();
        let counts = vec![Counts { work, ..Counts::default() }];
        let build = BuildName { name: "x".to_owned(), commit: None, sha256: None };
        let identity = Identity {
            started_at: UnixSeconds(0),
            base: build.clone(),
            candidate: build,
            counter: "valgrind".to_owned(),
            command: Some("{program} {port}".to_owned()),
        };
        let sides = Sides { base: counts.clone(), candidate: counts };
        document(identity, &sides, &Allowances::with(&[]), &Failures::default())
    }

    #[test]
    fn a_pass_says_if_no_allocation_was_seen() {
        let counted = of_equal(2.0, 9_000.0, 3.0);
        let unseen = of_equal(0.0, 9_000.0, 3.0);
        assert_eq!((counted.verdict, unseen.verdict), (Verdict::Pass, Verdict::Pass));
        assert!(counted.sentence.starts_with("covers instructions, allocations and system calls"));
        assert!(unseen.sentence.contains("of all, no allocations and no time"));
        assert!(counted.notes.is_empty() && unseen.notes[0].contains("not counted"));
        for (text, not_counted) in [(counted, 0), (unseen, 2)] {
            let text = super::super::text::render(&text);
            let rows = text.lines().filter(|line| line.trim_end().ends_with("not counted"));
            assert_eq!(rows.count(), not_counted, "{text}");
        }
    }

    #[test]
    fn a_note_names_the_sides_whose_children_are_not_counted() {
        let of = |has_children| vec![Counts { has_children, ..Counts::default() }];
        let sides = Sides { base: of(false), candidate: of(true) };
        let parents = sides_with(&sides, |counts| counts.has_children);
        let [note] = notes(&[], &parents, &[]).try_into().unwrap();
        assert!(note.starts_with("other processes that the candidate started are not"), "{note}");
    }

    #[test]
    fn the_count_of_an_idle_process_is_invalid_and_says_what_to_do() {
        let idle = of_equal(0.0, 0.0, 4.0);
        assert_eq!(idle.verdict, Verdict::Invalid);
        for part in ["cannot tell", "all.instructions is below 1", "without a shell"] {
            assert!(idle.sentence.contains(part), "{}", idle.sentence);
        }
        assert!(!idle.sentence.contains("all.system-calls"), "{}", idle.sentence);
    }
}
