//! The parts of a merged result, each with the facts of its run.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;

use super::error::MergeError;
use super::piece::{Align, Piece};
use super::seconds::filled;
use crate::harness::class::Class;
use crate::harness::document::host::Build;
use crate::harness::document::run::Run;
use crate::harness::document::run::classes::PartClass;
use crate::harness::document::run::merged::Part;
use crate::harness::report::quantiles::at;

/// Ratio of the slowest part's p99 to the median of all, above which the part stands out.
const UNEVEN: f64 = 1.25;

/// Returns the parts of all pieces, ordered by start and run id. A piece that was merged before
/// contributes its own parts.
pub(super) fn collect(pieces: &[Piece]) -> Result<Vec<Part>, MergeError> {
    let (mut parts, mut seen) = (Vec::new(), BTreeSet::new());
    for piece in pieces {
        let own = piece.run.parts.clone().unwrap_or_else(|| vec![part(piece)]);
        for part in own {
            if !seen.insert(part.run_id.clone()) {
                let path = piece.stored.path.clone();
                return Err(MergeError::Twice { path, run_id: part.run_id });
            }
            parts.push(part);
        }
    }
    parts.sort_by(|a, b| (&a.started_at, &a.run_id).cmp(&(&b.started_at, &b.run_id)));
    Ok(parts)
}

fn part(piece: &Piece) -> Part {
    let Piece { stored, run } = piece;
    let logged: BTreeMap<Class, Histogram<u64>> = stored
        .response
        .classes()
        .into_iter()
        .map(|class| (class, filled(&stored.response.whole(class))))
        .collect();
    let count = |class| logged.get(class).map_or(0, Histogram::len);
    let missing = run.classes.iter().map(|(class, of)| of.count.saturating_sub(count(class))).sum();
    let class = |of: &Histogram<u64>| PartClass {
        count: of.len(),
        p50_us: at(of, 0.5),
        p99_us: at(of, 0.99),
    };
    Part {
        run_id: run.run_id.clone(),
        folder: stored.path.display().to_string(),
        started_at: run.started_at.clone(),
        measured_from: stored.response.head.start.map(|start| start.0),
        duration_s: run.load.duration_s,
        seed: run.seed,
        target: run.target.clone(),
        rate_target: run.load.rate_target,
        rate_achieved: run.load.rate_achieved,
        rate_answered: run.load.rate_answered,
        valid: run.validity.valid,
        reasons: run.validity.reasons.clone(),
        disturbances: run.validity.disturbances.clone(),
        failures: run.checks.failures.clone(),
        missing,
        classes: logged.iter().map(|(name, of)| (*name, class(of))).collect(),
        build: run.build.clone(),
        host: run.host.clone(),
        settings: settings(run),
    }
}

/// Name of the target among the settings.
pub(super) const TARGET: &str = "target";

/// Returns the settings that the parts of one run should share. The URL of our own broker is not one of
/// them, because its port differs in each run.
fn settings(run: &Run) -> BTreeMap<String, String> {
    let Build { version, git_commit, .. } = &run.build;
    let target = run.broker.is_none().then(|| (TARGET, run.target.clone()));
    let file = run.load.scenario_file.clone().map(|file| ("scenario file", file));
    let others = [
        ("build", format!("{version} {git_commit}")),
        ("serve arguments", run.load.serve_args.as_deref().unwrap_or_default().join(" ")),
        ("user-assigned identities", run.load.user_assigned.to_string()),
        ("VMs", run.load.vms.to_string()),
        ("warm-up", format!("{} s", run.load.warmup_s)),
    ];
    let settings = others.into_iter().chain(target).chain(file);
    settings.map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Returns the time windows of the parts, in seconds from the first start.
pub(super) fn windows(parts: &[Part], align: Align) -> Vec<(f64, f64)> {
    let first = parts.iter().filter_map(|part| part.measured_from).min().unwrap_or(0);
    let start = |part: &Part| match align {
        Align::Index => 0.0,
        #[expect(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
        Align::Time => part.measured_from.unwrap_or(first).saturating_sub(first) as f64,
    };
    parts.iter().map(|part| (start(part), start(part) + part.duration_s)).collect()
}

/// Returns how many seconds at least one part covers, and how many all parts cover.
pub(super) fn covered(windows: &[(f64, f64)]) -> (f64, f64) {
    let mut edges: Vec<(f64, i32)> =
        windows.iter().flat_map(|(from, to)| [(*from, 1), (*to, -1)]).collect();
    edges.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut some, mut all, mut running, mut since) = (0.0, 0.0, 0_i32, 0.0);
    for (at, change) in edges {
        some += if running > 0 { at - since } else { 0.0 };
        let everyone = usize::try_from(running) == Ok(windows.len());
        all += if everyone { at - since } else { 0.0 };
        (running, since) = (running + change, at);
    }
    (some, all)
}

