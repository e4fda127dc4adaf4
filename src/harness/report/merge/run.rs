//! The `run.json` of a merged result.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest;
use hdrhistogram::Histogram;

use super::agreed::{agreed, alike};
use super::bounds::MergedBounds;
use super::parts::{TARGET, covered, lost, missing, oddities, windows};
use super::piece::{Align, Piece};
use super::seconds::Seconds;
use crate::base::clock::us;
use crate::harness::class::Class;
use crate::harness::document::extra::Extra;
use crate::harness::document::host::{Build, Host};
use crate::harness::document::percentiles::{Hiccup, Percentiles, Tail};
use crate::harness::document::run::broker::{Broker, Verified};
use crate::harness::document::run::changes::{Changes, Churn, ChurnCounts, Rotation};
use crate::harness::document::run::classes::ClassResult;
use crate::harness::document::run::load::Load;
use crate::harness::document::run::merged::{Merged, Part};
use crate::harness::document::run::slo::Slo;
use crate::harness::document::run::validity::Validity;
use crate::harness::document::run::{Checks, Run, SCHEMA};
use crate::harness::judge::objective::{Answers, Judgement};
use crate::harness::record::intervals::histogram;
use crate::harness::report::quantiles::{bounded, percentiles, tail};
use crate::harness::scenario::objective::Objective;
use crate::harness::stats::intervals::{Chance, quantile_interval};

/// Merged logs.
pub(super) struct Logs<'a> {
    pub(super) response: &'a Seconds,
    /// Lower bounds of the response times; empty if a part does not have them.
    pub(super) lower: &'a Seconds,
    pub(super) service: &'a Seconds,
    pub(super) lag: &'a Seconds,
}

/// Builds the `run.json` of the whole. There must be at least one piece.
pub(super) fn whole(pieces: &[Piece], parts: Vec<Part>, align: Align, logs: &Logs<'_>) -> Run {
    let runs: Vec<&Run> = pieces.iter().map(|piece| &piece.run).collect();
    let spans = windows(&parts, align);
    let missing = missing(&parts, &spans);
    let partial = !missing.is_empty();
    let remarks = missing.into_iter().chain(oddities(&parts)).collect();
    let text = |field: &dyn Fn(&Part) -> String| first(&parts, field);
    let bounds = MergedBounds::of(&runs, logs.response, logs.lower);
    let classes = classes(&runs, logs, &bounds);
    Run {
        schema: SCHEMA.to_owned(),
        run_id: id(&parts),
        started_at: text(&|part| part.started_at.clone()),
        scenario: runs.first().map(|run| run.scenario.clone()).unwrap_or_default(),
        seed: parts.first().map_or(0, |part| part.seed),
        target: target(&parts),
        build: build(&parts),
        host: host(&parts),
        load: load(&runs, &parts, covered(&spans).0),
        validity: validity(&runs, &parts, logs.lag),
        statuses: sums(runs.iter().map(|run| &run.statuses)),
        causes: together(&runs, |run| run.causes.as_ref()).map(|all| sums(all.into_iter())),
        broker: together(&runs, |run| run.broker.as_ref()).map(|all| broker(&all)),
        verified: verified(&runs),
        changes: together(&runs, |run| run.changes.as_ref()).map(|all| changes(&all)),
        churn: together(&runs, |run| run.churn.as_ref()).map(|all| churn(&all)),
        rotation: together(&runs, |run| run.rotation.as_ref()).map(|all| rotation(&all)),
        outage: alike(runs.iter().map(|run| &run.outage)),
        checks: checks(&parts),
        slo: objectives(&runs, &bounds, &classes),
        whole: Some(bounds.whole()),
        classes,
        notes: distinct(runs.iter().flat_map(|run| run.notes.iter().cloned())),
        // Phases have no logs of their own that could be added.
        undisturbed: None,
        attempts: None,
        phases: Vec::new(),
        interrupted: None,
        merged: Some(Merged { align: align.as_str().to_owned(), partial, remarks }),
        extra: agreed(runs.iter().map(|run| &run.extra)),
        parts: Some(parts),
    }
}

fn first(parts: &[Part], field: &dyn Fn(&Part) -> String) -> String {
    parts.first().map(field).unwrap_or_default()
}

