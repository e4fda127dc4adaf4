//! A uniform sample of answers, kept for verification after the run.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::workload::Ask;

/// An answer and the question it answers.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// What was asked.
    pub ask: Ask,
    /// The body that came back.
    pub body: Vec<u8>,
}

/// A reservoir (algorithm R): each answer offered is kept with the same probability.
#[derive(Debug)]
pub struct Reservoir {
    kept: Vec<Sampled>,
    capacity: usize,
    offered: u64,
    rng: StdRng,
}

/// A token answer with an RSA signature fits; a longer one makes its buffer grow once.
const BODY_BYTES: usize = 4096;

impl Reservoir {
    /// Keeps up to `capacity` answers; their memory is taken here, not in the timed loop.
    pub fn new(capacity: usize, seed: u64) -> Self {
        Self {
            kept: Vec::with_capacity(capacity),
            capacity,
            offered: 0,
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Considers one answer.
    pub fn offer(&mut self, ask: &Ask, body: &[u8]) {
        self.offered += 1;
        if self.kept.len() < self.capacity {
            let mut kept = Vec::with_capacity(BODY_BYTES.max(body.len()));
            kept.extend_from_slice(body);
            self.kept.push(Sampled { ask: *ask, body: kept });
            return;
        }
        let place = self.rng.random_range(0..self.offered);
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        if let Some(old) = self.kept.get_mut(place) {
            old.ask = *ask;
            old.body.clear();
            old.body.extend_from_slice(body);
        }
    }

    /// What was kept.
    pub fn into_samples(self) -> Vec<Sampled> {
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::Selector;

    const ASK: Ask = Ask { vm: 0, selector: Selector::Default, resource: 0 };

    #[test]
    fn few_answers_are_all_kept_and_many_are_thinned_evenly() {
        let mut few = Reservoir::new(10, 1);
        (0_u32..5).for_each(|i| few.offer(&ASK, &i.to_le_bytes()));
        assert_eq!(few.into_samples().len(), 5);

        let mut many = Reservoir::new(1000, 1);
        (0_u32..10_000).for_each(|i| many.offer(&ASK, &i.to_le_bytes()));
        let kept = many.into_samples();
        let late = kept
            .iter()
            .filter(|s| u32::from_le_bytes(s.body.as_slice().try_into().unwrap()) >= 5000)
            .count();
        assert_eq!(kept.len(), 1000);
        // 500 expected, standard deviation 15.
        assert!((400..600).contains(&late), "{late}");
    }
}
