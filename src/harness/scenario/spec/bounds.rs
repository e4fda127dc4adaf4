//! Bounds of the settings of a run.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Maximum rate in requests per second: 100 ns apart, which is below the cost of one request.
pub(super) const RATE_MAX: f64 = 1e7;
/// Maximum length of a run, of a phase and of a warm-up.
pub(super) const DAY: Duration = Duration::from_hours(24);
/// Minimum length of a phase.
pub(crate) const LENGTH_MIN: Duration = Duration::from_millis(100);
/// Length of a phase.
pub(super) const DURATIONS: RangeInclusive<Duration> = LENGTH_MIN..=DAY;
/// Timeout of a request.
pub(super) const TIMEOUTS: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_hours(1);
/// Maximum length of the pacing test, which tells no more after a minute.
pub(super) const PACER_TEST_MAX: Duration = Duration::from_mins(1);
/// Maximum number of threads: more than any machine has cores for.
pub(super) const THREADS_MAX: usize = 1024;
/// Maximum number of samples: some 4 KB each, for every thread and class.
pub(super) const SAMPLES_MAX: usize = 50_000;
/// Maximum number of changes per second that a flag may ask for.
pub(crate) const CHANGES_MAX: u32 = 10_000;
/// Minimum time between two rotations: a verifier can read the keys five times in it.
pub(super) const ROTATION_GAP_MIN: Duration = Duration::from_secs(1);
/// Maximum number of rotations. A broker publishes 32 keys at most, and keeps each for as long as
/// its tokens may live.
pub(super) const ROTATIONS_MAX: u32 = 30;
/// Maximum number of identities with certificates: a core makes them in some ten seconds.
pub(super) const CERTIFICATES_MAX: u64 = 100;

/// Returns true if a replay may have this speed. At the upper limit a day takes a minute and a
/// half.
pub(super) fn is_replay_speed(speed: f64) -> bool {
    (0.001..=1000.0).contains(&speed)
}
