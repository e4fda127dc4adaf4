//! Delays of threads that are idle or only spin.

use std::time::Duration;

use hdrhistogram::Histogram;

use super::examined::Stolen;
use crate::base::clock::Monotonic;
use crate::harness::machine::cores::settle_thread;
use crate::harness::nanos::Nanos;
use crate::harness::record::intervals::histogram;

/// Measures the wake-up delay in nanoseconds of a thread that sleeps until each millisecond, with
/// exact timers.
pub(crate) fn sleep_lateness(span: Duration) -> Histogram<u64> {
    const EACH_NS: u64 = 1_000_000;
    on_a_thread(None, move || {
        let (clock, mut lateness) = (Monotonic::start(), histogram());
        let mut due_ns = EACH_NS;
        while u128::from(due_ns) < span.as_nanos() {
            std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(clock.now_ns())));
            let now_ns = clock.now_ns();
            // A long stall makes several wake-ups late, each by its own amount.
            while due_ns <= now_ns {
                lateness.saturating_record(now_ns - due_ns);
                due_ns += EACH_NS;
            }
        }
        lateness
    })
    .unwrap_or_else(histogram)
}

/// Maximum number of cores to examine: one after the other would take too long, and all at once
/// heat the machine.
const CORES_MAX: usize = 64;

/// Spins on all cores at once, and returns the core that lost the most time.
pub(crate) fn most_stolen(cores: &[usize], span: Duration) -> Stolen {
    let spinning: Vec<_> = cores
        .iter()
        .take(CORES_MAX)
        .map(|core| {
            let core = *core;
            std::thread::spawn(move || {
                settle_thread(Some(core));
                stolen_of(core, span)
            })
        })
        .collect();
    let losses = spinning.into_iter().filter_map(|thread| thread.join().ok());
    losses.max_by(|a, b| a.share.total_cmp(&b.share)).unwrap_or_default()
}

/// Measures the time that a core loses. Two readings of the clock are some 30 ns apart unless
/// something interrupts them.
fn stolen_of(core: usize, span: Duration) -> Stolen {
    const INTERRUPTION: Nanos = Nanos::from_micros(10);
    let clock = Monotonic::start();
    let end = Nanos::from(span);
    let (mut last, mut interrupted, mut longest) = (Nanos::now(clock), Nanos::ZERO, Nanos::ZERO);
    while last < end {
        let now = Nanos::now(clock);
        let gap = now - last;
        if gap > INTERRUPTION {
            interrupted += gap;
            longest = longest.max(gap);
        }
        last = now;
    }
    let share = interrupted.as_f64() / last.max(Nanos::new(1)).as_f64();
    Stolen { core, share, longest }
}

/// Runs `body` on a thread of its own, with the settings of a pacing thread.
fn on_a_thread<T: Send + 'static>(
    core: Option<usize>,
    body: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let thread = std::thread::spawn(move || {
        settle_thread(core);
        body()
    });
    thread.join().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleeper_records_every_tick() {
        let lateness = sleep_lateness(Duration::from_millis(20));
        // Ticks at 1 to 19 ms; the last wake-up may be late by several.
        assert!(lateness.len() >= 19, "{}", lateness.len());
    }

    #[test]
    fn what_a_core_lost_is_a_share() {
        let stolen = most_stolen(&[0], Duration::from_millis(5));
        assert!((0.0..=1.0).contains(&stolen.share), "{stolen:?}");
        assert_eq!(stolen.longest > Nanos::ZERO, stolen.share > 0.0);
    }
}
