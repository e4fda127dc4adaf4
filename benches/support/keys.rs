//! Which keys are asked for, drawn beforehand: a bench neither draws nor allocates.

use std::hint::black_box;

use mintbench::cache::Key;
use rand::SeedableRng;
use rand::distr::{Distribution, Uniform};
use rand::rngs::StdRng;
use rand_distr::Zipf;

/// A set of keys, and an order of asking for them.
#[derive(Debug)]
pub(crate) struct Keys {
    /// How a bench id calls the set.
    pub(crate) name: &'static str,
    /// How many keys there are.
    pub(crate) entries: u32,
    /// As many as a power of two: the place in it is a mask away.
    order: Vec<Key>,
}

impl Keys {
    /// A thousand keys, some of them much asked for (Zipf, exponent 1): they stay in the processor's
    /// caches, and threads meet at the same entries.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 1 to 1000")]
    pub(crate) fn hot() -> Self {
        let zipf = Zipf::new(1000.0, 1.0).unwrap();
        Self::drawn("hot", 1000, 1 << 14, |rng| zipf.sample(rng) as u32 - 1)
    }

    /// A million keys, all asked for alike: nearly every lookup misses the processor's caches, and
    /// threads hardly meet.
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

    /// Each key once.
    pub(crate) fn all(&self) -> impl Iterator<Item = Key> {
        (0..self.entries).map(|identity| Key::new(identity, 0))
    }

    /// Looks `share` keys up, each once the value of the one before is there; `look` is told the key
    /// and which lookup it is, from 1. Each thread begins at another place of the same order.
    ///
    /// The next key is made to depend on the value, in the same way for every subject. Left to itself,
    /// a processor overlaps lookups or not by accidents of the machine code around them: a map behind a
    /// lock was timed at a third of the same map without one. A request waits for its own lookup, so
    /// that is what is timed.
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
