//! What is said of machines of which everything is known.

use super::*;
use crate::load::recorder::histogram;

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
    check(|m| m.pacer = filled(2_000_000), "pacer", Hopeless, "stop what else runs");
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
    let stolen = Stolen { core: 3, share: 0.04, longest_ns: 4_000_000 };
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
    check(throttle, "quota", Level::Hopeless, "stopped for 20.0 %");
}
