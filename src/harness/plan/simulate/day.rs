//! Simulates a day of every token of a fleet: its requests, mints and renewals.
//!
//! Keys do not affect each other while nothing waits, which is nearly always true over a day. So each
//! key is simulated alone, from event to event, and its events are counted by the minute. The busiest
//! minute is then simulated in full detail as a window.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1};

use super::client::Sdk;

/// Inputs that decide when tokens are minted.
#[derive(Clone, Debug)]
pub(crate) struct RequestPattern {
    /// Tokens of the fleet: VMs times tokens of each VM.
    pub(crate) keys: u64,
    /// Lifetime of a token.
    pub(crate) lifetime: Duration,
    /// Share of the lifetime after which the broker renews a token on request.
    pub(crate) refresh_fraction: f64,
    /// SDKs of the callers and their shares, which add up to 1.
    pub(crate) sdks: Vec<(Sdk, f64)>,
    /// Requests per second for each key from callers that cache nothing.
    pub(crate) uncached_per_key: f64,
    /// Time within which the fleet came up at the start of the day. None if the machines came up one by
    /// one, long ago.
    pub(crate) deployed_within: Option<Duration>,
}

/// Counts of one minute of the whole fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// Requests of SDKs that cache.
    pub(crate) asks: u64,
    /// Mints that a caller waits for.
    pub(crate) misses: u64,
    /// Mints in the background.
    pub(crate) renewals: u64,
}

/// Minutes of a day, without the deployment itself.
#[derive(Clone, Debug)]
pub(crate) struct Day {
    /// The 1440 minutes.
    pub(crate) minutes: Vec<Minute>,
}

const DAY_MINUTES: usize = 24 * 60;
/// Width of the jitter as a share of the lifetime. Each token draws its own moment around the fraction,
/// as in the broker.
const JITTER: f64 = 0.1;
/// Number of lifetimes after which a fleet that came up one by one is in a steady state.
const SETTLED: f64 = 2.0;

impl Day {
    /// Returns the minute with the most mints.
    pub(crate) fn busiest(&self) -> Minute {
        let busiest = self.minutes.iter().max_by_key(|minute| minute.misses + minute.renewals);
        busiest.copied().unwrap_or_default()
    }

    /// Returns the mints of the whole day.
    pub(crate) fn mints(&self) -> u64 {
        self.minutes.iter().map(|minute| minute.misses + minute.renewals).sum()
    }

    /// Returns the requests of the whole day from SDKs that cache.
    pub(crate) fn asks(&self) -> u64 {
        self.minutes.iter().map(|minute| minute.asks).sum()
    }
}

/// Simulates the day.
pub(crate) fn play(pattern: &RequestPattern, seed: u64) -> Day {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let life = pattern.lifetime.as_secs_f64().max(1.0);
    let (spread, from) = match pattern.deployed_within {
        Some(within) => (within.as_secs_f64(), within.as_secs_f64()),
        None => (life, SETTLED * life),
    };
    let mut day = Day { minutes: vec![Minute::default(); DAY_MINUTES] };
    let mut sdks = Vec::new();
    for (sdk, share) in &pattern.sdks {
        let before = sdks.last().map_or(0.0, |(_, upto)| *upto);
        sdks.push((*sdk, before + share));
    }
    for _ in 0..pattern.keys {
        let draw: f64 = rng.random();
        let sdk = sdks.iter().find(|(_, upto)| draw < *upto).or(sdks.last());
        let sdk = sdk.map(|(sdk, _)| *sdk);
        let born = rng.random::<f64>() * spread;
        KeyLife { pattern, sdk, life, from }.play(born, &mut day, &mut rng);
    }
    day
}

struct KeyLife<'a> {
    pattern: &'a RequestPattern,
    sdk: Option<Sdk>,
    life: f64,
    /// Start of the day, in seconds.
    from: f64,
}

