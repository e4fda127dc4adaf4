//! A day of every token of a fleet: when it is asked for, minted and renewed.
//!
//! Keys do not disturb each other as long as nothing waits, which over a day is nearly always. Each is
//! therefore played alone, from one moment that matters to the next, and counted by the minute; what
//! happens within the busiest minute is for a window at full detail.

use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp1};

use super::client::Kit;

/// What decides when tokens are minted.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// Tokens of the fleet: VMs times what each asks for.
    pub keys: u64,
    /// How long a token lives.
    pub lifetime: Duration,
    /// The part of it after which the broker renews a token that is asked for.
    pub refresh_fraction: f64,
    /// What asks, by share; shares add up to 1.
    pub kits: Vec<(Kit, f64)>,
    /// Requests per second for each key from callers that cache nothing.
    pub uncached_per_key: f64,
    /// The fleet came up within this time at the start of the day; none if it did so long ago, one
    /// machine after the other.
    pub deployed_within: Option<Duration>,
}

/// One minute of the whole fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Requests of kits that cache.
    pub asks: u64,
    /// Mints that somebody waits for.
    pub misses: u64,
    /// Mints in the background.
    pub renewals: u64,
}

/// The minutes of a day; a deployment itself is not part of it.
#[derive(Clone, Debug)]
pub struct Day {
    /// 1440 of them.
    pub minutes: Vec<Minute>,
}

const DAY_MINUTES: usize = 24 * 60;
/// Each token draws its own moment from 10 % of its life around the fraction, as in the broker.
const JITTER: f64 = 0.1;
/// Lifetimes after which a fleet that came up one by one has forgotten how.
const SETTLED: f64 = 2.0;

impl Day {
    /// The minute with the most mints.
    pub fn busiest(&self) -> Minute {
        let busiest = self.minutes.iter().max_by_key(|minute| minute.misses + minute.renewals);
        busiest.copied().unwrap_or_default()
    }

    /// Mints of the whole day.
    pub fn mints(&self) -> u64 {
        self.minutes.iter().map(|minute| minute.misses + minute.renewals).sum()
    }

    /// Requests of the whole day of kits that cache.
    pub fn asks(&self) -> u64 {
        self.minutes.iter().map(|minute| minute.asks).sum()
    }
}

/// Plays the day.
pub fn play(rhythm: &Rhythm, seed: u64) -> Day {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let life = rhythm.lifetime.as_secs_f64().max(1.0);
    let (spread, from) = match rhythm.deployed_within {
        Some(within) => (within.as_secs_f64(), within.as_secs_f64()),
        None => (life, SETTLED * life),
    };
    let mut day = Day { minutes: vec![Minute::default(); DAY_MINUTES] };
    let mut kits = Vec::new();
    for (kit, share) in &rhythm.kits {
        let before = kits.last().map_or(0.0, |(_, upto)| *upto);
        kits.push((*kit, before + share));
    }
    for _ in 0..rhythm.keys {
        let draw: f64 = rng.random();
        let kit = kits.iter().find(|(_, upto)| draw < *upto).or(kits.last());
        let kit = kit.map(|(kit, _)| *kit);
        let born = rng.random::<f64>() * spread;
        KeyLife { rhythm, kit, life, from }.play(born, &mut day, &mut rng);
    }
    day
}

struct KeyLife<'a> {
    rhythm: &'a Rhythm,
    kit: Option<Kit>,
    life: f64,
    /// When the day begins, in seconds.
    from: f64,
}

