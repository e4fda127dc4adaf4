use super::catalog::BUILT_IN;
use super::*;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::changes::Changes;

const HEAD: &str = "[[phase]]\nname = \"a\"\nduration = \"1s\"\n";
const HIT: &str = "mix = [{ kind = \"hit\" }]\n";

fn limits() -> ProcessLimits {
    ProcessLimits { cores: vec![0, 1, 2], open_files: 1_000_000 }
}

fn read(text: &str) -> Result<RunSpec, String> {
    let file = Scenario::File("my.toml".into());
    RunSpec::parse(file, text).map_err(|error| error.to_string())
}

fn resolve(scenario: Scenario) -> Result<Resolved, SpecError> {
    RunSpec::read(scenario)?.resolve(&limits())
}

fn plan(scenario: Scenario) -> Result<String, String> {
    let resolved = resolve(scenario).map_err(|error| error.to_string())?;
    Ok(format!("{:?}", resolved.plan))
}

fn one_phase(keys: &str) -> String {
    format!("{HEAD}{keys}")
}

#[test]
fn every_built_in_scenario_is_found_by_its_name_and_makes_a_plan() {
    for scenario in BUILT_IN {
        let name = scenario.as_str().to_owned();
        assert_eq!(name.parse::<Scenario>().unwrap(), scenario);
        assert_eq!(scenario.to_string(), name);
        plan(scenario).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert_eq!("a/b.toml".parse::<Scenario>().unwrap().as_str(), "b");
    let unknown = "fast".parse::<Scenario>().unwrap_err().to_string();
    assert!(unknown.contains("boot-storm, churn, herd") && unknown.contains(".toml"), "{unknown}");
}

#[test]
fn a_printed_scenario_is_the_same_plan() {
    let folder = tempfile::tempdir().unwrap();
    for scenario in BUILT_IN {
        let path = folder.path().join(format!("{}.toml", scenario.as_str()));
        std::fs::write(&path, scenario.source().unwrap()).unwrap();
        let file = Scenario::File(path);
        assert_eq!(file.as_str(), scenario.as_str());
        assert_eq!(plan(file), plan(scenario));
    }
}

#[test]
fn a_file_may_begin_with_a_byte_order_mark_and_end_its_lines_in_two_characters() {
    let text = one_phase(&format!("profile = {{ rate = 1 }}\n{HIT}"));
    let marked = format!("\u{feff}{}", text.replace('\n', "\r\n"));
    assert_eq!(format!("{:?}", read(&marked).unwrap()), format!("{:?}", read(&text).unwrap()));
}

#[test]
fn a_file_may_use_every_key() {
    let text = r#"
        warmup = "1s"
        warmup-rate = 400
        connections = 50
        expect = ["hits", "refreshes"]
        world = { vms = 20, user-assigned = 3 }
        broker = { token-lifetime = "1h", refresh-at = 0.25, arguments = ["--workers", "2"] }
        [[phase]]
        name = "rush"
        duration = "4s"
        arrivals = "constant"
        profile = { steps = [100, 200] }
        slo = ["p99<2ms", "hit.p50<1ms"]
        [[phase.mix]]
        weight = 3
        kind = "hit"
        exponent = 0.8
        identities = "user-assigned"
        resource = "https://vault.azure.net"
        [[phase.mix]]
        kind = "herd"
        callers = 10
        [[phase]]
        name = "night"
        duration = "2s"
        profile = { bursts = { rate = 100, on = "100ms", off = "400ms", base = 1 } }
        mix = [{ kind = "uniform" }, { kind = "mint", weight = 0.1 }]
    "#;
    let spec = read(text).unwrap();
    let objectives = &spec.objectives;
    assert_eq!(objectives.len(), 2);
    assert_eq!(
        (objectives[1].phase(), objectives[1].to_string()),
        (Some("rush"), "hit.p50<1ms".to_owned())
    );
    let args = ["--token-lifetime", "1h", "--refresh-at", "0.25", "--workers", "2"];
    assert_eq!(spec.serve_args, args);
    let plan = spec.resolve(&limits()).unwrap().plan;
    assert_eq!((plan.warmup, plan.duration), (Nanos::from_secs(1), Nanos::from_secs(6)));
    assert_eq!((plan.world.vms, plan.world.user_assigned, plan.connections), (20, 3, 50));
    let phases = plan.workload.phases().unwrap();
    assert!((phases.warmup.as_ref().unwrap().mean_rate() - 400.0).abs() < 1e-9);
    assert!((phases.phases[0].mean_rate() - 150.0).abs() < 1e-9);
    // 60 keys of the vault, 80 of the first resource.
    assert_eq!(phases.filled(&plan.world), Some((140, 140)));
    assert!(
        !phases.tokens_outlive_run,
        "the broker is told something of which nothing is known here"
    );
}

/// Returns a phase with this profile.
fn with(profile: &str) -> String {
    one_phase(&format!("profile = {profile}\n{HIT}"))
}

/// Returns a phase with this mix.
fn mixed(mix: &str) -> String {
    one_phase(&format!("profile = {{ rate = 5 }}\nmix = [{mix}]\n"))
}

/// Returns a phase without mistakes.
fn fine() -> String {
    with("{ rate = 5 }")
}

fn check(text: &str, parts: &[&str]) {
    let Err(error) = read(text) else { panic!("accepted:\n{text}") };
    let named = error.starts_with("the scenario `my.toml` is refused") || error.contains("trace");
    assert!(named, "{error}");
    for part in parts {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
}

#[test]
fn times_beyond_what_can_be_added_are_refused_and_do_not_panic() {
    let long = "18446744073709551615s";
    let phase = |name: &str, profile: &str| {
        format!("[[phase]]\nname = \"{name}\"\nduration = \"{long}\"\nprofile = {profile}\n{HIT}")
    };
    let bursts = format!("{{ bursts = {{ rate = 1, on = \"{long}\", off = \"{long}\" }} }}");
    let text = [phase("a", "{ rate = 1 }"), phase("b", &bursts)].concat();
    check(&text, &["write 100ms to 24h", "write 1ms to 24h", "above 24h together"]);
}

#[test]
fn what_is_wrong_with_a_profile_is_named_with_its_key_and_what_to_write() {
    let at = "phase \"a\": `profile.rate` is";
    check(&with("{ rate = -1 }"), &[at, "-1; write requests per second, 0 to"]);
    check(&with("{ rate = 0 }"), &[at, "0 throughout; write a rate above 0"]);
    check(&with("{ rate = nan }"), &[at, "NaN"]);
    check(&with("{ rate = 5, steps = [1] }"), &["`profile` needs one of rate, ramp, steps"]);
    check(&with("{}"), &["`profile` needs one of rate"]);
    check(&with("{ rate = 5, speed = 2 }"), &["`profile.speed` goes with replay"]);
    check(&with("{ ramp = { from = 0, to = 0 } }"), &["`profile.ramp` is 0 throughout"]);
    check(&with("{ ramp = { from = 1 } }"), &["missing field `to`"]);
    check(&with("{ steps = [] }"), &["`profile.steps` has 0 rates"]);
    let bursts =
        |on, off| with(&format!("{{ bursts = {{ rate = 9, on = \"{on}\", off = \"{off}\" }} }}"));
    check(&bursts("0s", "1s"), &["`profile.bursts.on` is 0s; write 1ms to 24h"]);
    let day = bursts("1ms", "1ms").replace("\"1s\"", "\"24h\"");
    check(&day, &["has 43200000 bursts; write 100000 at most"]);
    check(&with("{ replay = \"/nowhere.csv\" }"), &["the trace cannot be used"]);
}

#[test]
fn what_is_wrong_with_a_mix_is_named_with_its_key_and_what_to_write() {
    check(&mixed(""), &["phase \"a\": `mix` is empty; write [[phase.mix]]"]);
    check(&mixed("{ kind = \"hot\" }"), &["unknown variant `hot`", "`hit`", "`uniform`"]);
    let of = |kind: &str, rest: &str| mixed(&format!("{{ kind = \"{kind}\", {rest} }}"));
    check(&of("hit", "weight = 0"), &["mix \"hit\": `weight` is 0; write a number above 0"]);
    check(&of("hit", "exponent = 11"), &["`exponent` is 11; write 0"]);
    check(&of("mint", "exponent = 1"), &["mix \"mint\" does not use `exponent`; leave it out"]);
    check(&of("mint", "resource = \"x\""), &["does not use `resource`"]);
    check(&of("hit", "resource = \"x\""), &["`resource` is unknown; write one of https"]);
    check(&mixed("{ kind = \"herd\" }"), &["`callers` is missing; write how many"]);
    check(&of("boot", "repeat = 0"), &["`repeat` is 0; write 1 to"]);
}

#[test]
fn what_is_wrong_with_a_phase_is_named_with_its_key_and_what_to_write() {
    check(&[fine(), fine()].concat(), &["two phases have the `name` \"a\"; write another"]);
    check(&fine().replace("\"a\"", "\"a b\""), &["`name` is for files and tables; write letters"]);
    check(&fine().replace("\"1s\"", "\"1ms\""), &["`duration` is 1ms; write 100ms to 24h"]);
    check(&fine().replace("duration = \"1s\"", ""), &["`duration` is missing; write one like"]);
    let slo = format!("{}slo = [\"fast\"]", fine());
    check(&slo, &["phase \"a\": `slo`: `fast` is not an objective; write"]);
    let source = format!("{}source = \"off\"", fine());
    check(&source, &["unknown variant `off`", "`down`"]);
    let many: String =
        (0..21).map(|phase| fine().replace("\"a\"", &format!("\"{phase}\""))).collect();
    check(&many, &["there are 21 [[phase]]; write 20 at most"]);
}

#[test]
fn what_is_wrong_with_the_rest_is_named_with_its_key_and_what_to_write() {
    check("", &["either [[phase]] or [herd]"]);
    check("speed = 3", &["my.toml:1", "unknown field `speed`", "`warmup`"]);
    check("warmup = \"soon\"", &["my.toml:1", "`soon` is not a length of time", "\"30s\""]);
    let before = |text: &str| format!("{text}\n{}", fine());
    check(&before("warmup = \"25h\""), &["`warmup` is above 24h"]);
    check(&before("broker = { refresh-at = 2 }"), &["broker: `refresh-at` is 2; write a part"]);
    check(&before("broker = { arguments = [\"--cpus=1\"] }"), &["`arguments` has --cpus=1"]);
    check(&before("connections = 0"), &["`connections` is 0; write 1 or more"]);
    let churn = before("changes = { churn = { per-second = 0 } }");
    check(&churn, &["changes.churn: `per-second` is 0"]);
    check(&before("changes = { swap = {} }"), &["unknown variant `swap`", "`churn`"]);
    let tuned = before("changes = { rotate = {} }\nbroker = { refresh-at = 0.5 }");
    check(&tuned, &["[changes.rotate] sets `token-lifetime` and `refresh-at` itself"]);
    let herd = "warmup = \"1s\"\n[herd]\nherds = 1\ncallers = 2";
    check(herd, &["`warmup` does not go with [herd]; leave it out"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let error =
        read(&one_phase("profile = { rate = -1 }\nmix = [{ kind = \"hit\", weight = -1 }]"))
            .unwrap_err();
    assert_eq!(error.lines().count(), 3, "{error}");
}

#[test]
fn an_outage_lasts_as_long_as_its_phase() {
    let plan = resolve(Scenario::Outage).unwrap().plan;
    let (from, length) = (Nanos::from_secs(5), Nanos::from_secs(10));
    assert_eq!(plan.changes, Changes::Outage { from, length });
    assert_eq!(plan.duration, Nanos::from_secs(45));
}

#[test]
fn a_trace_is_found_beside_its_scenario_and_gives_it_its_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my.toml");
    let phase = "[[phase]]\nname = \"r\"\nprofile = { replay = \"day.csv\", speed = 2 }\n";
    std::fs::write(&path, format!("world = {{ vms = 3 }}\n{phase}{HIT}")).unwrap();
    let write = |text| std::fs::write(folder.path().join("day.csv"), text).unwrap();
    write("t_offset_s,vm\n0,1\n5,2\n");
    let file = Scenario::File(path);
    assert_eq!(resolve(file.clone()).unwrap().plan.duration, Nanos::from_secs(3));
    write("t_offset_s,vm\n0,1\n5,3\n");
    let error = resolve(file).unwrap_err().to_string();
    assert!(
        error.ends_with(
            "day.csv:3: there is no VM 3: the world has 3, numbered from 0; raise --vms"
        ),
        "{error}"
    );
}
