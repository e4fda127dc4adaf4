use super::RunArgs;
use super::finished::exit;
use crate::cli::exit::Exit;
use crate::harness::judge::conditions::Conditions;
use crate::harness::judge::failure::Failure;
use crate::harness::judge::outcome::Outcome;
use crate::harness::judge::ruling::{Asked, Rule};
use crate::harness::judge::undisturbed::Undisturbed;
use crate::harness::judge::validity::Reason;
use crate::harness::nanos::Nanos;
use crate::harness::record::collector::{Discard, Totals, collect};
use crate::harness::record::intervals::{Latencies, Window, histogram};
use crate::harness::record::measured::{Measured, Pacing};
use crate::harness::record::recorder::Recorder;
use crate::harness::record::recorder::tests::ended;
use crate::harness::record::tally::Tally;
use crate::harness::record::witness::{Neighbourhood, WitnessLog};
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::spec::{ProcessLimits, Resolved};
use crate::harness::stats::intervals::Chance;
use clap::{Args as _, FromArgMatches as _};
use std::sync::mpsc::channel;

/// Returns a thousand answers of class `hit` after this many nanoseconds.
fn totals(response_ns: u64) -> Totals {
    let ((full, sets), (spare, empty)) = (channel(), channel());
    let mut recorder =
        Recorder::new(Window { start: Nanos::ZERO, end: Nanos::new(1) }, full, empty);
    (0..1_000).for_each(|_| recorder.record(&ended(0, response_ns)));
    let _ = recorder.finish();
    collect(&sets, &[spare], &WitnessLog::default(), &mut Discard, &|| ()).unwrap()
}

fn outcome(failures: Vec<Failure>, reasons: Vec<Reason>) -> Outcome {
    let totals = totals(1_000_000);
    let mut all = Latencies::default();
    totals.whole.good().for_each(|(_, class)| all.add(class));
    let measured = Measured {
        samples_full: false,
        paused: Nanos::ZERO,
        totals,
        tally: Tally::default(),
        busy_share: 0.0,
        hiccup: histogram(),
        notice: histogram(),
        pacing: Pacing::default(),
        samples: Vec::new(),
        neighbourhood: Neighbourhood::Apart,
        cut: None,
    };
    Outcome {
        measured,
        good: all.clone(),
        all,
        broker: None,
        verdict: None,
        changes: None,
        conditions: Conditions::default(),
        undisturbed: Undisturbed::default(),
        duration: Nanos::new(1),
        rate_achieved: None,
        rate_answered: 0.0,
        reasons,
        failures,
    }
}

#[test]
fn a_failed_check_wins_over_an_invalid_run_that_over_a_miss_and_that_over_what_nobody_can_tell() {
    let (failed, invalid) = (vec![Failure::NoVerification], vec![Reason::NoRequests]);
    let [met, missed, unknown] =
        ["p99<2ms", "hit.p99<500us", "p99.9<1h"].map(|text| text.parse::<Objective>().unwrap());
    for (failures, reasons, objectives, expected) in [
        (failed.clone(), invalid.clone(), vec![&missed], Exit::Failed),
        (failed, Vec::new(), vec![&met], Exit::Failed),
        (Vec::new(), invalid, vec![&missed], Exit::Invalid),
        (Vec::new(), Vec::new(), vec![&unknown, &missed], Exit::SloBreached),
        (Vec::new(), Vec::new(), vec![&met, &unknown], Exit::Inconclusive),
        (Vec::new(), Vec::new(), vec![&met], Exit::Pass),
    ] {
        let objectives: Vec<Objective> = objectives.into_iter().cloned().collect();
        let outcome = outcome(failures, reasons);
        for rule in [Rule::Bounds, Rule::Strict] {
            assert_eq!(
                exit(&outcome, Asked { rule, chance: Chance::USUAL, objectives: &objectives }),
                expected
            );
        }
    }
}

#[test]
fn a_disturbance_takes_the_answer_away_by_the_strict_rule_only() {
    let disturbed = || vec![Reason::Steal { share: 0.2 }];
    let missed = ["p99<500us".parse::<Objective>().unwrap()];
    for (rule, objectives, expected) in [
        (Rule::Bounds, &[][..], Exit::Pass),
        (Rule::Bounds, &missed, Exit::SloBreached),
        (Rule::Strict, &[], Exit::Invalid),
        (Rule::Strict, &missed, Exit::Invalid),
    ] {
        let outcome = outcome(Vec::new(), disturbed());
        assert_eq!(exit(&outcome, Asked { rule, chance: Chance::USUAL, objectives }), expected);
    }
}

#[test]
fn nobody_can_tell_an_objective_of_a_class_that_was_not_seen() {
    let objective = "miss.p99<1h".parse().unwrap();
    let asked = Asked { rule: Rule::Bounds, chance: Chance::USUAL, objectives: &[objective] };
    assert_eq!(exit(&outcome(Vec::new(), Vec::new()), asked), Exit::Inconclusive);
}

/// Resolves the run of these arguments.
fn resolve(args: &[&str]) -> Result<Resolved, String> {
    let command = RunArgs::augment_args(clap::Command::new("run"));
    let matches = command.try_get_matches_from(["run"].iter().chain(args)).unwrap();
    let args = RunArgs::from_arg_matches(&matches).unwrap();
    let (scenario, target) = args.subject().unwrap();
    let spec = args.spec(scenario, target.as_ref()).map_err(|error| error.to_string())?;
    let limits = ProcessLimits { cores: vec![0, 1, 2], open_files: 1_000_000 };
    spec.resolve(&limits).map_err(|error| error.to_string())
}

#[test]
fn flags_change_a_single_phase_and_are_refused_where_they_would_mean_nothing() {
    let plan = resolve(&["steady", "--rate", "10"]).unwrap().plan;
    let phases = plan.workload.phases().unwrap();
    assert!((phases.phases[0].mean_rate() - 10.0).abs() < 1e-9);
    assert!((phases.warmup.as_ref().unwrap().mean_rate() - 10.0).abs() < 1e-9);
    for (args, part) in [
        (vec!["boot-storm", "--rate", "9"], "--print-scenario boot-storm"),
        (vec!["outage", "--duration", "9s"], "--duration says nothing"),
        (vec!["steady", "--speed", "2"], "does not use --speed"),
        (vec!["herd", "--requests", "9"], "does not use --requests"),
        (vec!["boot-storm", "--requests", "9"], "--requests says nothing"),
        (vec!["steady", "-n", "9", "-d", "9s"], "--requests and --duration both say when"),
        (vec!["refresh-wave", "--warmup", "0s"], "asks for 0 of 200 keys"),
        (vec!["outage", "--vms", "1000"], "`outage` makes certificates"),
        (vec!["refresh-wave", "--target", "http://127.0.0.1:1"], "leave out --target"),
    ] {
        let Err(error) = resolve(&args) else { panic!("accepted: {part}") };
        assert!(error.contains(part), "{error}");
    }
}
