//! Simulation: broker, cache, source, store and directory in one process under a virtual clock, with faults, against a
//! naive model of the world.
//!
//! A seed decides everything: the history, and at each step which thread or request goes on. A violation prints its seed
//! and the end of its history; `MINTBENCH_SIMULATION_SEED=N` plays that one again, and prints all of it.
//! `MINTBENCH_SIMULATION_HISTORIES=N` sets the number of histories, `MINTBENCH_SIMULATION_FIRST=N` the first seed.
//! `docs/reliability.md` names the invariants.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod actors;
mod asked;
mod checks;
mod clock;
mod counts;
mod disk;
mod history;
mod keys;
mod limits;
mod mints;
mod node;
mod outages;
mod past;
mod progress;
mod run;
mod source;
mod token;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use checks::Violation;
use counts::Counts;
use history::History;
use parking_lot::Mutex;
use run::{Run, Threads};

/// Histories of a run that names no number: about 15 s of a debug build.
const HISTORIES: u64 = 1000;

/// Lines of a history that are printed with a violation.
const LINES: usize = 60;

/// A history that broke an invariant.
struct Broken {
    seed: u64,
    violation: Violation,
    log: Vec<String>,
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

/// Plays the history of a seed.
fn play(seed: u64, threads: &mut Threads) -> (Counts, Vec<String>, Option<Violation>) {
    let mut run = Run::new(&History::of(seed), threads);
    let violation = run.play().err();
    (run.counts, std::mem::take(&mut run.log), violation)
}

/// Plays histories on all cores until one breaks an invariant.
fn play_all(histories: u64) -> (Counts, Option<Broken>) {
    let first = number("MINTBENCH_SIMULATION_FIRST").unwrap_or(0);
    let end = first + histories;
    let (next, total, broken) =
        (AtomicU64::new(first), Mutex::new(Counts::default()), Mutex::new(None));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let mut threads = Threads::start();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let (counts, log, violation) = play(seed, &mut threads);
                    total.lock().add(&counts);
                    if let Some(violation) = violation {
                        next.store(end, Ordering::Relaxed);
                        let first = Broken { seed, violation, log };
                        let mut broken = broken.lock();
                        let is_first = broken.as_ref().is_none_or(|own: &Broken| seed < own.seed);
                        if is_first {
                            *broken = Some(first);
                        }
                    }
                }
            });
        }
    });
    (total.into_inner(), broken.into_inner())
}

fn tell(broken: &Broken, lines: usize) -> String {
    let Broken { seed, violation, log } = broken;
    let log = &log[log.len().saturating_sub(lines)..];
    format!(
        "history {seed} breaks `{}`: {}\n{}\nplay it again with MINTBENCH_SIMULATION_SEED={seed}",
        violation.invariant,
        violation.detail,
        log.join("\n"),
    )
}

#[test]
fn no_history_breaks_an_invariant() {
    if let Some(seed) = number("MINTBENCH_SIMULATION_SEED") {
        let (_, log, violation) = play(seed, &mut Threads::start());
        println!("{}", log.join("\n"));
        if let Some(violation) = violation {
            panic!("{}", tell(&Broken { seed, violation, log: Vec::new() }, 0));
        }
        return;
    }
    let histories = number("MINTBENCH_SIMULATION_HISTORIES").unwrap_or(HISTORIES);
    let (counts, broken) = play_all(histories);
    println!("{counts:?}");
    if let Some(broken) = broken {
        panic!("after {} histories: {}", counts.histories, tell(&broken, LINES));
    }
    assert!(histories < HISTORIES || counts.has_all(), "what never happens is not checked");
}

#[test]
fn a_seed_gives_the_same_history_each_time() {
    let mut threads = Threads::start();
    for seed in 0..20 {
        let [first, second] = [(); 2].map(|()| play(seed, &mut threads));
        assert_eq!(first, second, "seed {seed}");
    }
}
