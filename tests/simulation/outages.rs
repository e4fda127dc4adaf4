//! Outages of the source, of random length: held tokens are served until they expire, everybody gets a token within one
//! back-off after the end, and nothing is minted twice.

use std::collections::BTreeMap;

use mintbench::service::cache::Freshness;
use mintbench::service::world::Throttle;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::history::{Ask, Choice, History, KNOWN, Op, RESOURCES, Settings};
use crate::run::{Run, Threads};
use crate::source::{CALL_MAX, LIES, SourceMode};

/// Machines that ask, each with an identity of its own.
const ASKING: u8 = 3;

/// Seconds until a failed renewal is tried again.
const BACK_OFF: u64 = 30;

/// Machine and resource.
type Pair = (u8, usize);

/// One outage.
struct Outage {
    history: History,
    begin: u64,
    end: u64,
}

/// Counts of the events of outages.
#[derive(Clone, Copy, Debug, Default)]
struct Figures {
    outages: u64,
    seconds: u64,
    requests: u64,
    /// Requests during the outage that got the token which was held.
    served: u64,
    /// Requests during the outage whose token had expired.
    refused: u64,
    /// Mints in the two back-offs after the end.
    mints_after: u64,
}

fn ask(machine: u8, resource: usize, count: u8) -> Op {
    Op::Ask(Ask {
        address: machine,
        is_kept: true,
        choice: Choice::Nothing,
        resource,
        freshness: Freshness::Held,
        count,
        patience: None,
    })
}

fn all(second: u64, count: u8) -> impl Iterator<Item = (u64, Op)> {
    let pairs = (0..ASKING).flat_map(|machine| (0..KNOWN).map(move |resource| (machine, resource)));
    pairs.map(move |(machine, resource)| (second, ask(machine, resource, count)))
}

impl Outage {
    fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let lifetime = rng.random_range(400..1600);
        let settings = Settings {
            lifetime,
            refresh_percent: *[30, 50, 80].choose(&mut rng).unwrap(),
            lanes: rng.random_range(1..4),
            mint_queue: 64,
            cache_entries: 4096,
            min_distance: 60,
            throttle: Throttle::Off,
            has_renewed: false,
        };
        let begin = rng.random_range(20..lifetime);
        let end = begin + rng.random_range(1..2 * lifetime);
        let mode = match rng.random_range(0..4) {
            0 | 1 => SourceMode::Down,
            2 => SourceMode::Hanging,
            _ => SourceMode::Lying(*LIES.choose(&mut rng).unwrap()),
        };
        let mut ops: Vec<_> = (0..4).flat_map(|count| all(count * 5, 1)).collect();
        ops.push((begin, Op::Source(mode)));
        for _ in 0..rng.random_range(10..40) {
            let pair = (rng.random_range(0..ASKING), rng.random_range(0..KNOWN));
            ops.push((rng.random_range(begin..end), ask(pair.0, pair.1, rng.random_range(1..4))));
        }
        ops.push((end, Op::Source(SourceMode::Up)));
        // A herd at each moment of the recovery.
        ops.extend(all(end + rng.random_range(1..BACK_OFF), 3));
        ops.extend(all(end + BACK_OFF, 3));
        ops.sort_by_key(|(second, _)| *second);
        Self { history: History { seed, settings, ops }, begin, end }
    }
}

/// Checks an outage that was played.
fn check(outage: &Outage, run: &Run<'_>, figures: &mut Figures) -> Result<(), String> {
    let Outage { history, begin, end } = outage;
    let Settings { lifetime, refresh_percent, .. } = history.settings;
    let mut mints: BTreeMap<Pair, Vec<u64>> = BTreeMap::new();
    for (second, machine, resource) in &run.minted {
        let machine = machine.rsplit('-').next().unwrap().parse().unwrap();
        let resource = RESOURCES.iter().position(|own| own == resource).unwrap();
        mints.entry((machine, resource)).or_default().push(*second);
    }
    for (asked, answered, pair, is_ok) in &run.answers {
        let before = mints.get(pair).and_then(|own| own.iter().rfind(|mint| *mint <= asked));
        let is_held = before.is_some_and(|mint| *asked < mint + lifetime);
        let is_out = (*begin..*end).contains(asked);
        figures.served += u64::from(is_out && *is_ok);
        figures.refused += u64::from(is_out && !*is_ok);
        if is_held && !is_ok {
            return Err(format!("{pair:?} was held, but refused at {asked} s"));
        }
        if is_held && answered != asked {
            return Err(format!("{pair:?} was held, but answered at {answered} s, not {asked} s"));
        }
        // A call that began before the end may fail after it.
        if *asked >= end + CALL_MAX && !is_ok {
            return Err(format!("{pair:?} was refused at {asked} s, long after the end"));
        }
    }
    for (pair, own) in &mints {
        let after = own.iter().filter(|mint| *mint > end).count();
        if after > 1 {
            return Err(format!("{pair:?} was minted {after} times after the end"));
        }
        figures.mints_after += after as u64;
        let last = *own.last().unwrap();
        let due = last + lifetime * u64::from(refresh_percent + 5) / 100 + 1;
        if last < *end && due < end + BACK_OFF {
            return Err(format!("{pair:?} was due at {due} s, but not renewed after the end"));
        }
    }
    figures.outages += 1;
    figures.seconds += end - begin;
    figures.requests += run.answers.len() as u64;
    Ok(())
}

#[test]
fn a_thousand_outages_of_the_source_cost_nobody_more_than_they_must() {
    let (mut threads, mut figures) = (Threads::start(), Figures::default());
    for seed in 0..1000 {
        let outage = Outage::of(seed);
        let mut run = Run::new(&outage.history, &mut threads);
        let played =
            run.play().map_err(|broken| format!("{}: {}", broken.invariant, broken.detail));
        let checked = played.and_then(|()| check(&outage, &run, &mut figures));
        if let Err(fault) = checked {
            let (begin, end) = (outage.begin, outage.end);
            panic!("outage {seed} ({begin} s to {end} s): {fault}\n{}", run.log.join("\n"));
        }
    }
    println!("{figures:?}");
}
