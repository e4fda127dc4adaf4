//! What is asked, and when: the traffic of each scenario, a pure function of its seed.
//!
//! Every generator thread walks the whole traffic and keeps what belongs to its connections. That
//! costs some 100 ns per request and thread, and buys two things: the traffic does not depend on
//! how many threads send it, and a Poisson stream split by VM stays a Poisson stream.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use super::schedule::{Arrivals, Schedule};
use crate::world::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};

/// Which identity of a VM is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// No selector is sent: the system-assigned identity, where there is one.
    Default,
    /// The `client_id` of this user-assigned identity of the VM, from 0, is sent.
    UserAssigned(u32),
}

/// One question of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ask {
    /// Who asks.
    pub vm: u32,
    /// For which identity.
    pub selector: Selector,
    /// For which of [`WELL_KNOWN_RESOURCES`].
    pub resource: u8,
}

impl Ask {
    /// The audience that the token is asked for.
    pub fn resource(&self) -> &'static str {
        WELL_KNOWN_RESOURCES.get(usize::from(self.resource)).copied().unwrap_or_default()
    }
}

/// One request of the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the whole traffic, from 0.
    pub index: u64,
    /// When it is meant to start, in nanoseconds from the start of the load.
    pub intended_ns: u64,
    /// What it asks.
    pub ask: Ask,
}

/// How arrivals are spaced, how many there are per second, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The spacing.
    pub arrivals: Arrivals,
    /// Requests per second.
    pub rate: f64,
    /// From the first intended start to the end, warm-up included, in nanoseconds.
    pub length_ns: u64,
    /// Of the schedule and of what is asked.
    pub seed: u64,
}

/// Bursts of callers, each burst on one key that nobody has asked for before.
#[derive(Clone, Copy, Debug)]
pub struct Herds {
    /// How many bursts; each takes another user-assigned identity of VM 0.
    pub herds: u32,
    /// Callers of each burst.
    pub callers: u32,
    /// When the first burst is due, in nanoseconds from the start of the load.
    pub first_ns: u64,
    /// From one burst to the next, in nanoseconds.
    pub gap_ns: u64,
}

/// What a scenario sends.
#[derive(Clone, Copy, Debug)]
pub enum Workload {
    /// Many callers of one cold key at one instant, several times.
    Herd(Herds),
    /// Every request asks for a key that none has asked for before.
    Mint(Pace),
    /// VMs by Zipf(1.0) popularity, each identity of a VM alike, one resource; the first requests,
    /// as many as said, ask for each key once, so that what follows finds it in the cache.
    Steady(Pace, Fill),
}

/// How many requests at the start fill the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill(pub u64);

impl Fill {
    /// All keys that a steady run asks for, or as many as half of the warm-up has requests: the
    /// other half is for the queue of mints to drain.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive and below 10^7 x 1 day"
    )]
    pub fn within(warmup: std::time::Duration, rate: f64, world: &Synthetic) -> Self {
        let half = (rate * warmup.as_secs_f64() / 2.0) as u64;
        Self(half.min(Self::all(world)))
    }

    fn all(world: &Synthetic) -> u64 {
        u64::from(world.vms) * (u64::from(world.user_assigned) + 1)
    }
}

impl Workload {
    /// The traffic against a world of this shape.
    pub fn traffic(&self, world: &Synthetic) -> Traffic {
        let source = match *self {
            Self::Herd(herds) => Source::Herd(herds),
            Self::Mint(pace) => Source::Mint { schedule: pace.schedule() },
            Self::Steady(pace, Fill(fill)) => Source::Steady {
                schedule: pace.schedule(),
                fill,
                // Another stream than the schedule's, which is seeded with the seed itself.
                rng: Xoshiro256PlusPlus::seed_from_u64(pace.seed ^ 0x005A_6970_6600),
                popularity: Zipf::new(f64::from(world.vms.max(1)), 1.0).ok(),
            },
        };
        Traffic { world: *world, source, next: 0 }
    }

    /// How many keys are asked for once at the start, of how many; none where that is not meant.
    pub fn filled(&self, world: &Synthetic) -> Option<(u64, u64)> {
        match self {
            Self::Steady(_, Fill(filled)) => Some((*filled, Fill::all(world))),
            Self::Herd(_) | Self::Mint(_) => None,
        }
    }

    /// VMs that ask anything.
    pub fn vms(&self, world: &Synthetic) -> u32 {
        match self {
            Self::Herd(_) => 1,
            Self::Mint(_) | Self::Steady(..) => world.vms,
        }
    }
}

impl Pace {
    fn schedule(&self) -> Schedule {
        Schedule::new(self.arrivals, self.rate, self.length_ns, self.seed)
    }
}

/// How many distinct (identity, resource) keys a world has.
pub fn keyspace(world: &Synthetic) -> u64 {
    u64::from(world.vms) * (u64::from(world.user_assigned) + 1) * WELL_KNOWN_RESOURCES.len() as u64
}

/// The arrivals of a workload, by intended start.
#[derive(Debug)]
pub struct Traffic {
    world: Synthetic,
    source: Source,
    next: u64,
}

#[derive(Debug)]
enum Source {
    Herd(Herds),
    Mint { schedule: Schedule },
    Steady { schedule: Schedule, fill: u64, rng: Xoshiro256PlusPlus, popularity: Option<Zipf<f64>> },
}

