use std::collections::HashSet;

use super::*;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::mix::{Identities, Kind, Share};
use crate::harness::scenario::phases::{Arrivals, Phase, Timing};
use crate::harness::scenario::profile::Profile;
use crate::harness::scenario::replay::Trace;
use crate::harness::scenario::workload::tests::{SECOND, one, phase, share, workload};

const WORLD: Synthetic = Synthetic { vms: 20, user_assigned: 3, seed: 1 };
const POPULAR: Kind = Kind::Popular { exponent: 1.0 };
const MINT: Kind = Kind::New { repeat: 1 };

fn asks(workload: &Workload) -> Vec<RequestKey> {
    Traffic::of(workload, &WORLD).map(|arrival| arrival.key).collect()
}

#[test]
fn minting_never_asks_for_a_key_twice_within_the_keyspace() {
    let keys = 20 * 4 * 5;
    let workload = one(f64::from(keys), MINT);
    assert_eq!(workload.phases().unwrap().new_keys(&WORLD).1, u64::try_from(keys).unwrap());
    let asks = asks(&workload);
    assert_eq!(asks.len(), 400);
    assert_eq!(asks.iter().collect::<HashSet<_>>().len(), asks.len());
    assert_eq!(
        Traffic::of(&workload, &WORLD).new_key_counts(),
        NewKeyCounts { requests: 400, keys: 400 }
    );
}

#[test]
fn steady_traffic_favours_low_vms_and_stays_inside_the_world() {
    let asks = asks(&one(10_000.0, POPULAR));
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let of = |vm| asks.iter().filter(|key| key.vm == vm).count() as f64;
    assert!(asks.iter().all(|key| key.vm < WORLD.vms && key.resource == 0));
    assert!((of(0) / of(9) - 10.0).abs() < 3.0, "{} {}", of(0), of(9));
    assert_eq!(asks.iter().map(|key| key.selector).collect::<HashSet<_>>().len(), 4);
}

#[test]
fn traffic_is_a_pure_function_of_its_seed() {
    let two = workload(None, vec![phase("a", 500.0, POPULAR), phase("b", 500.0, POPULAR)]);
    assert!(Traffic::of(&two, &WORLD).eq(Traffic::of(&two, &WORLD)));
    let all = asks(&two);
    let (first, second) = all.split_at(500);
    assert_ne!(first, second, "phases have streams of their own");
}

#[test]
fn a_length_for_a_number_of_requests_has_exactly_these() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        for warmup in [None, Some(phase("w", 50.0, POPULAR))] {
            let spaced = |length| Phase { arrivals, length, ..phase("a", 300.0, POPULAR) };
            let of = |length| {
                workload(
                    warmup.clone(),
                    vec![Phase {
                        timing: Timing::Rate(Profile::constant(300.0, length)),
                        ..spaced(length)
                    }],
                )
            };
            let count = 1_000;
            let length = Traffic::length_of(of(SECOND).phases().unwrap(), count).unwrap();
            let begins = warmup.as_ref().map_or(Nanos::ZERO, |warmup| warmup.length);
            let measured = Traffic::of(&of(length), &WORLD).filter(|a| a.intended >= begins);
            assert_eq!(measured.count() as u64, count, "{arrivals:?}");
            if arrivals == Arrivals::Constant {
                assert_eq!(length, Nanos::new(3_333_333_333));
            }
        }
    }
    let two = workload(None, vec![phase("a", 5.0, POPULAR), phase("b", 5.0, POPULAR)]);
    assert_eq!(Traffic::length_of(two.phases().unwrap(), 5), None);
}

#[test]
fn filling_asks_for_every_key_that_comes_back_once() {
    let mix = vec![share(POPULAR), Share { resource: 3, ..share(POPULAR) }, share(MINT)];
    let second = Phase { mix, ..phase("b", 100.0, POPULAR) };
    let filled = workload(Some(phase("w", 400.0, POPULAR)), vec![phase("a", 9.0, POPULAR), second]);
    // 80 keys of each resource; half of the warm-up has room for all of them.
    assert_eq!(filled.filled(&WORLD), Some((160, 160)));
    let asked: HashSet<RequestKey> = asks(&filled).into_iter().take(160).collect();
    assert_eq!(asked.len(), 160);
    assert!(asked.iter().all(|key| [0, 3].contains(&key.resource)));
    let short = workload(Some(phase("w", 100.0, POPULAR)), vec![phase("a", 9.0, POPULAR)]);
    assert_eq!(short.filled(&WORLD), Some((50, 80)));
    let cold =
        workload(None, vec![phase("a", 9.0, POPULAR), phase("b", 9.0, Kind::Turn { repeat: 1 })]);
    assert_eq!(cold.filled(&WORLD), None);
}

