//! Laws of delay: the times of answers, and the percentiles that follow from them by calculation.

use std::str::FromStr;

use anyhow::{Context as _, bail, ensure};
use rand::rngs::StdRng;
use rand_distr::{Bernoulli, Distribution as _, Exp1};

/// The law of the answers' times, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Law {
    /// All answers take the same time.
    Constant {
        /// The time of each answer.
        delay_ns: u64,
    },
    /// Exponential times, cut off.
    Exponential {
        /// The mean before the cut.
        mean_ns: u64,
        /// The longest time of an answer.
        cap_ns: u64,
    },
    /// Every answer at once: the least that the server can do.
    Floor,
    /// All answers take the same time, but none leaves in the first part of every period.
    Stall {
        /// The time of each answer.
        delay_ns: u64,
        /// The time in which no answer leaves.
        stall_ns: u64,
        /// The time from one stall to the next.
        period_ns: u64,
        /// The pace at which delayed answers leave.
        pace: Pace,
    },
    /// Either of two times.
    TwoModes {
        /// The share of the short time, 0 to 1.
        share: f64,
        /// The short time.
        short_ns: u64,
        /// The long time.
        long_ns: u64,
    },
}

/// A pace at which answers leave, with a minimum gap between two answers.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Pace {
    /// The minimum gap; 0 lets answers leave as fast as the server can.
    pub(crate) gap_ns: u64,
    /// Arriving requests per second, which determine how many wait behind the delayed ones.
    rate: f64,
}

impl Pace {
    /// Returns the share of its time that a server needs for the arriving requests.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 ns")]
    fn busy(self) -> f64 {
        self.rate * self.gap_ns as f64 / 1e9
    }
}

impl Law {
    /// Returns the minimum gap between two answers.
    pub(crate) const fn gap_ns(&self) -> u64 {
        match self {
            Self::Stall { pace, .. } => pace.gap_ns,
            _ => 0,
        }
    }

    /// Returns the time at which a request that arrived at `now_ns` (since the server's start) is
    /// due.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^53 ns"
    )]
    pub(crate) fn due_ns(&self, now_ns: u64, rng: &mut StdRng) -> u64 {
        let delay_ns = match *self {
            Self::Constant { delay_ns } | Self::Stall { delay_ns, .. } => delay_ns,
            Self::Exponential { mean_ns, cap_ns } => {
                let unit: f64 = Exp1.sample(rng);
                ((unit * mean_ns as f64) as u64).min(cap_ns)
            }
            Self::Floor => 0,
            Self::TwoModes { share, short_ns, long_ns } => {
                let short = Bernoulli::new(share).is_ok_and(|coin| coin.sample(rng));
                if short { short_ns } else { long_ns }
            }
        };
        let due_ns = now_ns + delay_ns;
        let Self::Stall { stall_ns, period_ns, .. } = *self else { return due_ns };
        due_ns + stall_ns.saturating_sub(due_ns % period_ns)
    }

    /// Returns the response time that a share `p` of requests does not exceed, if they arrive at
    /// random.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^53 ns"
    )]
    pub(crate) fn quantile_ns(&self, p: f64) -> u64 {
        match *self {
            Self::Constant { delay_ns } => delay_ns,
            Self::Exponential { mean_ns, cap_ns } => {
                ((-(1.0 - p).ln() * mean_ns as f64) as u64).min(cap_ns)
            }
            Self::Floor => 0,
            // A request due during the stall waits for the rest of the stall, and for the requests
            // before it to leave. This wait falls linearly, and the pace prolongs it.
            Self::Stall { delay_ns, stall_ns, period_ns, pace } => {
                let beyond_ns = ((1.0 - p) * (1.0 - pace.busy()) * period_ns as f64) as u64;
                delay_ns + stall_ns.saturating_sub(beyond_ns)
            }
            Self::TwoModes { share, short_ns, long_ns } => {
                if p <= share {
                    short_ns
                } else {
                    long_ns
                }
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "far below 2^53 ns")]
    fn check(self) -> anyhow::Result<Self> {
        match self {
            Self::Stall { stall_ns, period_ns, pace, .. } => {
                let waits_ns = stall_ns as f64 / (1.0 - pace.busy());
                ensure!(
                    pace.busy() < 1.0 && waits_ns < period_ns as f64,
                    "a stall must be over, and what waited for it gone, before the next"
                );
            }
            Self::TwoModes { share, short_ns, long_ns } => {
                ensure!((0.0..=1.0).contains(&share), "a share is 0 to 1");
                ensure!(short_ns <= long_ns, "the short mode comes first");
            }
            Self::Constant { .. } | Self::Exponential { .. } | Self::Floor => {}
        }
        Ok(self)
    }
}

impl FromStr for Law {
    type Err = anyhow::Error;

