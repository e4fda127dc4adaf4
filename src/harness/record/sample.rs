//! A uniform sample of the answers of each class, kept for verification after the run.
//!
//! Every answer draws a number, and the answers with the lowest numbers are kept. The samples of
//! several threads therefore merge into one that is as uniform as the sample of a single thread,
//! whatever share of the traffic each thread had.

use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::harness::class::Class;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::key::RequestKey;

/// A request and its answer. Times are of the run's clock.
#[derive(Clone, Debug)]
pub struct Sampled {
    /// The key that was asked for.
    pub key: RequestKey,
    /// The time when the request was written.
    pub written: Nanos,
    /// The time when the answer was complete.
    pub end: Nanos,
    /// The body of the answer.
    pub body: Vec<u8>,
}

/// An answer that is offered to the sample.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The key that was asked for.
    pub key: RequestKey,
    /// The class of the answer.
    pub class: Class,
    /// The time when the request was written.
    pub written: Nanos,
    /// The time when the answer was complete.
    pub end: Nanos,
    /// The body of the answer.
    pub body: &'a [u8],
}

/// A sampled answer with its number. Ordered by the number alone; the highest is dropped first.
#[derive(Debug)]
struct Numbered {
    number: u64,
    sampled: Sampled,
}

impl Ord for Numbered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.number.cmp(&other.number)
    }
}

impl PartialOrd for Numbered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Numbered {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Numbered {}

/// The sample of one class.
#[derive(Debug)]
struct Kept {
    numbered: BinaryHeap<Numbered>,
    /// Memory of the bodies, in bytes.
    bytes: usize,
    /// The lowest number that was dropped for lack of memory. Answers whose number is not lower are
    /// not kept.
    below: u64,
}

impl Kept {
    fn new(capacity: usize) -> Self {
        Self { numbered: BinaryHeap::with_capacity(capacity), bytes: 0, below: u64::MAX }
    }

    fn push(&mut self, numbered: Numbered) {
        self.bytes += numbered.sampled.body.capacity();
        self.numbered.push(numbered);
    }

    /// Removes the answer with the highest number, if that is higher than `number`.
    fn take_above(&mut self, number: u64) -> Option<Numbered> {
        let highest = self.numbered.peek_mut().filter(|highest| highest.number > number)?;
        let numbered = PeekMut::pop(highest);
        self.bytes -= numbered.sampled.body.capacity();
        Some(numbered)
    }