/// Returns the foreign targets, each once; without any, the first of our own brokers.
fn target(parts: &[Part]) -> String {
    let foreign = parts.iter().filter_map(|part| part.settings.get(TARGET).cloned());
    let foreign = joined(foreign);
    if foreign.is_empty() { first(parts, &|part| part.target.clone()) } else { foreign }
}

/// Returns the values in order, each once.
fn distinct(values: impl Iterator<Item = String>) -> Vec<String> {
    values.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Returns the common value, or all values joined.
fn joined(values: impl Iterator<Item = String>) -> String {
    distinct(values).join("; ")
}

/// Returns the values of all runs, or none if one is missing, because a sum without it would be too
/// small.
fn together<'a, T>(runs: &[&'a Run], of: impl Fn(&'a Run) -> Option<&'a T>) -> Option<Vec<&'a T>> {
    runs.iter().map(|run| of(run)).collect()
}

fn sums<'a>(all: impl Iterator<Item = &'a BTreeMap<String, u64>>) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for (name, count) in all.flatten() {
        let sum: &mut u64 = sums.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*count);
    }
    sums
}

/// Returns a GUID derived from those of the parts (RFC 9562 section 5.8).
fn id(parts: &[Part]) -> String {
    let ids: BTreeSet<&str> = parts.iter().map(|part| part.run_id.as_str()).collect();
    let ids: Vec<&str> = ids.into_iter().collect();
    let hash = digest::digest(&digest::SHA256, ids.join("\n").as_bytes());
    let bytes = hash.as_ref().first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
}

fn build(parts: &[Part]) -> Build {
    let of =
        |field: fn(&Build) -> &String| joined(parts.iter().map(|part| field(&part.build).clone()));
    let commits = of(|build| &build.git_commit);
    let dirty: BTreeSet<Option<bool>> = parts.iter().map(|part| part.build.git_dirty).collect();
    Build {
        version: of(|build| &build.version),
        git_commit: if commits.contains(';') { "unknown".to_owned() } else { commits },
        git_dirty: if dirty.len() == 1 { dirty.first().copied().flatten() } else { None },
        profile: of(|build| &build.profile),
        rustc: of(|build| &build.rustc),
        extra: agreed(parts.iter().map(|part| &part.build.extra)),
    }
}

/// Returns the host if all parts ran on the same one, otherwise a summary of the hosts.
fn host(parts: &[Part]) -> Host {
    let of =
        |field: fn(&Host) -> &String| joined(parts.iter().map(|part| field(&part.host).clone()));
    let hosts = || parts.iter().map(|part| &part.host);
    let prints = distinct(hosts().map(|host| host.fingerprint.clone()));
    let fingerprint = match prints.as_slice() {
        [only] => only.clone(),
        several => hex(digest::digest(&digest::SHA256, several.join("\n").as_bytes()).as_ref()),
    };
    Host {
        cpu_model: of(|host| &host.cpu_model),
        cores: hosts().map(|host| host.cores).max().unwrap_or(1),
        kernel: of(|host| &host.kernel),
        governor: of(|host| &host.governor),
        memory_bytes: hosts().map(|host| host.memory_bytes).max().unwrap_or(0),
        fingerprint,
        steal_share: hosts().map(|host| host.steal_share).fold(0.0, f64::max),
        load_average: greatest(hosts().map(|host| host.load_average)),
        smt: alike(hosts().map(|host| &host.smt)),
        turbo: alike(hosts().map(|host| &host.turbo)),
        idle_states: alike(hosts().map(|host| &host.idle_states)),
        numa_nodes: alike(hosts().map(|host| &host.numa_nodes)),
        cpu_quota_cores: alike(hosts().map(|host| &host.cpu_quota_cores)),
        clock_source: alike(hosts().map(|host| &host.clock_source)),
        preemption: alike(hosts().map(|host| &host.preemption)),
        virtualised: alike(hosts().map(|host| &host.virtualised)),
        somaxconn: alike(hosts().map(|host| &host.somaxconn)),
        port_range: alike(hosts().map(|host| &host.port_range)),
        memory_available_bytes: alike(hosts().map(|host| &host.memory_available_bytes)),
        generator_rss_bytes: alike(hosts().map(|host| &host.generator_rss_bytes)),
        extra: agreed(hosts().map(|host| &host.extra)),
    }
}

