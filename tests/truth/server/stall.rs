//! Planted stalls, in which the whole service stands still.

use std::str::FromStr;

use anyhow::{bail, ensure};
use mintbench::base::clock::Monotonic;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::thread::nanosleep;
use rustix::time::Timespec;

use super::law::nanos;
use super::queue::work;
use super::stamps::wall_ns;

/// How often and how the service stands still: once in each period, at a random time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stalling {
    length_ns: u64,
    period_ns: u64,
    manner: Manner,
}

/// What the thread of the service does meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It sleeps.
    Asleep,
    /// It uses its processor.
    Busy,
}

impl FromStr for Stalling {
    type Err = anyhow::Error;

    /// Parses `LENGTH:PERIOD` or `LENGTH:PERIOD:busy`, with times such as `20ms`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let (length, period, manner) = match parts.as_slice() {
            [length, period] => (length, period, Manner::Asleep),
            [length, period, "busy"] => (length, period, Manner::Busy),
            _ => bail!("`{text}` is no stall; see --help"),
        };
        let [length_ns, period_ns] = [nanos(length)?, nanos(period)?];
        ensure!(length_ns < period_ns, "a stall is shorter than its period");
        Ok(Self { length_ns, period_ns, manner })
    }
}

/// A stall that is over, by the clock of the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stall {
    from_ns: u64,
    length_ns: u64,
}

impl Stall {
    /// Returns the time at which something ends that would have ended at `end_ns` without the stall.
    pub(crate) const fn moved(self, end_ns: u64) -> u64 {
        if end_ns > self.from_ns { end_ns + self.length_ns } else { end_ns }
    }
}

/// The stalls of a running server.
#[derive(Debug)]
pub(super) struct Stalls {
    stalling: Stalling,
    rng: StdRng,
    /// The time of the next stall.
    next_ns: u64,
    /// Wall time of the end of the last stall; 0 before the first.
    ended_wall_ns: u64,
}

/// Distinguishes the random numbers of the stalls from those of the law.
const OF_STALLS: u64 = 0x5741_4C4C;

impl Stalls {
    pub(super) fn new(stalling: Stalling, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed ^ OF_STALLS);
        let mut stalls = Self { stalling, rng, next_ns: 0, ended_wall_ns: 0 };
        stalls.next_ns = stalls.within_period(0);
        stalls
    }

    /// Returns a random time of a stall within the period of this number.
    fn within_period(&mut self, number: u64) -> u64 {
        let Stalling { length_ns, period_ns, .. } = self.stalling;
        number * period_ns + self.rng.random_range(0..period_ns - length_ns)
    }

    /// Returns the time at which the next stall begins.
    pub(super) const fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Stands still if a stall is due, and returns it.
    pub(super) fn pass(&mut self, clock: Monotonic) -> Option<Stall> {
        let from_ns = clock.now_ns();
        if from_ns < self.next_ns {
            return None;
        }
        let Stalling { length_ns, period_ns, manner } = self.stalling;
        match manner {
            Manner::Asleep => sleep_until(clock, from_ns + length_ns),
            Manner::Busy => work(length_ns),
        }
        self.ended_wall_ns = wall_ns();
        let to_ns = clock.now_ns();
        let period = self.next_ns / period_ns + 1;
        self.next_ns = self.within_period(period.max(to_ns / period_ns));
        Some(Stall { from_ns, length_ns: to_ns - from_ns })
    }

    /// Returns true if a request that is answered now, and that was received at this wall time, met a stall.
    pub(super) const fn met(&self, received_ns: u64) -> bool {
        received_ns < self.ended_wall_ns
    }
}

fn sleep_until(clock: Monotonic, until_ns: u64) {
    loop {
        let left_ns = until_ns.saturating_sub(clock.now_ns());
        let Some(left_ns @ 1..) = i64::try_from(left_ns).ok() else { return };
        // A signal may end the sleep early.
        let _ = nanosleep(&Timespec {
            tv_sec: left_ns / 1_000_000_000,
            tv_nsec: left_ns % 1_000_000_000,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stalls_are_read_from_text() {
        let stalling: Stalling = "20ms:1s".parse().unwrap();
        assert_eq!((stalling.length_ns, stalling.period_ns), (20_000_000, 1_000_000_000));
        assert_eq!(stalling.manner, Manner::Asleep);
        assert_eq!("1ms:5ms:busy".parse::<Stalling>().unwrap().manner, Manner::Busy);
        for text in ["", "20ms", "1s:20ms", "20ms:1s:idle", "20ms:1s:busy:2"] {
            assert!(text.parse::<Stalling>().is_err(), "{text}");
        }
    }

    #[test]
    fn each_period_has_a_stall() {
        for text in ["2ms:10ms", "2ms:10ms:busy"] {
            let (clock, mut stalls) = (Monotonic::start(), Stalls::new(text.parse().unwrap(), 1));
            for number in 0..3 {
                assert!(stalls.next_ns() / 10_000_000 >= number);
                while clock.now_ns() < stalls.next_ns() {
                    assert!(!stalls.met(wall_ns()));
                }
                let before_ns = wall_ns();
                let stall = stalls.pass(clock).unwrap();
                assert!(stall.length_ns >= 2_000_000);
                assert!(stalls.met(before_ns) && !stalls.met(wall_ns()));
                assert_eq!(stall.moved(stall.from_ns), stall.from_ns);
                assert_eq!(stall.moved(stall.from_ns + 1), stall.from_ns + 1 + stall.length_ns);
            }
        }
    }
}
