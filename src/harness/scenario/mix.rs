//! The mix of a phase: weighted shares of its requests, each with its own choice of keys.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Zipf};

use super::workload::{Ask, Selector};
use crate::base::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};

/// A share of the requests of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The weight of the share, relative to the weights of the other shares.
    pub weight: f64,
    /// The choice of keys.
    pub kind: Kind,
    /// The identities of a VM that are asked for. Ignored for [`Kind::New`], which takes the keys
    /// that no other share uses.
    pub identities: Identities,
    /// The index of the resource in [`WELL_KNOWN_RESOURCES`]. Ignored for [`Kind::New`].
    pub resource: u8,
}

/// The choice of keys of a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Keys that nobody has asked for before, each `repeat` times in a row. A `repeat` of 1 mints
    /// every time; a higher one is a herd on a cold key.
    New {
        /// Requests for each key.
        repeat: u32,
    },
    /// VMs by Zipf popularity, VM 0 first. Each identity of a VM is equally likely.
    Popular {
        /// The exponent of the Zipf law: 0 makes all VMs equally popular, 1 is the classic law.
        exponent: f64,
    },
    /// All keys in turn, each `repeat` times in a row, then again from the first, as when machines
    /// boot.
    Turn {
        /// Requests for each key.
        repeat: u32,
    },
}

/// A selection of the identities of a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identities {
    /// All identities, equally likely.
    #[default]
    All,
    /// The system-assigned identity.
    System,
    /// The user-assigned identities, equally likely.
    UserAssigned,
}

impl Identities {
    /// Returns the range of identity numbers as (first, end); the end is excluded, and 0 is the
    /// system-assigned identity.
    const fn slots(self, world: &Synthetic) -> (u32, u32) {
        let end = world.user_assigned + 1;
        match self {
            Self::All => (0, end),
            Self::System => (0, 1),
            Self::UserAssigned => (1, end),
        }
    }
}

/// A key without its VM: identity number and resource.
pub(crate) type Wish = (u32, u8);

impl Share {
    /// Returns true if the VMs of `world` have the identities that the share asks for.
    pub fn fits(&self, world: &Synthetic) -> bool {
        let (from, to) = self.identities.slots(world);
        self.is_new() || from < to
    }

    /// Returns true if the share asks for the same keys again and again.
    pub(crate) const fn returns(&self) -> bool {
        matches!(self.kind, Kind::Popular { .. })
    }

    /// Returns true if the share asks for new keys.
    pub const fn is_new(&self) -> bool {
        matches!(self.kind, Kind::New { .. })
    }

    /// Returns the wishes of the share for each VM; none for new keys.
    pub(crate) fn wishes(&self, world: &Synthetic) -> impl Iterator<Item = Wish> {
        let (from, to) = self.identities.slots(world);
        let to = if self.is_new() { from } else { to };
        let resource = self.resource;
        (from..to).map(move |slot| (slot, resource))
    }
}

/// Returns every wish that a VM can have, ordered by resource, then by identity.
pub(crate) fn all_wishes(world: &Synthetic) -> impl Iterator<Item = Wish> {
    let slots = world.user_assigned + 1;
    let resources = u8::try_from(WELL_KNOWN_RESOURCES.len()).unwrap_or(u8::MAX);
    (0..resources).flat_map(move |resource| (0..slots).map(move |slot| (slot, resource)))
}

/// Returns key number `index` of `wishes`. VMs take turns first, then wishes; after the last key it
/// starts again.
pub(crate) fn nth_key(world: &Synthetic, wishes: &[Wish], index: u64) -> Ask {
    let vms = u64::from(world.vms.max(1));
    let wish = usize::try_from(index / vms).unwrap_or(usize::MAX) % wishes.len().max(1);
    let (slot, resource) = wishes.get(wish).copied().unwrap_or_default();
    let vm = u32::try_from(index % vms).unwrap_or_default();
    Ask { vm, selector: selector(slot), resource }
}

/// Returns the selector of identity number `slot`.
pub(crate) const fn selector(slot: u32) -> Selector {
    match slot.checked_sub(1) {
        None => Selector::Default,
        Some(index) => Selector::UserAssigned(index),
    }
}