/// Formats as many digits as a fingerprint has.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(6).fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn greatest(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    values.flatten().reduce(f64::max)
}

/// Merges the loads. Rates refer to the seconds that any part covers, so the rates of simultaneous parts
/// add up.
fn load(runs: &[&Run], parts: &[Part], seconds: f64) -> Load {
    let rate = |of: &dyn Fn(&Part) -> Option<f64>| -> Option<f64> {
        let requests: Option<f64> =
            parts.iter().map(|part| Some(of(part)? * part.duration_s)).sum();
        requests.filter(|_| seconds > 0.0).map(|requests| requests / seconds)
    };
    let loads = || runs.iter().map(|run| &run.load);
    let sum = |of: fn(&Load) -> u64| loads().map(of).sum();
    let max = |of: fn(&Load) -> u64| loads().map(of).max().unwrap_or(0);
    let total = |of: fn(&Load) -> Option<u64>| loads().map(of).sum();
    Load {
        arrivals: loads().next().map(|load| load.arrivals.clone()).unwrap_or_default(),
        rate_target: rate(&|part| part.rate_target),
        rate_achieved: rate(&|part| part.rate_achieved),
        rate_answered: rate(&|part| Some(part.rate_answered)).unwrap_or(0.0),
        paused_s: None,
        scheduled: sum(|load| load.scheduled),
        duration_s: seconds,
        warmup_s: loads().map(|load| load.warmup_s).fold(0.0, f64::max),
        connections: sum(|load| load.connections),
        vms: max(|load| load.vms),
        user_assigned: max(|load| load.user_assigned),
        threads: sum(|load| load.threads),
        reconnects: sum(|load| load.reconnects),
        keys: total(|load| load.keys),
        keys_filled: total(|load| load.keys_filled),
        scenario_file: alike(loads().map(|load| &load.scenario_file)),
        serve_args: alike(loads().map(|load| &load.serve_args)),
        target_address: alike(loads().map(|load| &load.target_address)),
        target_other_addresses: alike(loads().map(|load| &load.target_other_addresses)),
        insecure: alike(loads().map(|load| &load.insecure)),
        extra: agreed(loads().map(|load| &load.extra)),
    }
}

/// Returns the worst validity of all parts: an invalid part spoils every percentile of the whole.
fn validity(runs: &[&Run], parts: &[Part], lag: &Seconds) -> Validity {
    let named = |of: fn(&Part) -> &[String]| -> Vec<String> {
        let of_part = |part: &Part| -> Vec<String> {
            of(part).iter().map(|reason| format!("part {}: {reason}", part.folder)).collect()
        };
        parts.iter().flat_map(of_part).collect()
    };
    let mut reasons = named(|part| &part.reasons);
    // Percentiles of incomplete logs do not describe the whole.
    reasons.extend(lost(parts));
    let mut all = histogram();
    for of_class in lag.whole().values() {
        // All histograms have equal bounds, so adding cannot fail.
        let _ = all.add(of_class);
    }
    let of = || runs.iter().map(|run| &run.validity);
    Validity {
        valid: parts.iter().all(|part| part.valid && part.missing == 0),
        usable: alike(of().map(|validity| &validity.usable)),
        reasons,
        disturbances: named(|part| &part.disturbances),
        lag_us: tail(&all),
        // These delays have no logs to add, so only their greatest value is known.
        notice_us: max_only(of().map(|validity| validity.notice_us.max)),
        unsent: of().map(|validity| validity.unsent).sum(),
        generator_cpu_share: of().map(|validity| validity.generator_cpu_share).fold(0.0, f64::max),
        hiccup_us: Hiccup::default(),
        pacer_us: alike(of().map(|validity| &validity.pacer_us)),
        broker_hiccup_us: alike(of().map(|validity| &validity.broker_hiccup_us)),
        gaps: alike(of().map(|validity| &validity.gaps)),
        steady: alike(of().map(|validity| &validity.steady)),
        hit_ratios: alike(of().map(|validity| &validity.hit_ratios)),
        throttled_share: alike(of().map(|validity| &validity.throttled_share)),
        major_faults: alike(of().map(|validity| &validity.major_faults)),
        swapped_kib: alike(of().map(|validity| &validity.swapped_kib)),
        extra: agreed(of().map(|validity| &validity.extra)),
    }
}