/// Returns a message for each part whose logs are incomplete.
pub(super) fn lost(parts: &[Part]) -> impl Iterator<Item = String> {
    parts.iter().filter(|part| part.missing > 0).map(|part| {
        format!(
            "part {} counted {} requests that its logs do not hold: intervals of it are missing",
            part.folder, part.missing
        )
    })
}

/// Returns a message for each thing that is missing; empty for a whole result.
pub(super) fn missing(parts: &[Part], windows: &[(f64, f64)]) -> Vec<String> {
    let mut missing: Vec<String> = lost(parts).collect();
    let (some, all) = covered(windows);
    let alone = some - all;
    // Starts that should be equal differ by less than an interval.
    if alone >= 1.0 {
        missing.push(format!(
            "in {alone:.0} of {some:.0} s not all parts ran: they stand for less load than the others"
        ));
    }
    missing
}

/// Returns remarks on differences between the parts that do not mean missing data.
pub(super) fn oddities(parts: &[Part]) -> Vec<String> {
    let names: BTreeSet<&String> = parts.iter().flat_map(|part| part.settings.keys()).collect();
    let mut remarks: Vec<String> =
        names.into_iter().filter_map(|name| different(parts, name)).collect();
    remarks.extend(Class::ALL.into_iter().filter_map(|class| uneven(parts, class)));
    let seeds: BTreeSet<u64> = parts.iter().map(|part| part.seed).collect();
    if parts.len() > 1 && seeds.len() < parts.len() {
        remarks.push("parts have the same seed: they sent the same requests at the same moments; give each --seed of its own".to_owned());
    }
    remarks
}

/// Returns the values of a setting if the parts differ in it, each with the first part that has it.
fn different(parts: &[Part], name: &str) -> Option<String> {
    let mut values: BTreeMap<&String, &str> = BTreeMap::new();
    for part in parts {
        if let Some(value) = part.settings.get(name) {
            values.entry(value).or_insert(&part.folder);
        }
    }
    let listed: Vec<String> =
        values.iter().map(|(value, folder)| format!("`{value}` in {folder}")).collect();
    (values.len() > 1).then(|| {
        format!(
            "the parts differ in their {name}: {}; the sum describes none of them",
            listed.join(", ")
        )
    })
}

/// Returns a remark if one part was much slower than the others.
fn uneven(parts: &[Part], class: Class) -> Option<String> {
    let p99 = |part: &Part| part.classes.get(&class)?.p99_us;
    let mut sorted: Vec<(f64, &str)> =
        parts.iter().filter_map(|part| Some((p99(part)?, part.folder.as_str()))).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (max, slowest) = *sorted.last()?;
    let median = median(&sorted)?;
    (max > UNEVEN * median).then(|| {
        format!("the parts are uneven: the p99 of {class} in {slowest} is {max:.1} us, {:.2} times the median of the parts ({median:.1} us)", max / median)
    })
}

fn median(sorted: &[(f64, &str)]) -> Option<f64> {
    let (upper, _) = sorted.get(sorted.len() / 2)?;
    let (lower, _) = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(*lower, *upper)).filter(|median| *median > 0.0)
}