    /// Parses `floor`, `constant:TIME`, `exponential:MEAN:CAP`, `two-modes:SHARE:TIME:TIME` or
    /// `stall:TIME:STALL:PERIOD[:GAP:RATE]`, with times such as `250us`.
    fn from_str(text: &str) -> anyhow::Result<Self> {
        let parts: Vec<&str> = text.split(':').collect();
        let law = match parts.as_slice() {
            ["constant", delay] => Self::Constant { delay_ns: nanos(delay)? },
            ["exponential", mean, cap] => {
                Self::Exponential { mean_ns: nanos(mean)?, cap_ns: nanos(cap)? }
            }
            ["floor"] => Self::Floor,
            ["stall", delay, stall, period, paced @ ..] => Self::Stall {
                delay_ns: nanos(delay)?,
                stall_ns: nanos(stall)?,
                period_ns: nanos(period)?,
                pace: match paced {
                    [] => Pace::default(),
                    [gap, rate] => Pace { gap_ns: nanos(gap)?, rate: rate.parse()? },
                    _ => bail!("`{text}` has a pace without a rate, or more than both; see --help"),
                },
            },
            ["two-modes", share, short, long] => Self::TwoModes {
                share: share.parse()?,
                short_ns: nanos(short)?,
                long_ns: nanos(long)?,
            },
            _ => bail!("`{text}` is no law; see --help"),
        };
        law.check()
    }
}

/// Parses a time such as `250us`.
pub(super) fn nanos(text: &str) -> anyhow::Result<u64> {
    let span = humantime::parse_duration(text).with_context(|| format!("`{text}` is no time"))?;
    Ok(u64::try_from(span.as_nanos())?)
}

#[cfg(test)]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    const SECOND_NS: u64 = 1_000_000_000;

    /// Asserts that draws follow the calculated law: the share of draws at or below each percentile
    /// equals that percentile, or exceeds it if many draws are equal.
    fn check(text: &str) {
        const DRAWS: u32 = 40_000;
        let law: Law = text.parse().unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        // One request every 1.0001 periods / 4, so that all phases of a stall are equally frequent.
        let taken: Vec<u64> = (0..u64::from(DRAWS))
            .map(|i| i * SECOND_NS / 4 + i * 25_000)
            .map(|now_ns| law.due_ns(now_ns, &mut rng) - now_ns)
            .collect();
        for p in [0.5, 0.9, 0.99, 0.999] {
            let limit_ns = law.quantile_ns(p);
            let below = taken.iter().filter(|taken| **taken <= limit_ns).count();
            let share = below as f64 / f64::from(DRAWS);
            let deviation = 5.0 * (p * (1.0 - p) / f64::from(DRAWS)).sqrt();
            assert!(share >= p - deviation, "{text}: {share} for {p}");
            let less = taken.iter().filter(|taken| **taken + 50_000 < limit_ns).count();
            let share = less as f64 / f64::from(DRAWS);
            assert!(share <= p + deviation, "{text}: {share} for {p}");
        }
    }

    #[test]
    fn what_is_drawn_has_the_percentiles_that_are_on_paper() {
        for law in [
            "floor",
            "constant:2ms",
            "exponential:1ms:20ms",
            "two-modes:0.95:500us:10ms",
            "stall:500us:100ms:1s",
        ] {
            check(law);
        }
    }

    #[test]
    fn what_leaves_one_by_one_after_a_stall_has_the_percentiles_that_are_on_paper() {
        const RATE: f64 = 50_000.0;
        let law: Law = "stall:5ms:100ms:1s:15us:50000".parse().unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let (mut now_ns, mut left_ns) = (0.0, 0);
        // Ten whole periods of random arrivals.
        let mut taken: Vec<u64> = std::iter::from_fn(|| {
            let gap: f64 = Exp1.sample(&mut rng);
            now_ns += gap * 1e9 / RATE;
            (now_ns < 10.0 * SECOND_NS as f64).then_some(now_ns as u64)
        })
        .collect();
        for came in &mut taken {
            left_ns = law.due_ns(*came, &mut rng).max(left_ns + law.gap_ns());
            *came = left_ns - *came;
        }
        taken.sort_unstable();
        for p in [0.5, 0.9, 0.99, 0.999] {
            let found_ns = taken[(p * taken.len() as f64) as usize] as f64;
            let paper_ns = law.quantile_ns(p) as f64;
            assert!((found_ns / paper_ns - 1.0).abs() < 0.01, "{p}: {found_ns} {paper_ns}");
        }
    }

    #[test]
    fn nonsense_is_no_law() {
        for text in [
            "",
            "constant",
            "stall:1ms:2s:1s",
            "stall:1ms:100ms:1s:15us",
            "stall:1ms:100ms:1s:15us:70000",
            "two-modes:2:1ms:2ms",
            "constant:soon",
        ] {
            assert!(text.parse::<Law>().is_err(), "{text}");
        }
    }
}