fn max_only(values: impl Iterator<Item = Option<f64>>) -> Tail {
    Tail { max: greatest(values), ..Tail::default() }
}

fn classes(runs: &[&Run], logs: &Logs<'_>, bounds: &MergedBounds) -> BTreeMap<Class, ClassResult> {
    let service = logs.service.whole();
    let result = |class: &Class, of: &Histogram<u64>| {
        let own = || runs.iter().filter_map(|run| run.classes.get(class));
        let interval = quantile_interval(bounds.upper_blocks.of(*class), 0.99);
        ClassResult {
            count: of.len(),
            errors: own().map(|result| result.errors).sum(),
            response_us: bounded(&bounds.of_class(*class, of)),
            service_us: service.get(class).map(percentiles).unwrap_or_default(),
            queue_us: max_only(own().map(|result| result.queue_us.max)),
            p99_interval_note: interval.err().map(|error| error.to_string()),
            p99_interval_us: interval.ok().map(|(low, high)| [low, high].map(us)),
            extra: agreed(own().map(|result| &result.extra)),
        }
    };
    bounds.upper.iter().map(|(class, of)| (*class, result(class, of))).collect()
}

/// Adds up the counters. CPU time and memory of several brokers have no common value.
fn broker(all: &[&Broker]) -> Broker {
    let sum = |of: fn(&Broker) -> u64| all.iter().map(|broker| of(broker)).sum();
    Broker {
        mints: sum(|broker| broker.mints),
        hits: sum(|broker| broker.hits),
        misses: sum(|broker| broker.misses),
        coalesced: sum(|broker| broker.coalesced),
        refreshes: sum(|broker| broker.refreshes),
        cpu_us_per_request: None,
        rss_bytes: None,
        anonymous_bytes: None,
        build: alike(all.iter().map(|broker| &broker.build)),
        major_faults: alike(all.iter().map(|broker| &broker.major_faults)),
        extra: agreed(all.iter().map(|broker| &broker.extra)),
    }
}

fn verified(runs: &[&Run]) -> Verified {
    let sum = |of: fn(&Verified) -> Option<u64>| runs.iter().map(|run| of(&run.verified)).sum();
    Verified {
        sampled: runs.iter().map(|run| run.verified.sampled).sum(),
        bad_signature: sum(|verified| verified.bad_signature),
        wrong_identity: sum(|verified| verified.wrong_identity),
        wrong_audience: sum(|verified| verified.wrong_audience),
        wrong_issuer: sum(|verified| verified.wrong_issuer),
        wrong_expiry: sum(|verified| verified.wrong_expiry),
        expired: sum(|verified| verified.expired),
        extra: agreed(runs.iter().map(|run| &run.verified.extra)),
    }
}

fn changes(all: &[&Changes]) -> Changes {
    let max = greatest(all.iter().map(|changes| changes.ack_us.max));
    Changes {
        count: all.iter().map(|changes| changes.count).sum(),
        failed: all.iter().map(|changes| changes.failed).sum(),
        ack_us: Percentiles { max, ..Percentiles::default() },
        extra: agreed(all.iter().map(|changes| &changes.extra)),
    }
}

fn churn(all: &[&Churn]) -> Churn {
    let sum = |of: fn(&ChurnCounts) -> u64| all.iter().map(|churn| of(&churn.counts)).sum();
    let counts = ChurnCounts {
        removals: sum(|counts| counts.removals),
        refused_rightly: sum(|counts| counts.refused_rightly),
        refused_wrongly: sum(|counts| counts.refused_wrongly),
        tokens_rightly: sum(|counts| counts.tokens_rightly),
        tokens_after_removal: sum(|counts| counts.tokens_after_removal),
        undecided: sum(|counts| counts.undecided),
    };
    Churn { counts, extra: agreed(all.iter().map(|churn| &churn.extra)) }
}

