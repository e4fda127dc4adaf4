//! Findings about machines whose measurements are known.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

use crate::harness::doctor::examined::{Pair, Stolen};
use crate::harness::document::doctor::Level;
use crate::harness::judge::conditions::Conditions;
use crate::harness::judge::validity::{Evidence, Reason, Shape, Usable, judge};
use crate::harness::machine::host::strain::Strain;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::histogram;

fn filled(value_ns: u64) -> Histogram<u64> {
    let mut histogram = histogram();
    histogram.record_n(value_ns, 1000).unwrap();
    histogram
}

fn quiet_machine() -> Examined {
    Examined {
        host: Host {
            cpu_model: "Model".to_owned(),
            cores: 8,
            kernel: "Linux".to_owned(),
            governor: "performance".to_owned(),
            memory_bytes: 1 << 34,
        },
        settings: HostSettings {
            turbo: Some(false),
            smt: Some(false),
            clock_source: Some("tsc".to_owned()),
            somaxconn: Some(4096),
            port_range: Some([32_768, 60_999]),
            ..HostSettings::default()
        },
        cores: Cores::split(&[0, 1, 2, 3, 4, 5, 6, 7]),
        file_limit: 1 << 20,
        memory_available: Some(1 << 34),
        load_average: Some(0.1),
        span: Nanos::from_secs(10),
        strain: Strain::default(),
        pacer: filled(200),
        sleep: filled(5_000),
        stolen: Stolen::default(),
        round_trip: filled(15_000),
        alternate: vec![Pair(100.0, 101.0), Pair(101.0, 100.0), Pair(100.0, 100.5)],
    }
}

fn check(change: impl FnOnce(&mut Examined), name: &str, level: Level, part: &str) {
    let mut machine = quiet_machine();
    change(&mut machine);
    let findings = machine.findings();
    let found = findings.iter().find(|finding| finding.name == name).unwrap();
    assert_eq!(found.level, level, "{found}");
    assert!(found.to_string().contains(part), "{found}");
    let others = findings.iter().filter(|finding| finding.name != name);
    others.for_each(|other| assert_eq!(other.level, Level::Ok, "{other}"));
}

#[test]
fn a_quiet_machine_is_fine_in_every_respect() {
    check(|_| {}, "pacer", Level::Ok, "if its median is at least 2");
    check(|_| {}, "gate", Level::Ok, "would see a change of");
    let findings = quiet_machine().findings();
    assert!(findings.iter().all(|finding| finding.advice.is_none()), "{findings:?}");
}

#[test]
fn every_weakness_is_named_with_what_to_do() {
    use Level::{Hopeless, Note, Warn};
    check(|m| m.cores = Cores::split(&[3]), "cores", Warn, "at least 2 cores");
    check(|m| m.cores = Cores::split(&[0, 1]), "cores", Note, "4 cores");
    check(|m| m.settings.quota_cores = Some(1.5), "quota", Warn, "1.5 of 8 cores");
    check(|m| m.settings.quota_cores = Some(8.0), "quota", Level::Ok, "8.0 cores");
    check(|m| m.pacer = filled(50_000), "pacer", Warn, "stop what else runs");
    check(|m| m.sleep = filled(2_000_000), "sleep", Warn, "stop");
    check(|m| m.strain.steal_share = 0.02, "steal", Warn, "2.00 %");
    check(|m| m.strain.steal_share = 0.2, "steal", Hopeless, "another machine");
    check(|m| m.load_average = Some(3.0), "load", Warn, "3.0 programs");
    check(|m| m.host.governor = "powersave".to_owned(), "governor", Warn, "cpupower");
    check(|m| m.host.governor = "unknown".to_owned(), "governor", Note, "interleaved");
    check(|m| m.settings.turbo = Some(true), "turbo", Note, "no_turbo");
    check(|m| m.settings.smt = Some(true), "smt", Note, "smt/control");
    check(|m| m.settings.clock_source = Some("hpet".into()), "clock", Warn, "clocksource=tsc");
    check(|m| m.file_limit = 1024, "files", Warn, "1024 open files");
    check(|m| m.settings.port_range = Some([1, 2]), "ports", Warn, "2 ports");
    check(|m| m.settings.somaxconn = Some(128), "backlog", Warn, "somaxconn");
    check(|m| m.memory_available = Some(1 << 20), "memory", Warn, "1 MB");
    let stolen = Stolen { core: 3, share: 0.04, longest: Nanos::from_millis(4) };
    check(|m| m.stolen = stolen, "interruptions", Warn, "core 3 lost 4.00 %");
    let states = ["POLL", "C1", "C6"].map(str::to_owned);
    check(|m| m.settings.idle_states = states.into(), "idle states", Note, "idle-set");
    let noisy = vec![Pair(100.0, 150.0), Pair(150.0, 100.0), Pair(100.0, 90.0)];
    check(|m| m.alternate = noisy, "gate", Warn, "four times as many");
    check(|m| m.alternate.clear(), "gate", Note, "too few pairs");
}