impl KeyLife<'_> {
    fn play(&self, born: f64, day: &mut Day, rng: &mut Xoshiro256PlusPlus) {
        let end = self.from + 86_400.0;
        let (mut expires, mut refresh) = self.mint(born, rng);
        let mut kit_next = born + self.kit_after(self.life);
        self.count(born, day, |minute| {
            (minute.asks, minute.misses) = (minute.asks + 1, minute.misses + 1);
        });
        // Calls before the token is due change nothing: the next that matters is the first after.
        let mut other_next = refresh + self.gap(rng);
        loop {
            let now = kit_next.min(other_next);
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
            if now >= kit_next {
                self.count(now, day, |minute| minute.asks += 1);
                // A renewal is in the background: its caller gets the old token.
                kit_next = now + self.kit_after(if left > 0.0 { left } else { self.life });
            }
        }
    }

    /// When a token minted now expires, and when it is due.
    fn mint(&self, now: f64, rng: &mut Xoshiro256PlusPlus) -> (f64, f64) {
        let jitter = (rng.random::<f64>() - 0.5) * JITTER;
        let fraction = (self.rhythm.refresh_fraction + jitter).clamp(0.0, 1.0);
        (now + self.life, now + (self.life * fraction).max(1.0))
    }

    fn kit_after(&self, left: f64) -> f64 {
        self.kit.map_or(f64::INFINITY, |kit| kit.refresh().after(left))
    }

    fn gap(&self, rng: &mut Xoshiro256PlusPlus) -> f64 {
        let unit: f64 = Exp1.sample(rng);
        // Never zero divided by zero: no callers are infinitely far apart.
        if self.rhythm.uncached_per_key > 0.0 {
            unit / self.rhythm.uncached_per_key
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

    fn rhythm() -> Rhythm {
        Rhythm {
            keys: 2000,
            lifetime: Duration::from_hours(24),
            refresh_fraction: 0.5,
            kits: vec![(Kit::Python, 1.0)],
            uncached_per_key: 0.0,
            deployed_within: None,
        }
    }

    #[test]
    fn busy_keys_are_renewed_at_the_fraction_and_never_missed() {
        let day = play(&Rhythm { uncached_per_key: 1.0, ..rhythm() }, 1);
        let mints = day.mints() as f64 / 2000.0;
        assert!((1.97..2.03).contains(&mints), "{mints}");
        assert_eq!(day.minutes.iter().map(|minute| minute.misses).sum::<u64>(), 0);
        let busiest = day.busiest();
        assert!(busiest.renewals < 15, "even: {busiest:?}");
    }

    #[test]
    fn kits_alone_keep_every_token_alive() {
        for kit in Kit::ALL {
            let day = play(&Rhythm { kits: vec![(kit, 1.0)], ..rhythm() }, 1);
            let mints = day.mints() as f64 / 2000.0;
            // At most twice a life, as the broker renews; at least once, as tokens end.
            assert!((0.95..2.1).contains(&mints), "{kit:?} {mints}");
        }
    }

    #[test]
    fn a_fleet_deployed_together_is_renewed_together_but_for_the_jitter() {
        let wave = Rhythm {
            deployed_within: Some(Duration::from_mins(5)),
            uncached_per_key: 1.0,
            ..rhythm()
        };
        let (wave, even) = (play(&wave, 1), play(&Rhythm { uncached_per_key: 1.0, ..rhythm() }, 1));
        // Each once at the half of its life, and about every second once more before the day ends.
        assert!((2_800..3_200).contains(&wave.mints()), "{}", wave.mints());
        assert!(wave.busiest().renewals > 2 * even.busiest().renewals);
        // 10 % of 24 h around the half: nothing before 10.8 h.
        assert!(wave.minutes[..600].iter().all(|minute| minute.renewals == 0));
    }

    #[test]
    fn a_broker_that_renews_nothing_makes_its_callers_wait() {
        let never = Rhythm { refresh_fraction: 1.0, uncached_per_key: 1.0, ..rhythm() };
        let day = play(&never, 1);
        let misses: u64 = day.minutes.iter().map(|minute| minute.misses).sum();
        assert!(misses > 0 && day.mints() < 2400, "{misses} {}", day.mints());
    }

    #[test]
    fn forty_thousand_machines_take_one_pass() {
        let day = play(&Rhythm { keys: 80_000, ..rhythm() }, 1);
        assert_eq!(day.minutes.len(), 1440);
        assert!(day.mints() > 76_000 && day.asks() > 80_000);
    }
}
