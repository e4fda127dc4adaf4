//! Checks that each token verified with the keys that were published at the time.
//!
//! A verifier holds the key set that it read last. A key must therefore be published before it
//! signs, and for as long as a token that it signed lives. Key sets are read throughout the run.
//! The last set read before a request must verify its token, unless the keys rotated twice since.
//! The first set read after the answer must verify it too.

use std::collections::BTreeSet;
use std::sync::Arc;

use jsonwebtoken::decode_header;

use super::claims::{Claims, signed_claims};
use super::keys::Keys;
use crate::harness::nanos::Nanos;
use crate::harness::record::sample::Sampled;
use crate::harness::schedule::timeline::Epoch;

/// A span from before a request to after its answer, on the run's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) begin: Nanos,
    pub(crate) end: Nanos,
}

/// A key set, and the span in which it was read.
#[derive(Clone, Debug)]
pub(crate) struct Fetched {
    pub(crate) span: Span,
    pub(crate) keys: Arc<Keys>,
}

/// The published keys over the course of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyTimeline {
    /// The key sets that were read, in the order of time.
    pub(crate) fetched: Vec<Fetched>,
    /// Spans of the rotations of the keys.
    pub(crate) rotations: Vec<Span>,
}

/// Results of the check of the sampled tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyTimelineVerdict {
    /// Number of key rotations.
    pub rotations: u64,
    /// Number of times that the published keys were read.
    pub key_sets: u64,
    /// Number of distinct keys that signed the sampled tokens.
    pub signing_keys: u64,
    /// Tokens that the last key set read before the request does not verify.
    pub unpublished: u64,
    /// Tokens that the first key set read after the answer does not verify, although they had not
    /// expired.
    pub withdrawn: u64,
    /// Tokens for which one of the two checks was not possible. Before: no key set was read, or the
    /// keys rotated twice since. After: no key set was read, or the token had expired by then.
    pub unwatched: u64,
}

impl KeyTimeline {
    /// Returns every key that was ever published.
    pub(crate) fn keys(&self) -> Keys {
        let mut keys = Keys::default();
        let mut last: Option<&Arc<Keys>> = None;
        for Fetched { keys: set, .. } in &self.fetched {
            if last.is_none_or(|last| !Arc::ptr_eq(last, set)) {
                keys.add(set);
            }
            last = Some(set);
        }
        keys
    }

    /// Checks every sampled token with the key sets read before and after it. A token that no key
    /// set ever verified is a fault of its own, and not counted here.
    pub(crate) fn judge(&self, samples: &[Sampled], epoch: Epoch) -> KeyTimelineVerdict {
        let all = self.keys();
        let mut keys = KeyTimelineVerdict {
            rotations: self.rotations.len() as u64,
            key_sets: self.fetched.len() as u64,
            ..KeyTimelineVerdict::default()
        };
        let mut kids = BTreeSet::new();
        for sample in samples {
            let Some((body, claims)) = signed_claims(&sample.body, &all) else { continue };
            kids.extend(decode_header(&body.access_token).ok().and_then(|header| header.kid));
            let verifies = |set: &Fetched| signed_claims(&sample.body, &set.keys).is_some();
            let (before, after) = (self.before(sample), self.after(sample, &claims, epoch));
            keys.unpublished += u64::from(before.is_some_and(|set| !verifies(set)));
            keys.withdrawn += u64::from(after.is_some_and(|set| !verifies(set)));
            keys.unwatched += u64::from(before.is_none() || after.is_none());
        }
        keys.signing_keys = kids.len() as u64;
        keys
    }

    /// Returns the last key set read before the request was written, if at most one rotation came
    /// in between. After two rotations, the signing key may be one that the set could not hold.
    fn before(&self, sample: &Sampled) -> Option<&Fetched> {
        let read = self.fetched.partition_point(|set| set.span.end <= sample.written);
        let set = self.fetched.get(read.checked_sub(1)?)?;
        let since =
            |rotation: &&Span| rotation.end >= set.span.begin && rotation.begin <= sample.end;
        (self.rotations.iter().filter(since).count() <= 1).then_some(set)
    }