#[test]
fn a_quota_that_stops_even_an_examination_is_hopeless() {
    let throttle = |machine: &mut Examined| {
        machine.settings.quota_cores = Some(1.0);
        machine.strain.throttled_share = 0.2;
    };
    check(throttle, "quota", Level::Hopeless, "stopped for 20.00 %");
}

/// Returns the reasons for a run with these figures, when all other figures are those of a quiet
/// machine.
fn reasons_of_run(lag: &Histogram<u64>, strain: Strain) -> Vec<Reason> {
    judge(&Evidence {
        cut: None,
        shape: Shape::Rate { scheduled: 1000, acted: 1000 },
        unsent: 0,
        lag,
        notice: &filled(200),
        // A fast target, and one whose tail tolerates anything.
        service: &filled(100_000),
        response: &filled(1_000_000_000),
        causes: &BTreeMap::new(),
        hiccup: &filled(200),
        busy_share: 0.1,
        duration: Nanos::from_secs(10),
        conditions: &Conditions { strain, ..Conditions::default() },
    })
}

fn level(machine: &Examined, name: &str) -> Level {
    machine.findings().iter().find(|finding| finding.name == name).unwrap().level
}

proptest! {
    #[test]
    fn of_the_same_figures_the_doctor_says_what_a_run_says(
        lag_ns in 1_u64..100_000,
        steal_share in 0.0..0.1,
        throttled_share in 0.0..0.1,
    ) {
        let strain = Strain { steal_share, throttled_share, ..Strain::default() };
        let mut machine = quiet_machine();
        machine.settings.quota_cores = Some(8.0);
        (machine.strain, machine.pacer) = (strain, filled(lag_ns));
        let reasons = reasons_of_run(&machine.pacer, strain);
        let has = |wanted: fn(&Reason) -> bool| reasons.iter().any(wanted);
        let late = has(|reason| matches!(reason, Reason::Lag { .. }));
        let stolen = has(|reason| matches!(reason, Reason::Steal { .. }));
        let throttled = has(|reason| matches!(reason, Reason::Throttled { .. }));
        prop_assert_eq!(level(&machine, "pacer") != Level::Ok, late);
        prop_assert_eq!(level(&machine, "steal") != Level::Ok, stolen);
        prop_assert_eq!(level(&machine, "quota") != Level::Ok, throttled);
        prop_assert_eq!(machine.reasons().is_empty(), !(stolen || throttled));
        let hopeless = Usable::of(&machine.reasons()) == Usable::Nothing;
        let all = machine.findings();
        prop_assert_eq!(all.iter().any(|found| found.level == Level::Hopeless), hopeless);
        let trial = Trial { rate: 5000.0, duration_s: 3.0, reasons };
        prop_assert_eq!(trial.finding().level == Level::Ok, trial.reasons.is_empty());
        let said = verdict(&[], &trial.reasons);
        prop_assert_eq!(said.contains("can measure every percentile"), trial.reasons.is_empty());
    }
}

#[test]
fn the_verdict_names_what_can_be_measured_and_why_no_more() {
    let said = |reasons: &[Reason]| verdict(&[], reasons);
    let steal = |share| said(&[Reason::Steal { share }]);
    assert!(steal(0.02).contains("can now measure the p50 and nothing above"), "{}", steal(0.02));
    assert!(steal(0.2).starts_with("nothing that is measured on this machine"), "{}", steal(0.2));
    let tail = Reason::LagTail { p999: Nanos::from_millis(2), limit: Nanos::new(1) };
    assert!(said(&[tail]).contains(
        "the p50 and the p90 and nothing above, and a run with --strict would be invalid"
    ));
}
