//! Clocks. This is the only file that reads a clock.
//!
//! All other code takes `now` as an argument. Tokens carry wall time, in whole seconds. Latencies are
//! measured in monotonic nanoseconds. This module depends on no other.

use std::fmt;
use std::ops::{Add, RangeInclusive, Sub};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use nix::time::{ClockId, clock_gettime};

/// Seconds since 1970-01-01T00:00:00Z, leap seconds not counted (RFC 7519 `NumericDate`).
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixSeconds(pub u64);

impl Add<Seconds> for UnixSeconds {
    type Output = Self;

    fn add(self, span: Seconds) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub<Seconds> for UnixSeconds {
    type Output = Self;

    fn sub(self, span: Seconds) -> Self {
        Self(self.0.saturating_sub(span.0))
    }
}

impl UnixSeconds {
    /// Returns the span from `earlier` to `self`, or zero when `earlier` is not earlier.
    pub fn since(self, earlier: Self) -> Seconds {
        Seconds(self.0.saturating_sub(earlier.0))
    }

    /// Formats the time as in RFC 3339, to the second, in UTC.
    pub fn rfc3339(self) -> String {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(self.0);
        humantime::format_rfc3339_seconds(time).to_string()
    }
}

impl fmt::Display for UnixSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Converts nanoseconds to microseconds.
#[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53 ns")]
pub fn us(ns: u64) -> f64 {
    ns as f64 / 1000.0
}

/// Formats nanoseconds with a suitable unit and three digits: `35 ns`, `64.6 us`, `1.04 ms`, `1.43 s`.
pub fn readable(ns: u64) -> String {
    readable_us(us(ns))
}

/// Formats microseconds with a suitable unit.
pub fn readable_us(us: f64) -> String {
    // The rounded value decides: 999.97 us is 1.00 ms.
    let (value, unit) = match us {
        us if us < 0.9995 => return format!("{:.0} ns", us * 1e3),
        us if us < 999.5 => (us, "us"),
        us if us < 999_500.0 => (us / 1e3, "ms"),
        us => (us / 1e6, "s"),
    };
    let digits = match value {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        _ => 2,
    };
    format!("{value:.digits$} {unit}")
}

/// A span in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Seconds(pub u64);

impl From<Duration> for Seconds {
    /// Rounds down.
    fn from(span: Duration) -> Self {
        Self(span.as_secs())
    }
}

/// Source of time.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Returns the wall time now.
    fn now(&self) -> UnixSeconds;

    /// Returns nanoseconds since some moment, for spans of time. Setting the wall time does not change them.
    fn monotonic_ns(&self) -> u64;

    /// Returns the wall time that other programs on this machine see. It differs from [`Self::now`] only if a test
    /// moved the clock.
    fn machine_now(&self) -> UnixSeconds {
        self.now()
    }
}

/// The machine's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of wall time")]
    fn now(&self) -> UnixSeconds {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        UnixSeconds(since_epoch.map_or(0, |span| span.as_secs()))
    }

    fn monotonic_ns(&self) -> u64 {
        read(ClockId::CLOCK_MONOTONIC)
    }
}

/// Longest distance of a moved clock from that of the machine: a year, after which certificates end.
const AHEAD_MAX_S: u64 = 366 * 86_400;

/// Parses the distance of a moved clock from that of the machine, such as `+3h`, `-10m` or `0s`, in seconds.
///
/// # Errors
/// Returns the reason and the remedy if the text is no such distance, or is above a year.
pub(crate) fn offset(text: &str) -> Result<i64, String> {
    let (is_behind, span) = match text.strip_prefix('-') {
        Some(span) => (true, span),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let advice = || format!("`{text}` is no offset; write +3h, -10m or 0s, at most 366days");
    let span = humantime::parse_duration(span).map_err(|_| advice())?.as_secs();
    if span > AHEAD_MAX_S {
        return Err(advice());
    }
    let span = i64::try_from(span).map_err(|_| advice())?;
    Ok(if is_behind { -span } else { span })
}

/// Formats a distance as [`offset`] parses it.
pub(crate) fn offset_text(ahead_s: i64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "days"), (3600, "h"), (60, "m"), (1, "s")];
    let (sign, mut left) = (if ahead_s < 0 { "-" } else { "+" }, ahead_s.unsigned_abs());
    let parts = UNITS.into_iter().filter_map(|(seconds, unit)| {
        let count = left / seconds;
        left %= seconds;
        (count > 0).then(|| format!("{count}{unit}"))
    });
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "+0s".to_owned() } else { format!("{sign}{}", parts.join(" ")) }
}

/// The machine's wall clock, moved by a number of seconds that may change.
#[derive(Debug, Default)]
pub(crate) struct MovedClock(AtomicI64);

impl MovedClock {
    /// Creates a clock that is ahead of the machine's by `ahead_s` seconds, or behind it.
    pub(crate) const fn new(ahead_s: i64) -> Self {
        Self(AtomicI64::new(ahead_s))
    }

