//! Which keys are asked for, drawn beforehand: a bench neither draws nor allocates.

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

    /// Keys to ask for, without end; each thread begins at another place of the same order.
    pub(crate) fn asked(&self, thread: usize) -> impl Iterator<Item = Key> {
        let mut order = self.order.iter().copied().cycle();
        if let Some(last_of_others) = (thread * self.order.len() / 8).checked_sub(1) {
            order.nth(last_of_others);
        }
        order
    }
}
