//! The keys of a phase: a random choice from the shares of its mix.

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Distribution, Zipf};

use crate::base::synthetic::Synthetic;
use crate::harness::scenario::key::{RequestKey, Selector, VmKey, nth_key, selector};
use crate::harness::scenario::mix::{Identities, Kind, Share};

/// The state from which the requests of a mix are drawn.
#[derive(Debug)]
pub(super) struct Mixer {
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
    Turn { vm_keys: Vec<VmKey>, next: u64, repeated: Repeated },
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
pub(super) struct NewKeys {
    pub(super) vm_keys: Vec<VmKey>,
    pub(super) next: u64,
}

/// A drawn request, marked if its key is new.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextKey {
    pub(super) key: RequestKey,
    pub(super) is_new: bool,
}

impl Mixer {
    pub(super) fn new(shares: &[Share], world: &Synthetic, rng: Xoshiro256PlusPlus) -> Self {
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
                    vm_keys: share.vm_keys(world).collect(),
                    next: 0,
                    repeated: Repeated::new(repeat),
                },
            },
        };
        let shares: Vec<Source> = shares.iter().map(source).collect();
        let weights = shares.iter().map(|source| source.weight).sum();
        Self { world: *world, shares, weights, rng }
    }

    pub(super) fn next_key(&mut self, keys: &mut NewKeys) -> NextKey {
        let Self { world, shares, weights, rng } = self;
        let next = pick(shares, *weights, rng).map(|source| source.next_key(world, rng, keys));
        let nothing = RequestKey { vm: 0, selector: Selector::Default, resource: 0 };
        next.unwrap_or(NextKey { key: nothing, is_new: false })
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
    fn next_key(
        &mut self,
        world: &Synthetic,
        rng: &mut Xoshiro256PlusPlus,
        keys: &mut NewKeys,
    ) -> NextKey {
        let key = match &mut self.choice {
            Choice::New(repeated) => {
                let key = nth_key(world, &keys.vm_keys, repeated.key(&mut keys.next));
                return NextKey { key, is_new: true };
            }
            Choice::Turn { vm_keys, next, repeated } => nth_key(world, vm_keys, repeated.key(next)),
            Choice::Popular(popularity) => {
                let vm = popular_vm(world, popularity.as_ref(), rng);
                let (from, to) = self.identities.slots(world);
                let slot = if from < to { rng.random_range(from..to) } else { 0 };
                RequestKey { vm, selector: selector(slot), resource: self.resource }
            }
        };
        NextKey { key, is_new: false }
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

    fn draws(shares: &[Share], count: usize) -> Vec<NextKey> {
        let mut mixer = Mixer::new(shares, &WORLD, Xoshiro256PlusPlus::seed_from_u64(7));
        let mut keys = NewKeys { vm_keys: vec![(0, 4), (1, 4)], next: 0 };
        (0..count).map(|_| mixer.next_key(&mut keys)).collect()
    }

    #[test]
    fn shares_are_drawn_by_their_weights() {
        let shares = [
            share(3.0, Kind::Popular { exponent: 1.0 }),
            Share { resource: 1, ..share(1.0, Kind::Popular { exponent: 1.0 }) },
        ];
        let second = draws(&shares, 10_000).iter().filter(|drawn| drawn.key.resource == 1).count();
        // 2,500 expected, standard deviation 43.
        assert!((2_240..=2_760).contains(&second), "{second}");
    }

    #[test]
    fn popularity_falls_with_the_exponent_and_not_at_all_at_zero() {
        let shares_of_first = |exponent| {
            let drawn = draws(&[share(1.0, Kind::Popular { exponent })], 20_000);
            drawn.iter().filter(|drawn| drawn.key.vm == 0).count() as f64 / 20_000.0
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
        let mut count: HashMap<RequestKey, u32> = HashMap::new();
        for drawn in &drawn {
            *count.entry(drawn.key).or_default() += 1;
        }
        assert_eq!(count.len(), 20);
        assert!(count.values().all(|times| *times == 3));
        assert!(drawn.chunks(3).all(|three| three[0].key == three[2].key));
    }

    #[test]
    fn turns_go_through_all_keys_and_begin_again() {
        let identities = Identities::UserAssigned;
        let turn = Share { identities, ..share(1.0, Kind::Turn { repeat: 2 }) };
        let asks: Vec<RequestKey> = draws(&[turn], 240).iter().map(|drawn| drawn.key).collect();
        let (first, second) = asks.split_at(120);
        assert_eq!(first, second);
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 60);
        assert!(asks.iter().all(|key| key.selector != Selector::Default));
    }

    #[test]
    fn identities_can_be_narrowed() {
        let of = |identities| {
            let narrowed = Share { identities, ..share(1.0, Kind::Popular { exponent: 1.0 }) };
            let drawn = draws(&[narrowed], 500);
            drawn.iter().map(|drawn| drawn.key.selector).collect::<HashSet<_>>().len()
        };
        assert_eq!(of(Identities::All), 4);
        assert_eq!(of(Identities::System), 1);
        assert_eq!(of(Identities::UserAssigned), 3);
    }
}