#[test]
fn new_keys_are_new_beside_keys_that_come_back() {
    let mix = vec![share(POPULAR), Share { weight: 0.25, ..share(Kind::New { repeat: 2 }) }];
    let mixed = workload(None, vec![Phase { mix, ..phase("a", 1000.0, POPULAR) }]);
    let counts = Traffic::of(&mixed, &WORLD).new_key_counts();
    // 200 expected, standard deviation 12.6.
    assert!((124..=276).contains(&counts.requests), "{counts:?}");
    assert_eq!(counts.keys, counts.requests.div_ceil(2));
    let asks = asks(&mixed);
    let new = asks.iter().filter(|key| key.resource != 0).count() as u64;
    assert_eq!(new, counts.requests);
    let phases = mixed.phases().unwrap();
    assert_eq!(phases.reused_keys(&WORLD), 80);
    let (needed, there) = phases.new_keys(&WORLD);
    assert!(needed >= counts.keys && there == 320, "{needed} {there}");
    assert!(phases.any_new() && !phases.only_new());
}

#[test]
fn phases_follow_each_other_and_say_where_they_end() {
    let all = workload(
        Some(phase("w", 10.0, POPULAR)),
        vec![phase("a", 20.0, POPULAR), phase("b", 30.0, POPULAR)],
    );
    let times: Vec<Nanos> = Traffic::of(&all, &WORLD).map(|arrival| arrival.intended).collect();
    assert!(times.is_sorted());
    let within =
        |from, to| times.iter().filter(|at| (SECOND * from..SECOND * to).contains(*at)).count();
    assert_eq!((within(0, 1), within(1, 2), within(2, 3)), (10, 20, 30));
    assert_eq!(all.ends(), [SECOND, SECOND * 2]);
    assert!(one(1.0, POPULAR).ends().is_empty());
    let indices: Vec<u64> = Traffic::of(&all, &WORLD).map(|arrival| arrival.index).collect();
    assert!(indices.iter().copied().eq(0..60));
}

#[test]
fn a_trace_is_replayed_at_its_speed_and_its_gaps_are_filled_from_the_mix() {
    let text = "t_offset_s,vm,identity,resource\n0,7,2,https://vault.azure.net\n1.5,,,\n9,1,0,\n";
    let trace = Trace::parse("t", text).unwrap();
    let mix = vec![Share { resource: 4, identities: Identities::System, ..share(POPULAR) }];
    let timing = Timing::Replay { trace, speed: 2.0 };
    let replay = workload(None, vec![Phase { timing, mix, ..phase("a", 0.0, POPULAR) }]);
    let all: Vec<Arrival> = Traffic::of(&replay, &WORLD).collect();
    // The third request is due at 4.5 s, after the end.
    assert_eq!(all.iter().map(|a| a.intended.as_u64()).collect::<Vec<_>>(), [0, 750_000_000]);
    assert_eq!(all[0].key, RequestKey { vm: 7, selector: Selector::UserAssigned(1), resource: 2 });
    assert_eq!((all[1].key.selector, all[1].key.resource), (Selector::Default, 4));
}

#[test]
fn each_herd_is_one_instant_and_one_key() {
    let herds = Herds { herds: 3, callers: 50, first: Nanos::new(5), gap: Nanos::new(100) };
    let all: Vec<Arrival> = Traffic::of(&Workload::Herd(herds), &WORLD).collect();
    assert_eq!(all.len(), 150);
    for (herd, callers) in all.chunks(50).enumerate() {
        assert!(callers.iter().all(|a| a.intended.as_u64() == 5 + 100 * herd as u64));
        assert!(callers.iter().all(|a| a.key == callers[0].key));
    }
    assert_eq!(all.iter().map(|a| a.key).collect::<HashSet<_>>().len(), 3);
}
