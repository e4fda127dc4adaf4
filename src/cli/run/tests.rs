use super::*;
use crate::load::checks::Failure;
use crate::load::collector::{Discard, Totals, collect};
use crate::load::conditions::Conditions;
use crate::load::fleet::Measured;
use crate::load::pacing::Pacing;
use crate::load::recorder::tests::ended;
use crate::load::recorder::{Latencies, Recorder, Tally, Window, histogram};
use crate::load::validity::Reason;
use std::sync::mpsc::channel;

/// One answer of class `hit` after this many nanoseconds.
fn totals(response_ns: u64) -> Totals {
    let ((full, sets), (spare, empty)) = (channel(), channel());
    let mut recorder = Recorder::new(Window { start_ns: 0, end_ns: 1 }, full, empty);
    recorder.record(&ended(0, response_ns));
    let _ = recorder.finish();
    collect(&sets, &[spare], &mut Discard, &|| ()).unwrap()
}

fn outcome(failures: Vec<Failure>, reasons: Vec<Reason>) -> Outcome {
    let totals = totals(1_000_000);
    let mut all = Latencies::default();
    totals.whole.seen().for_each(|(_, class)| all.add(class));
    let measured = Measured {
        totals,
        tally: Tally::default(),
        busy_share: 0.0,
        hiccup: histogram(),
        notice: histogram(),
        pacing: Pacing::default(),
        samples: Vec::new(),
        cut: None,
    };
    Outcome {
        measured,
        all,
        broker: None,
        verdict: None,
        changes: None,
        conditions: Conditions::default(),
        duration_ns: 1,
        rate_achieved: None,
        rate_answered: 0.0,
        reasons,
        failures,
    }
}

#[test]
fn a_failed_check_wins_over_an_invalid_run_and_that_over_a_missed_objective() {
    let (failed, invalid) = (vec![Failure::NothingVerified], vec![Reason::NoRequests]);
    let (met, missed) = ("p99<2ms".parse().unwrap(), "hit.p99<500us".parse().unwrap());
    for (failures, reasons, objective, expected) in [
        (failed.clone(), invalid.clone(), &missed, Exit::Failed),
        (failed, Vec::new(), &met, Exit::Failed),
        (Vec::new(), invalid, &missed, Exit::Invalid),
        (Vec::new(), Vec::new(), &missed, Exit::SloBreached),
        (Vec::new(), Vec::new(), &met, Exit::Pass),
    ] {
        let outcome = outcome(failures, reasons);
        assert_eq!(exit(&outcome, std::slice::from_ref(objective)), expected);
    }
}

#[test]
fn an_objective_of_a_class_that_was_not_seen_is_missed() {
    let objective = "miss.p99<1h".parse().unwrap();
    assert_eq!(exit(&outcome(Vec::new(), Vec::new()), &[objective]), Exit::SloBreached);
}
