//! A uniform sample of the answers of each class, kept for verification after the run.
//!
//! Every answer draws a number and those with the lowest numbers are kept. The samples of several
//! threads therefore merge into one that is as uniform as if one thread had drawn it, whatever
//! share of the traffic each had.

use std::collections::BinaryHeap;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::class::Class;
use super::workload::Ask;

/// An answer and the question it answers; times in nanoseconds of the run's clock.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// What was asked.
    pub ask: Ask,
    /// When the request was written.
    pub written_ns: u64,
    /// When the answer was whole.
    pub end_ns: u64,
    /// The body that came back.
    pub body: Vec<u8>,
}

/// What identifies an answer that is offered.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// What was asked.
    pub ask: Ask,
    /// The class of the answer.
    pub class: Class,
    /// When the request was written.
    pub written_ns: u64,
    /// When the answer was whole.
    pub end_ns: u64,
    /// The body that came back.
    pub body: &'a [u8],
}

/// Ordered by the number drawn alone: the highest goes first.
#[derive(Debug)]
struct Drawn {
    number: u64,
    sampled: Sampled,
}

impl Ord for Drawn {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl PartialOrd for Drawn {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Drawn {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Drawn {}

/// The sample of one thread, and after the run of all of them.
#[derive(Debug)]
pub struct Sampler {
    /// By [`Class::index`].
    classes: Vec<BinaryHeap<Drawn>>,
    /// Buffers for what will be kept, so that the timed loop allocates none.
    spare: Vec<Vec<u8>>,
    capacity: usize,
    rng: SmallRng,
}

/// A token answer with an RSA signature fits; a longer one makes its buffer grow once.
const BODY_BYTES: usize = 4096;

impl Sampler {
    /// Keeps up to `capacity` answers of each of `classes`; their memory is taken and touched here.
    pub fn new(capacity: usize, classes: &[Class], seed: u64) -> Self {
        let heap =
            |class| BinaryHeap::with_capacity(if classes.contains(&class) { capacity } else { 0 });
        let touched = || {
            let mut buffer = vec![1; BODY_BYTES];
            buffer.clear();
            buffer
        };
        Self {
            classes: Class::ALL.into_iter().map(heap).collect(),
            spare: std::iter::repeat_with(touched).take(capacity * classes.len()).collect(),
            capacity,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// Considers one answer.
    pub fn offer(&mut self, offer: &Offer<'_>) {
        let number = self.rng.random();
        let Some(heap) = self.classes.get_mut(offer.class.index()) else { return };
        let mut body = if heap.len() < self.capacity {
            self.spare.pop().unwrap_or_default()
        } else {
            match heap.peek_mut() {
                Some(mut highest) if highest.number > number => {
                    let body = std::mem::take(&mut highest.sampled.body);
                    std::collections::binary_heap::PeekMut::pop(highest);
                    body
                }
                _ => return,
            }
        };
        body.clear();
        body.extend_from_slice(offer.body);
        let Offer { ask, written_ns, end_ns, .. } = *offer;
        heap.push(Drawn { number, sampled: Sampled { ask, written_ns, end_ns, body } });
    }

    /// Adds what another thread kept.
    pub fn merge(&mut self, other: Self) {
        for (into, from) in self.classes.iter_mut().zip(other.classes) {
            into.extend(from);
            while into.len() > self.capacity {
                into.pop();
            }
        }
    }

    /// What was kept: of every class alike where there is enough, up to the capacity in all.
    pub fn into_samples(self) -> Vec<Sampled> {
        let mut left = self.capacity;
        let mut classes: Vec<Vec<Drawn>> =
            self.classes.into_iter().map(BinaryHeap::into_sorted_vec).collect();
        // The rarest first: what it leaves of its share goes to the others.
        classes.retain(|drawn| !drawn.is_empty());
        classes.sort_by_key(Vec::len);
        let mut samples = Vec::with_capacity(left);
        let number = classes.len();
        for (index, drawn) in classes.into_iter().enumerate() {
            let share = left.div_ceil(number - index).min(drawn.len());
            left -= share;
            samples.extend(drawn.into_iter().take(share).map(|drawn| drawn.sampled));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::workload::Selector;

    const ASK: Ask = Ask { vm: 0, selector: Selector::Default, resource: 0 };

    fn offer(sampler: &mut Sampler, class: Class, number: u32) {
        let body = &number.to_le_bytes();
        sampler.offer(&Offer { ask: ASK, class, written_ns: 0, end_ns: 0, body });
    }

    fn numbers(sampler: Sampler) -> Vec<u32> {
        let number = |s: Sampled| u32::from_le_bytes(s.body.as_slice().try_into().unwrap());
        sampler.into_samples().into_iter().map(number).collect()
    }

    #[test]
    fn few_answers_are_all_kept_and_many_are_thinned_evenly() {
        let mut few = Sampler::new(10, &[Class::Hit], 1);
        (0..5).for_each(|i| offer(&mut few, Class::Hit, i));
        assert_eq!(numbers(few).len(), 5);

        let mut many = Sampler::new(1000, &[Class::Hit], 1);
        (0..10_000).for_each(|i| offer(&mut many, Class::Hit, i));
        let kept = numbers(many);
        let late = kept.iter().filter(|number| **number >= 5000).count();
        assert_eq!(kept.len(), 1000);
        // 500 expected, standard deviation 15.
        assert!((400..600).contains(&late), "{late}");
    }

    #[test]
    fn rare_classes_are_sampled_and_the_size_is_exact() {
        let mut sampler = Sampler::new(100, &[Class::Hit, Class::Miss], 1);
        (0..10_000).for_each(|i| offer(&mut sampler, Class::Hit, i));
        (10_000..10_007).for_each(|i| offer(&mut sampler, Class::Miss, i));
        let kept = numbers(sampler);
        assert_eq!(kept.len(), 100);
        assert_eq!(kept.iter().filter(|number| **number >= 10_000).count(), 7);
    }

    #[test]
    fn a_merged_sample_weighs_threads_by_their_traffic() {
        let mut merged = Sampler::new(1000, &[Class::All], 1);
        (0..9_000).for_each(|i| offer(&mut merged, Class::All, i));
        let mut other = Sampler::new(1000, &[Class::All], 2);
        (9_000..10_000).for_each(|i| offer(&mut other, Class::All, i));
        merged.merge(other);
        let kept = numbers(merged);
        let of_other = kept.iter().filter(|number| **number >= 9_000).count();
        assert_eq!(kept.len(), 1000);
        // 100 expected, standard deviation 9.5.
        assert!((50..150).contains(&of_other), "{of_other}");
    }
}