    /// Returns the first key set read after the answer was complete, if the token lived until then.
    /// Wall time is known to the second.
    fn after(&self, sample: &Sampled, claims: &Claims, epoch: Epoch) -> Option<&Fetched> {
        let read = self.fetched.partition_point(|set| set.span.begin < sample.end);
        let set = self.fetched.get(read)?;
        (claims.exp > epoch.wall_at(set.span.end).0 + 1).then_some(set)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Pair;
    use super::*;
    use crate::base::clock::{Monotonic, UnixSeconds};
    use crate::harness::scenario::key::{RequestKey, Selector};
    use serde_json::json;

    /// Returns a token that arrived at second 10 and lives until `exp`.
    fn sample(pair: &Pair, exp: u64) -> Sampled {
        let body = json!({"access_token": pair.token(&json!({"aud": "a", "exp": exp}))});
        Sampled {
            key: RequestKey { vm: 0, selector: Selector::Default, resource: 0 },
            written: Nanos::from_secs(10),
            end: Nanos::from_secs(10) + Nanos::new(5),
            body: body.to_string().into_bytes(),
        }
    }

    fn span(second: u64) -> Span {
        Span { begin: Nanos::from_secs(second), end: Nanos::from_secs(second) + Nanos::new(9) }
    }

    fn fetched(second: u64, pairs: &[&Pair]) -> Fetched {
        Fetched { span: span(second), keys: Arc::new(Pair::published(pairs)) }
    }

    fn judge(fetched: Vec<Fetched>, rotations: &[u64], sample: Sampled) -> KeyTimelineVerdict {
        let rotations = rotations.iter().map(|second| span(*second)).collect();
        let epoch = Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) };
        KeyTimeline { fetched, rotations }.judge(&[sample], epoch)
    }

    #[test]
    fn a_key_must_be_published_before_it_signs_and_until_its_last_token_is_gone() {
        let (old, new) = (Pair::new("old"), Pair::new("new"));
        let both = || fetched(9, &[&old, &new]);
        let fine = judge(vec![both(), fetched(11, &[&old, &new])], &[], sample(&new, 99));
        let good =
            KeyTimelineVerdict { key_sets: 2, signing_keys: 1, ..KeyTimelineVerdict::default() };
        assert_eq!(fine, good);
        let early = judge(vec![fetched(9, &[&old]), fetched(11, &[&new])], &[], sample(&new, 99));
        assert_eq!(early, KeyTimelineVerdict { unpublished: 1, ..good });
        let gone = judge(vec![both(), fetched(11, &[&new])], &[], sample(&old, 99));
        assert_eq!(gone, KeyTimelineVerdict { withdrawn: 1, ..good });
    }

    #[test]
    fn a_rotation_excuses_nothing_and_a_second_one_leaves_it_open() {
        let (old, new) = (Pair::new("old"), Pair::new("new"));
        let sets = || vec![fetched(8, &[&old]), fetched(11, &[&old, &new])];
        let once = judge(sets(), &[9], sample(&new, 99));
        assert_eq!((once.unpublished, once.unwatched, once.rotations), (1, 0, 1));
        let twice = judge(sets(), &[9, 10], sample(&new, 99));
        assert_eq!((twice.unpublished, twice.unwatched), (0, 1));
    }

    #[test]
    fn a_key_may_be_withdrawn_once_its_token_has_expired() {
        let (old, new) = (Pair::new("old"), Pair::new("new"));
        let sets = || vec![fetched(9, &[&old]), fetched(11, &[&new])];
        let expired = judge(sets(), &[], sample(&old, 12));
        assert_eq!((expired.withdrawn, expired.unwatched), (0, 1));
        assert_eq!(judge(sets(), &[], sample(&old, 13)).withdrawn, 1);
    }

    #[test]
    fn every_key_that_signed_is_counted_once() {
        let (old, new) = (Pair::new("old"), Pair::new("new"));
        let sets = vec![fetched(9, &[&old, &new]), fetched(11, &[&old, &new])];
        let epoch = Epoch { clock: Monotonic::start(), wall: UnixSeconds(0) };
        let samples = [sample(&old, 99), sample(&new, 99), sample(&new, 98)];
        let published = KeyTimeline { fetched: sets, rotations: Vec::new() };
        assert_eq!(published.judge(&samples, epoch).signing_keys, 2);
    }
}
