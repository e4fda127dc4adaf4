//! Keys drawn before a bench runs, so that it neither draws nor allocates.

use std::hint::black_box;

use mintbench::service::cache::Key;
use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::rngs::StdRng;
use rand_distr::Zipf;

/// A set of keys, and the order in which they are asked for.
#[derive(Debug)]
pub(crate) struct Keys {
    /// The name of the set in the id of a bench.
    pub(crate) name: &'static str,
    /// The number of keys.
    pub(crate) entries: u32,
    /// The order of the requests. Its length is a power of two, so that a mask gives the position.
    order: Vec<Key>,
}

impl Keys {
    /// Returns a thousand keys with Zipf popularity (exponent 1). They stay in the processor's
    /// caches, and threads meet at the same entries.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1 to 1000")]
    pub(crate) fn hot() -> Self {
        let zipf = Zipf::new(1000.0, 1.0).unwrap();
        Self::drawn("hot", 1000, 1 << 14, |rng| zipf.sample(rng) as u32 - 1)
    }

    /// Returns a million keys, all equally popular. Nearly every lookup misses the processor's
    /// caches, and threads hardly meet.
    pub(crate) fn wide() -> Self {
        let uniform = Uniform::new(0, 1_000_000).unwrap();
        Self::drawn("wide", 1_000_000, 1 << 20, |rng| uniform.sample(rng))
    }

    fn drawn(
        name: &'static str,
        entries: u32,
        asked: usize,
        mut draw: impl FnMut(&mut StdRng) -> u32,
    ) -> Self {
        let mut rng = StdRng::seed_from_u64(1);
        let order = (0..asked).map(|_| Key::new(draw(&mut rng), 0)).collect();
        Self { name, entries, order }
    }

    /// Returns each key once.
    pub(crate) fn all(&self) -> impl Iterator<Item = Key> {
        (0..self.entries).map(|identity| Key::new(identity, 0))
    }

    /// Looks up `share` keys, each after the value of the previous one is there. `look` gets the
    /// key and the number of the lookup, from 1. Each thread begins at another position of the same
    /// order.
    ///
    /// The next key depends on the value, in the same way for every subject. Otherwise a processor
    /// overlaps lookups or not, by accidents of the machine code around them. By such an accident,
    /// a map behind a lock once took a third of the time of the same map without a lock. A request
    /// waits for its own lookup, so dependent lookups are timed.
    #[expect(clippy::cast_possible_truncation, reason = "what is added is zero")]
    pub(crate) fn ask(&self, thread: usize, share: u64, look: impl Fn(Key, u64) -> u64) {
        let zero = black_box(0);
        let mut at = thread * self.order.len() / 8;
        for turn in 1..=share {
            let key = self.order.get(at & (self.order.len() - 1)).unwrap();
            at += 1 + (look(*key, turn) & zero) as usize;
        }
    }
}