    /// Drops the highest numbers until the bodies fit into `bytes_max`. One answer always stays.
    fn fit(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max && self.numbered.len() > 1 {
            let Some(dropped) = self.take_above(0) else { break };
            self.below = dropped.number;
        }
    }
}

/// The sample of one thread, or of all threads after the run.
#[derive(Debug)]
pub struct Sampler {
    /// Samples of the classes, by [`Class::index`].
    classes: Vec<Kept>,
    /// Spare buffers for bodies, so that the timed loop allocates none.
    spare: Vec<Vec<u8>>,
    capacity: usize,
    rng: SmallRng,
}

/// Initial size of a buffer. A token answer with an RSA signature fits; a longer one makes its
/// buffer grow once.
const BODY_BYTES: usize = 4096;
/// Memory limit for each answer of the capacity. If answers are longer on average, fewer are kept.
const BODY_BYTES_MAX: usize = 16 * 1024;

impl Sampler {
    /// Creates a sample of up to `capacity` answers of each of `classes`. Their memory is allocated
    /// and touched here.
    pub fn new(capacity: usize, classes: &[Class], seed: u64) -> Self {
        let heap = |class| Kept::new(if classes.contains(&class) { capacity } else { 0 });
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

    /// Offers one answer to the sample.
    pub fn offer(&mut self, offer: &Offer<'_>) {
        let number = self.rng.random();
        let Some(kept) = self.classes.get_mut(offer.class.index()) else { return };
        if number >= kept.below {
            return;
        }
        let mut body = if kept.numbered.len() < self.capacity {
            self.spare.pop().unwrap_or_default()
        } else {
            match kept.take_above(number) {
                Some(numbered) => numbered.sampled.body,
                None => return,
            }
        };
        body.clear();
        body.extend_from_slice(offer.body);
        let Offer { key, written, end, .. } = *offer;
        kept.push(Numbered { number, sampled: Sampled { key, written, end, body } });
        kept.fit(self.capacity * BODY_BYTES_MAX);
    }

    /// Merges the sample of another thread.
    pub fn merge(&mut self, other: Self) {
        for (into, from) in self.classes.iter_mut().zip(other.classes) {
            into.below = into.below.min(from.below);
            into.numbered.extend(from.numbered);
            // Numbers that one thread had to drop are dropped for all, so that no thread weighs
            // more.
            while into.numbered.peek().is_some_and(|highest| highest.number >= into.below)
                || into.numbered.len() > self.capacity
            {
                into.numbered.pop();
            }
        }
    }

    /// Returns true if answers were so long that fewer than planned were kept.
    pub fn is_full(&self) -> bool {
        self.classes.iter().any(|kept| kept.below < u64::MAX)
    }

    /// Returns the sampled answers, up to the capacity in total, an equal share of each class where
    /// it has enough.
    pub fn into_samples(self) -> Vec<Sampled> {
        let mut left = self.capacity;
        let mut classes: Vec<Vec<Numbered>> =
            self.classes.into_iter().map(|kept| kept.numbered.into_sorted_vec()).collect();
        // The rarest class comes first; the part of its share that it does not use goes to the
        // others.
        classes.retain(|numbered| !numbered.is_empty());
        classes.sort_by_key(Vec::len);
        let mut samples = Vec::with_capacity(left);
        let number = classes.len();
        for (index, numbered) in classes.into_iter().enumerate() {
            let share = left.div_ceil(number - index).min(numbered.len());
            left -= share;
            samples.extend(numbered.into_iter().take(share).map(|numbered| numbered.sampled));
        }
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::key::Selector;

    const KEY: RequestKey = RequestKey { vm: 0, selector: Selector::Default, resource: 0 };

    fn offer(sampler: &mut Sampler, class: Class, number: u32) {
        let body = &number.to_le_bytes();
        sampler.offer(&Offer { key: KEY, class, written: Nanos::ZERO, end: Nanos::ZERO, body });
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

    fn long(sampler: &mut Sampler, bytes: usize, vm: u32) {
        let (key, body) = (RequestKey { vm, ..KEY }, &vec![0; bytes][..]);
        sampler.offer(&Offer {
            key,
            class: Class::All,
            written: Nanos::ZERO,
            end: Nanos::ZERO,
            body,
        });
    }

    #[test]
    fn long_answers_are_kept_in_smaller_number_and_short_ones_among_them_weigh_no_more() {
        let mut sampler = Sampler::new(100, &[Class::All], 1);
        for vm in 0..20_000 {
            long(&mut sampler, if vm % 2 == 0 { 1 << 20 } else { 10 }, vm);
        }
        let bytes: usize = sampler.classes.iter().map(|kept| kept.bytes).sum();
        assert!(bytes <= 100 * BODY_BYTES_MAX && sampler.is_full(), "{bytes}");
        let mut whole = Sampler::new(100, &[], 1);
        whole.merge(sampler);
        assert!(whole.is_full());
        let kept = whole.into_samples().len();
        assert!((1..10).contains(&kept), "{kept}");
    }

    #[test]
    fn usual_answers_are_kept_in_full_number_and_of_a_huge_one_one_stays() {
        let mut sampler = Sampler::new(100, &[Class::All], 1);
        (0..1000).for_each(|vm| long(&mut sampler, 6000, vm));
        assert!(!sampler.is_full());
        assert_eq!(sampler.into_samples().len(), 100);
        let mut one = Sampler::new(1, &[Class::All], 1);
        (0..10).for_each(|vm| long(&mut one, 1 << 20, vm));
        assert_eq!(one.into_samples().len(), 1);
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