impl KeyLife<'_> {
    fn play(&self, born: f64, day: &mut Day, rng: &mut Xoshiro256PlusPlus) {
        let end = self.from + 86_400.0;
        let (mut expires, mut refresh) = self.mint(born, rng);
        let mut sdk_next = born + self.sdk_after(self.life);
        self.count(born, day, |minute| {
            (minute.asks, minute.misses) = (minute.asks + 1, minute.misses + 1);
        });
        // Calls before the token is due change nothing, so skip to the first call after.
        let mut other_next = refresh + self.gap(rng);
        loop {
            let now = sdk_next.min(other_next);
            if now >= end {
                return;
            }
            let left = expires - now;
            if left <= 0.0 {
                self.count(now, day, |minute| minute.misses += 1);
            } else if now >= refresh {
                self.count(now, day, |minute| minute.renewals += 1);
            }
            if now >= refresh {
                (expires, refresh) = self.mint(now, rng);
                other_next = refresh + self.gap(rng);
            }
            if now >= sdk_next {
                self.count(now, day, |minute| minute.asks += 1);
                // A renewal runs in the background: its caller gets the old token.
                sdk_next = now + self.sdk_after(if left > 0.0 { left } else { self.life });
            }
        }
    }

    /// Returns the expiry of a token minted now, and the time from which it is due for renewal.
    fn mint(&self, now: f64, rng: &mut Xoshiro256PlusPlus) -> (f64, f64) {
        let jitter = (rng.random::<f64>() - 0.5) * JITTER;
        let fraction = (self.pattern.refresh_fraction + jitter).clamp(0.0, 1.0);
        (now + self.life, now + (self.life * fraction).max(1.0))
    }

    fn sdk_after(&self, left: f64) -> f64 {
        self.sdk.map_or(f64::INFINITY, |sdk| sdk.refresh().after(left))
    }

    fn gap(&self, rng: &mut Xoshiro256PlusPlus) -> f64 {
        let unit: f64 = Exp1.sample(rng);
        // Avoid zero divided by zero: without such callers, the gap is infinite.
        if self.pattern.uncached_per_key > 0.0 {
            unit / self.pattern.uncached_per_key
        } else {
            f64::INFINITY
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative, and a day has 1440 minutes"
    )]
    fn count(&self, now: f64, day: &mut Day, add: impl FnOnce(&mut Minute)) {
        let minute = (now - self.from) / 60.0;
        if minute >= 0.0
            && let Some(minute) = day.minutes.get_mut(minute as usize)
        {
            add(minute);
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    fn pattern() -> RequestPattern {
        RequestPattern {
            keys: 2000,
            lifetime: Duration::from_hours(24),
            refresh_fraction: 0.5,
            sdks: vec![(Sdk::Python, 1.0)],
            uncached_per_key: 0.0,
            deployed_within: None,
        }
    }

    #[test]
    fn busy_keys_are_renewed_at_the_fraction_and_never_missed() {
        let day = play(&RequestPattern { uncached_per_key: 1.0, ..pattern() }, 1);
        let mints = day.mints() as f64 / 2000.0;
        assert!((1.97..2.03).contains(&mints), "{mints}");
        assert_eq!(day.minutes.iter().map(|minute| minute.misses).sum::<u64>(), 0);
        let busiest = day.busiest();
        assert!(busiest.renewals < 15, "even: {busiest:?}");
    }

    #[test]
    fn sdks_alone_keep_every_token_alive() {
        for sdk in Sdk::ALL {
            let day = play(&RequestPattern { sdks: vec![(sdk, 1.0)], ..pattern() }, 1);
            let mints = day.mints() as f64 / 2000.0;
            // At most twice a lifetime, because the broker renews; at least once, because tokens expire.
            assert!((0.95..2.1).contains(&mints), "{sdk:?} {mints}");
        }
    }

    #[test]
    fn a_fleet_deployed_together_is_renewed_together_but_for_the_jitter() {
        let wave = RequestPattern {
            deployed_within: Some(Duration::from_mins(5)),
            uncached_per_key: 1.0,
            ..pattern()
        };
        let (wave, even) =
            (play(&wave, 1), play(&RequestPattern { uncached_per_key: 1.0, ..pattern() }, 1));
        // Each token once at the half of its lifetime; about every second token once more before the day
        // ends.
        assert!((2_800..3_200).contains(&wave.mints()), "{}", wave.mints());
        assert!(wave.busiest().renewals > 2 * even.busiest().renewals);
        // 10 % of 24 h around the half: nothing before 10.8 h.
        assert!(wave.minutes[..600].iter().all(|minute| minute.renewals == 0));
    }

    #[test]
    fn a_broker_that_renews_nothing_makes_its_callers_wait() {
        let never = RequestPattern { refresh_fraction: 1.0, uncached_per_key: 1.0, ..pattern() };
        let day = play(&never, 1);
        let misses: u64 = day.minutes.iter().map(|minute| minute.misses).sum();
        assert!(misses > 0 && day.mints() < 2400, "{misses} {}", day.mints());
    }

    #[test]
    fn forty_thousand_machines_take_one_pass() {
        let day = play(&RequestPattern { keys: 80_000, ..pattern() }, 1);
        assert_eq!(day.minutes.len(), 1440);
        assert!(day.mints() > 76_000 && day.asks() > 80_000);
    }
}