/// The state from which the requests of a mix are drawn.
#[derive(Debug)]
pub(crate) struct Mixer {
    world: Synthetic,
    shares: Vec<Source>,
    weights: f64,
    rng: Xoshiro256PlusPlus,
}

#[derive(Debug)]
struct Source {
    weight: f64,
    identities: Identities,
    resource: u8,
    choice: Choice,
}

#[derive(Debug)]
enum Choice {
    New(Repeated),
    Popular(Option<Zipf<f64>>),
    Turn { wishes: Vec<Wish>, next: u64, repeated: Repeated },
}

/// A key that is asked for `times` times in a row.
#[derive(Debug)]
struct Repeated {
    times: u32,
    left: u32,
    key: u64,
}

impl Repeated {
    const fn new(times: u32) -> Self {
        Self { times, left: 0, key: 0 }
    }

    /// Returns the present key, or the next one if the present key has been asked for often enough.
    fn key(&mut self, next: &mut u64) -> u64 {
        if self.left == 0 {
            self.left = self.times;
            self.key = *next;
            *next += 1;
        }
        self.left = self.left.saturating_sub(1);
        self.key
    }
}

/// The supply of new keys for all shares and phases of a run.
#[derive(Debug)]
pub(crate) struct NewKeys {
    pub(crate) wishes: Vec<Wish>,
    pub(crate) next: u64,
}

/// A drawn request, marked if its key is new.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drawn {
    pub(crate) ask: Ask,
    pub(crate) is_new: bool,
}

impl Mixer {
    pub(crate) fn new(shares: &[Share], world: &Synthetic, rng: Xoshiro256PlusPlus) -> Self {
        let source = |share: &Share| Source {
            weight: share.weight,
            identities: share.identities,
            resource: share.resource,
            choice: match share.kind {
                Kind::New { repeat } => Choice::New(Repeated::new(repeat)),
                Kind::Popular { exponent } => {
                    Choice::Popular(Zipf::new(f64::from(world.vms.max(1)), exponent).ok())
                }
                Kind::Turn { repeat } => Choice::Turn {
                    wishes: share.wishes(world).collect(),
                    next: 0,
                    repeated: Repeated::new(repeat),
                },
            },
        };
        let shares: Vec<Source> = shares.iter().map(source).collect();
        let weights = shares.iter().map(|source| source.weight).sum();
        Self { world: *world, shares, weights, rng }
    }

    pub(crate) fn draw(&mut self, keys: &mut NewKeys) -> Drawn {
        let Self { world, shares, weights, rng } = self;
        let asked = pick(shares, *weights, rng).map(|source| source.ask(world, rng, keys));
        let nothing = Ask { vm: 0, selector: Selector::Default, resource: 0 };
        asked.unwrap_or(Drawn { ask: nothing, is_new: false })
    }
}

/// Picks a share by its weight. A single share draws nothing from the random stream.
fn pick<'a>(
    shares: &'a mut [Source],
    weights: f64,
    rng: &mut Xoshiro256PlusPlus,
) -> Option<&'a mut Source> {
    let last = shares.len().checked_sub(1)?;
    let mut left = if last == 0 { 0.0 } else { rng.random::<f64>() * weights };
    let chosen = shares.iter().position(|share| {
        left -= share.weight;
        left < 0.0
    });
    // Rounding may leave a remainder; then the last share is chosen.
    shares.get_mut(chosen.unwrap_or(last))
}