fn rotation(all: &[&Rotation]) -> Rotation {
    let sum = |of: fn(&Rotation) -> u64| all.iter().map(|rotation| of(rotation)).sum();
    Rotation {
        rotations: sum(|rotation| rotation.rotations),
        signing_keys: sum(|rotation| rotation.signing_keys),
        key_sets: sum(|rotation| rotation.key_sets),
        key_sets_unread: sum(|rotation| rotation.key_sets_unread),
        certificates: sum(|rotation| rotation.certificates),
        unpublished: sum(|rotation| rotation.unpublished),
        withdrawn: sum(|rotation| rotation.withdrawn),
        unwatched: sum(|rotation| rotation.unwatched),
        extra: agreed(all.iter().map(|rotation| &rotation.extra)),
    }
}

fn checks(parts: &[Part]) -> Checks {
    let failures = parts.iter().flat_map(|part| {
        part.failures.iter().map(move |failure| format!("part {}: {failure}", part.folder))
    });
    let failures: Vec<String> = failures.collect();
    Checks { passed: failures.is_empty(), failures, extra: Extra::default() }
}

/// Judges the objectives of all runs by the whole. For objectives that the whole cannot judge, the
/// verdicts of the parts count.
fn objectives(
    runs: &[&Run],
    bounds: &MergedBounds,
    classes: &BTreeMap<Class, ClassResult>,
) -> Vec<Slo> {
    let mut all: BTreeMap<(&String, &Option<String>), Slo> = BTreeMap::new();
    for slo in runs.iter().flat_map(|run| &run.slo) {
        let kept = all.entry((&slo.objective, &slo.phase)).or_insert_with(|| slo.clone());
        kept.met = both(kept.met, slo.met);
    }
    let judged = all.into_values().map(|slo| match slo.objective.parse::<Objective>() {
        Ok(objective) if slo.phase.is_none() => {
            let bounded = bounds.answers(&objective).filter(|_| !holds_failures(classes));
            let judgement =
                bounded.map(|answers| Judgement::by_bounds(&objective, answers, Chance::USUAL));
            let judgement =
                judgement.unwrap_or_else(|| as_recorded(&objective, &bounds.upper, classes));
            Slo {
                measured_us: judgement.measured_ns.map(us),
                lower_us: judgement.lower_ns.map(us),
                met: judgement.verdict.met(),
                ..slo
            }
        }
        _ => Slo { measured_us: None, lower_us: None, ..slo },
    });
    judged.collect()
}

/// Returns true if a class of good answers holds failed requests, as in files of earlier versions.
fn holds_failures(classes: &BTreeMap<Class, ClassResult>) -> bool {
    classes.iter().any(|(class, result)| class.is_token() && result.errors > 0)
}

/// Judges an objective by the response times as recorded, as version 1 did.
fn as_recorded(
    objective: &Objective,
    response: &BTreeMap<Class, Histogram<u64>>,
    classes: &BTreeMap<Class, ClassResult>,
) -> Judgement {
    let mut answers = Answers::of(objective, response.iter().map(|(class, of)| (*class, of)));
    for (class, result) in classes.iter().filter(|(class, _)| class.is_token()) {
        // Earlier versions counted failed requests in the class `all`.
        let of = response.get(class).filter(|_| objective.class().is_none_or(|own| own == *class));
        answers.failed += of.map_or(0, |of| fail_fastest(&mut answers.response, of, result.errors));
    }
    Judgement::of(objective, &answers)
}

/// Removes the fastest samples of `of` from `all`, at most `errors`, and returns their number.
///
/// The logs do not tell which answers of a class failed. If the fastest did, the remaining ones are as
/// slow as possible, which is the safe assumption.
fn fail_fastest(all: &mut Histogram<u64>, of: &Histogram<u64>, errors: u64) -> u64 {
    let (mut fastest, mut left) = (histogram(), errors);
    for step in of.iter_recorded() {
        let times = step.count_at_value().min(left);
        fastest.saturating_record_n(step.value_iterated_to(), times);
        left -= times;
    }
    // All of these were added before, so subtracting cannot fail.
    let _ = all.subtract(&fastest);
    fastest.len()
}

/// Combines the results of two parts: a missed objective decides, then an unknown one.
fn both(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    match (one, other) {
        (Some(false), _) | (_, Some(false)) => Some(false),
        (Some(true), Some(true)) => Some(true),
        _ => None,
    }
}
