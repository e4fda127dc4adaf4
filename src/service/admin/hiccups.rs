//! Probe for stalls: a thread that only sleeps and records how late it wakes. A late wake-up shows a delay by
//! the host, or by a busy core, that affects all other threads of the process too.
//!
//! The idea is from jHiccup (Tene, 2012). A wake-up costs about 5 us, or 20 us in an unoptimised build on a
//! busy core. At 200 a second that is below half a per cent of a core.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::base::clock::Monotonic;

/// Time between two wake-ups. A shorter one would cost more than is acceptable for the measured broker.
const PERIOD_NS: u64 = 5_000_000;
/// Buckets per factor of two: neighbouring bounds differ by 19 %.
const PER_OCTAVE: f64 = 4.0;
/// Number of bounds, from 1 us to about 1 s.
const BOUNDS: usize = 81;

/// Delays of all wake-ups so far. Counters are independent: a reader may miss the latest.
#[derive(Debug)]
pub(crate) struct Hiccups {
    /// Counts by bucket; the last bucket has no bound.
    counts: [AtomicU64; BOUNDS + 1],
    sum_ns: AtomicU64,
}

/// Recorded delays, as a Prometheus histogram.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Counted {
    /// Upper bounds in seconds, and the number of delays in each bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) sum_seconds: f64,
}

impl Default for Hiccups {
    fn default() -> Self {
        Self { counts: std::array::from_fn(|_| AtomicU64::new(0)), sum_ns: AtomicU64::new(0) }
    }
}

impl Hiccups {
    fn record(&self, late_ns: u64) {
        if let Some(count) = self.counts.get(bucket(late_ns)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(late_ns, Ordering::Relaxed);
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds to a microsecond for 140 years")]
    pub(super) fn counted(&self) -> Counted {
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let bounds = (0..BOUNDS).map(bound_seconds).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum_seconds = self.sum_ns.load(Ordering::Relaxed) as f64 / 1e9;
        Counted { buckets, count, sum_seconds }
    }
}

#[expect(clippy::cast_precision_loss, reason = "below 100")]
fn bound_seconds(index: usize) -> f64 {
    1e-6 * (index as f64 / PER_OCTAVE).exp2()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "clamped to the number of buckets"
)]
fn bucket(late_ns: u64) -> usize {
    let octaves = (late_ns as f64 / 1e3).max(1.0).log2();
    (octaves * PER_OCTAVE).ceil().clamp(0.0, BOUNDS as f64) as usize
}

/// The probe's thread; ends when dropped.
#[derive(Debug)]
pub(crate) struct Probe {
    hiccups: Arc<Hiccups>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Probe {
    /// Starts the probe. Its thread first calls `settle`, for example to request exact timers.
    ///
    /// # Errors
    /// Returns the system's error when the thread cannot be started.
    pub(crate) fn start(settle: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let (hiccups, stop) = (Arc::new(Hiccups::default()), Arc::new(AtomicBool::new(false)));
        let (recorded, stopped) = (Arc::clone(&hiccups), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("hiccups".to_owned()).spawn(move || {
            settle();
            sleep_and_record(&recorded, &stopped);
        })?;
        Ok(Self { hiccups, stop, thread: Some(thread) })
    }

    /// Returns the probe's counters.
    pub(crate) fn hiccups(&self) -> Arc<Hiccups> {
        Arc::clone(&self.hiccups)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // The thread sees this within one period.
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn sleep_and_record(hiccups: &Hiccups, stop: &AtomicBool) {
    let clock = Monotonic::start();
    let mut due_ns = PERIOD_NS;
    while !stop.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_nanos(due_ns.saturating_sub(clock.now_ns())));
        let now_ns = clock.now_ns();
        // A long stall delays several wake-ups, each by its own amount.
        while due_ns <= now_ns {
            hiccups.record(now_ns - due_ns);
            due_ns += PERIOD_NS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_probe_counts_until_it_is_dropped() {
        let probe = Probe::start(|| {}).unwrap();
        let hiccups = probe.hiccups();
        let clock = Monotonic::start();
        while hiccups.counted().count < 3 {
            assert!(clock.now_ns() < 60_000_000_000, "no wake-up within a minute");
            std::thread::yield_now();
        }
        drop(probe);
        let counted = hiccups.counted();
        assert!(counted.count >= 3 && counted.sum_seconds > 0.0);
        assert_eq!(counted, hiccups.counted());
    }

    proptest! {
        #[test]
        #[expect(clippy::cast_precision_loss, reason = "times are far below 2^53 ns")]
        fn lateness_lies_below_the_bound_of_its_bucket_and_above_the_one_before(
            late_ns in 0_u64..5_000_000_000
        ) {
            let (index, late) = (bucket(late_ns), late_ns as f64 / 1e9);
            prop_assert!(index == BOUNDS || late <= bound_seconds(index) * (1.0 + 1e-12));
            prop_assert!(index == 0 || late > bound_seconds(index - 1) * (1.0 - 1e-12));
        }
    }
}