    /// Moves the clock.
    pub(crate) fn set(&self, ahead_s: i64) {
        self.0.store(ahead_s, Ordering::Relaxed);
    }

    /// Returns the seconds by which the clock is ahead of the machine's.
    pub(crate) fn ahead_s(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clock for MovedClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.machine_now().0.saturating_add_signed(self.ahead_s()))
    }

    fn machine_now(&self) -> UnixSeconds {
        SystemClock.now()
    }

    fn monotonic_ns(&self) -> u64 {
        SystemClock.monotonic_ns()
    }
}

/// A clock that moves only when told to.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Creates a clock that stands at `now`.
    pub const fn new(now: UnixSeconds) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Moves the clock forward.
    pub fn advance(&self, span: Seconds) {
        self.0.fetch_add(span.0, Ordering::Relaxed);
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, now: UnixSeconds) {
        self.0.store(now.0, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixSeconds {
        UnixSeconds(self.0.load(Ordering::Relaxed))
    }

    fn monotonic_ns(&self) -> u64 {
        self.now().0.saturating_mul(1_000_000_000)
    }
}

/// A monotonic clock, in nanoseconds since its creation.
///
/// Copies share the origin, so their readings are comparable.
#[derive(Clone, Copy, Debug)]
pub struct Monotonic {
    origin: Instant,
}

impl Monotonic {
    /// Creates a clock whose zero is this moment.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of monotonic time")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Returns nanoseconds since the start. Never goes back.
    pub fn now_ns(&self) -> u64 {
        let elapsed = self.origin.elapsed();
        // Computed in 64 bits, which last for 584 years. `as_nanos` would multiply in 128 bits.
        elapsed.as_secs().wrapping_mul(1_000_000_000).wrapping_add(elapsed.subsec_nanos().into())
    }

    /// Returns bounds of the distance from this clock to wall time since 1970, in nanoseconds.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of wall time")]
    pub fn wall_distance_ns(&self) -> RangeInclusive<u64> {
        let before = self.now_ns();
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let after = self.now_ns();
        let wall = since_epoch.map_or(0, |span| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        wall.saturating_sub(after)..=wall.saturating_sub(before)
    }
}

/// Returns the processor time that this process has used in user and system mode, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// Reads a clock through the C library. rustix reads the vDSO by itself, which crashes under Valgrind.
fn read(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |span| {
        let [seconds, nanoseconds] =
            [span.tv_sec(), span.tv_nsec()].map(|part| u64::try_from(part).unwrap_or(0));
        seconds.saturating_mul(1_000_000_000).saturating_add(nanoseconds)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_shown_in_the_unit_that_people_read() {
        let shown = [
            (0, "0 ns"),
            (35, "35 ns"),
            (1_000, "1.00 us"),
            (64_600, "64.6 us"),
            (999_449, "999 us"),
            (999_970, "1.00 ms"),
            (12_345_678, "12.3 ms"),
            (1_429_209_100, "1.43 s"),
            (99_960_000_000, "100 s"),
            (3_600_000_000_000, "3600 s"),
        ];
        for (ns, text) in shown {
            assert_eq!(readable(ns), text);
        }
    }

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let clock = ManualClock::new(UnixSeconds(100));
        assert_eq!(clock.now(), UnixSeconds(100));
        clock.advance(Seconds(5));
        assert_eq!(clock.now().since(UnixSeconds(100)), Seconds(5));
    }

    #[test]
    fn a_moved_clock_differs_from_the_machine_by_its_offset() {
        let clock = MovedClock::new(3600);
        for ahead_s in [3600_i64, -7200, 0] {
            clock.set(ahead_s);
            let before = clock.machine_now().0.saturating_add_signed(ahead_s);
            let now = clock.now().0;
            let after = clock.machine_now().0.saturating_add_signed(ahead_s);
            assert!((before..=after).contains(&now), "{before} {now} {after}");
        }
    }

    #[test]
    fn an_offset_is_read_as_it_is_written() {
        for (text, ahead_s) in [("+3h", 10_800), ("-10m", -600), ("0s", 0), ("1day 1s", 86_401)] {
            assert_eq!(offset(text), Ok(ahead_s));
            assert_eq!(offset(&offset_text(ahead_s)), Ok(ahead_s));
        }
        assert_eq!([8_640_000, -3661, 0].map(offset_text), ["+100days", "-1h 1m 1s", "+0s"]);
        for text in ["", "3", "+-3h", "--3h", "367days", "-10000years"] {
            let error = offset(text).unwrap_err();
            assert!(error.contains("write +3h"), "{error}");
        }
    }

    #[test]
    fn spans_saturate() {
        assert_eq!(UnixSeconds(1) - Seconds(2), UnixSeconds(0));
        assert_eq!(UnixSeconds(1).since(UnixSeconds(2)), Seconds(0));
    }
}