impl Iterator for Traffic {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let (index, world) = (self.next, self.world);
        let (intended_ns, ask) = match &mut self.source {
            Source::Herd(herds) => herd_ask(herds, index)?,
            Source::Mint { schedule } => (schedule.next()?, nth_key(&world, index)),
            Source::Steady { schedule, fill, .. } if index < *fill => {
                (schedule.next()?, nth_key(&world, index))
            }
            Source::Steady { schedule, rng, popularity, .. } => {
                (schedule.next()?, steady_ask(&world, rng, popularity.as_ref()))
            }
        };
        self.next += 1;
        Some(Arrival { index, intended_ns, ask })
    }
}

fn herd_ask(herds: &Herds, index: u64) -> Option<(u64, Ask)> {
    let herd = u32::try_from(index / u64::from(herds.callers.max(1))).ok()?;
    let at = herds.first_ns + u64::from(herd) * herds.gap_ns;
    let ask = Ask { vm: 0, selector: Selector::UserAssigned(herd), resource: 0 };
    (herd < herds.herds).then_some((at, ask))
}

/// Key number `index`: VMs take turns, then identities, then resources; repeats after the last.
fn nth_key(world: &Synthetic, index: u64) -> Ask {
    let (vms, identities) = (u64::from(world.vms), u64::from(world.user_assigned) + 1);
    let resource = index / (vms * identities) % WELL_KNOWN_RESOURCES.len() as u64;
    Ask {
        vm: narrow(index % vms),
        selector: selector(narrow(index / vms % identities)),
        resource: u8::try_from(resource).unwrap_or_default(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the sample lies in 1.0 to `vms`"
)]
fn steady_ask(
    world: &Synthetic,
    rng: &mut Xoshiro256PlusPlus,
    popularity: Option<&Zipf<f64>>,
) -> Ask {
    let rank = popularity.map_or(1.0, |zipf| zipf.sample(rng));
    let vm = (rank as u32).clamp(1, world.vms) - 1;
    let selector = selector(rng.random_range(0..=world.user_assigned));
    Ask { vm, selector, resource: 0 }
}

const fn selector(slot: u32) -> Selector {
    match slot.checked_sub(1) {
        None => Selector::Default,
        Some(index) => Selector::UserAssigned(index),
    }
}

/// The caller guarantees a value that came from 32-bit factors.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const WORLD: Synthetic = Synthetic { vms: 20, user_assigned: 3, seed: 1 };

    fn pace(rate: f64) -> Pace {
        Pace { arrivals: Arrivals::Constant, rate, length_ns: 1_000_000_000, seed: 9 }
    }

    #[test]
    fn minting_never_asks_for_a_key_twice_within_the_keyspace() {
        let rate = keyspace(&WORLD) as f64;
        let asks: Vec<Ask> = Workload::Mint(pace(rate)).traffic(&WORLD).map(|a| a.ask).collect();
        assert_eq!(asks.len() as u64, keyspace(&WORLD));
        assert_eq!(asks.iter().collect::<HashSet<_>>().len(), asks.len());
    }

    #[test]
    fn steady_traffic_favours_low_vms_and_stays_inside_the_world() {
        let asks: Vec<Ask> =
            Workload::Steady(pace(10_000.0), Fill(0)).traffic(&WORLD).map(|a| a.ask).collect();
        let of = |vm| asks.iter().filter(|ask| ask.vm == vm).count() as f64;
        assert!(asks.iter().all(|ask| ask.vm < WORLD.vms));
        assert!((of(0) / of(9) - 10.0).abs() < 3.0, "{} {}", of(0), of(9));
        let used: HashSet<Selector> = asks.iter().map(|ask| ask.selector).collect();
        assert_eq!(used.len() as u32, WORLD.user_assigned + 1);
    }

    #[test]
    fn traffic_is_a_pure_function_of_its_seed() {
        let make = || Workload::Steady(pace(1000.0), Fill(10)).traffic(&WORLD);
        assert!(make().eq(make()));
    }

    #[test]
    fn filling_asks_for_every_key_of_the_one_resource_once() {
        let keys = Fill::within(std::time::Duration::from_secs(10), 100.0, &WORLD);
        assert_eq!(keys, Fill(80));
        let filled = Workload::Steady(pace(1000.0), keys).traffic(&WORLD).take(80);
        let asks: HashSet<Ask> = filled.map(|a| a.ask).collect();
        assert_eq!(asks.len(), 80);
        assert!(asks.iter().all(|ask| ask.resource == 0));
        assert_eq!(Fill::within(std::time::Duration::from_secs(1), 100.0, &WORLD), Fill(50));
    }

    #[test]
    fn each_herd_is_one_instant_and_one_key() {
        let herds = Herds { herds: 3, callers: 50, first_ns: 5, gap_ns: 100 };
        let all: Vec<Arrival> = Workload::Herd(herds).traffic(&WORLD).collect();
        assert_eq!(all.len(), 150);
        for (herd, callers) in all.chunks(50).enumerate() {
            assert!(callers.iter().all(|a| a.intended_ns == 5 + 100 * herd as u64));
            assert!(callers.iter().all(|a| a.ask == callers[0].ask));
        }
        assert_eq!(all.iter().map(|a| a.ask).collect::<HashSet<_>>().len(), 3);
    }
}