impl Source {
    fn ask(
        &mut self,
        world: &Synthetic,
        rng: &mut Xoshiro256PlusPlus,
        keys: &mut NewKeys,
    ) -> Drawn {
        let ask = match &mut self.choice {
            Choice::New(repeated) => {
                let ask = nth_key(world, &keys.wishes, repeated.key(&mut keys.next));
                return Drawn { ask, is_new: true };
            }
            Choice::Turn { wishes, next, repeated } => nth_key(world, wishes, repeated.key(next)),
            Choice::Popular(popularity) => {
                let vm = popular_vm(world, popularity.as_ref(), rng);
                let (from, to) = self.identities.slots(world);
                let slot = if from < to { rng.random_range(from..to) } else { 0 };
                Ask { vm, selector: selector(slot), resource: self.resource }
            }
        };
        Drawn { ask, is_new: false }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the sample lies in 1.0 to `vms`"
)]
fn popular_vm(
    world: &Synthetic,
    popularity: Option<&Zipf<f64>>,
    rng: &mut Xoshiro256PlusPlus,
) -> u32 {
    let rank = popularity.map_or(1.0, |zipf| zipf.sample(rng));
    (rank as u32).clamp(1, world.vms.max(1)) - 1
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::{HashMap, HashSet};

    const WORLD: Synthetic = Synthetic { vms: 20, user_assigned: 3, seed: 1 };

    fn share(weight: f64, kind: Kind) -> Share {
        Share { weight, kind, identities: Identities::All, resource: 0 }
    }

    fn draws(shares: &[Share], count: usize) -> Vec<Drawn> {
        let mut mixer = Mixer::new(shares, &WORLD, Xoshiro256PlusPlus::seed_from_u64(7));
        let mut keys = NewKeys { wishes: vec![(0, 4), (1, 4)], next: 0 };
        (0..count).map(|_| mixer.draw(&mut keys)).collect()
    }

    #[test]
    fn shares_are_drawn_by_their_weights() {
        let shares = [
            share(3.0, Kind::Popular { exponent: 1.0 }),
            Share { resource: 1, ..share(1.0, Kind::Popular { exponent: 1.0 }) },
        ];
        let second = draws(&shares, 10_000).iter().filter(|drawn| drawn.ask.resource == 1).count();
        // 2,500 expected, standard deviation 43.
        assert!((2_240..=2_760).contains(&second), "{second}");
    }

    #[test]
    fn popularity_falls_with_the_exponent_and_not_at_all_at_zero() {
        let shares_of_first = |exponent| {
            let drawn = draws(&[share(1.0, Kind::Popular { exponent })], 20_000);
            drawn.iter().filter(|drawn| drawn.ask.vm == 0).count() as f64 / 20_000.0
        };
        // 1 / (1 + 1/2^s + ... + 1/20^s).
        for (exponent, expected) in [(0.0, 0.05), (1.0, 0.278), (2.0, 0.626)] {
            let share = shares_of_first(exponent);
            assert!((share - expected).abs() < 0.02, "{exponent}: {share}");
        }
    }

    #[test]
    fn a_new_key_comes_as_often_as_said_and_then_never_again() {
        let drawn = draws(&[share(1.0, Kind::New { repeat: 3 })], 60);
        assert!(drawn.iter().all(|drawn| drawn.is_new));
        let mut count: HashMap<Ask, u32> = HashMap::new();
        for drawn in &drawn {
            *count.entry(drawn.ask).or_default() += 1;
        }
        assert_eq!(count.len(), 20);
        assert!(count.values().all(|times| *times == 3));
        assert!(drawn.chunks(3).all(|three| three[0].ask == three[2].ask));
    }

    #[test]
    fn turns_go_through_all_keys_and_begin_again() {
        let identities = Identities::UserAssigned;
        let turn = Share { identities, ..share(1.0, Kind::Turn { repeat: 2 }) };
        let asks: Vec<Ask> = draws(&[turn], 240).iter().map(|drawn| drawn.ask).collect();
        let (first, second) = asks.split_at(120);
        assert_eq!(first, second);
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 60);
        assert!(asks.iter().all(|ask| ask.selector != Selector::Default));
    }

    #[test]
    fn identities_can_be_narrowed() {
        let of = |identities| {
            let narrowed = Share { identities, ..share(1.0, Kind::Popular { exponent: 1.0 }) };
            let drawn = draws(&[narrowed], 500);
            drawn.iter().map(|drawn| drawn.ask.selector).collect::<HashSet<_>>().len()
        };
        assert_eq!(of(Identities::All), 4);
        assert_eq!(of(Identities::System), 1);
        assert_eq!(of(Identities::UserAssigned), 3);
    }
}
