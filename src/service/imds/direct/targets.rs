//! Targets of token requests that were read before.
//!
//! A target is the path and the query as sent. Its meaning depends on nothing else, so it is read once. Clients
//! choose targets: their number and length are bounded, and the hash has a random seed.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hyper::Uri;

use crate::base::http::PLAIN_TARGET_BYTES_MAX;
use crate::service::broker::TokenRequest;
use crate::service::cache::Freshness;
use crate::service::imds::parameters::Parameters;
use crate::service::imds::query::Query;
use crate::service::imds::route::Route;
use crate::service::world::Selector;

/// Number of sets, a power of two. With [`WAYS`] a worker remembers 16,384 targets: usually in 300 bytes each, and
/// in 30 MB at most.
const SETS: usize = 8192;

/// Number of targets in a set. A new one displaces the oldest.
const WAYS: usize = 2;

/// A target that requests a token.
#[derive(Debug)]
pub(super) struct Target {
    text: Box<str>,
    selector: Option<Selector>,
    resource: Box<str>,
    freshness: Freshness,
}

impl Target {
    /// Reads a target as hyper's path does. Returns `None` if it is refused, or requests something else.
    fn read(text: &str) -> Option<Self> {
        if text.len() > PLAIN_TARGET_BYTES_MAX {
            return None;
        }
        let uri = Uri::try_from(text).ok()?;
        if Route::of(uri.path()) != Some(Route::Token) {
            return None;
        }
        let query = Query::parse(uri.query().unwrap_or_default()).ok()?;
        let Parameters { selector, resource, freshness } = Parameters::read(&query).ok()?;
        Some(Self { text: text.into(), selector, resource: resource.into(), freshness })
    }

    pub(super) fn request(&self) -> TokenRequest<'_> {
        let Self { selector, resource, freshness, .. } = self;
        TokenRequest { selector: selector.as_ref(), resource, freshness: *freshness }
    }
}

/// The targets that a worker remembers.
#[derive(Debug)]
pub(super) struct Targets {
    sets: Box<[[Option<Arc<Target>>; WAYS]]>,
    hash: RandomState,
}

impl Default for Targets {
    fn default() -> Self {
        let sets = (0..SETS).map(|_| <[Option<Arc<Target>>; WAYS]>::default()).collect();
        Self { sets, hash: RandomState::default() }
    }
}

impl Targets {
    /// Returns the target with this text, which is read if it is new. Returns `None` if hyper must look at it.
    pub(super) fn find(&mut self, text: &[u8]) -> Option<&Arc<Target>> {
        let hash = self.hash.hash_one(text);
        // The remainder is below the number of sets.
        let set = self.sets.get_mut(usize::try_from(hash % SETS as u64).unwrap_or(0))?;
        let known = |way: &Target| way.text.as_bytes() == text;
        let at = if let Some(at) = set.iter().position(|way| way.as_deref().is_some_and(known)) {
            at
        } else {
            let read = Target::read(str::from_utf8(text).ok()?)?;
            set.rotate_right(1);
            *set.first_mut()? = Some(Arc::new(read));
            0
        };
        set.get(at)?.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "/metadata/identity/oauth2/token?api-version=2018-02-01";

    #[test]
    fn targets_of_tokens_are_read_and_others_are_left_to_hyper() {
        let mut targets = Targets::default();
        let id = "c11e0000-0000-4000-8000-00000000000a";
        for (target, resource, has_selector) in [
            (
                format!("{PATH}&resource=https%3A%2F%2Fvault.azure.net"),
                "https://vault.azure.net",
                false,
            ),
            (format!("{PATH}&resource=a+b"), "a b", false),
            (format!("{PATH}&resource=a&client_id={id}"), "a", true),
            (format!("{PATH}&resource=a&unknown=1&bypass_cache=true"), "a", false),
            (
                PATH.replace("2018-02-01", "2023-07-01") + "&resource=a&bypass_cache=true",
                "a",
                false,
            ),
            (PATH.replace("metadata", "Metadata") + "&resource=a", "a", false),
            (PATH.replace("token?", "token/?") + "&resource=a", "a", false),
        ] {
            for _ in 0..2 {
                let read = targets.find(target.as_bytes()).unwrap();
                let request = read.request();
                let found = (request.resource, request.selector.is_some());
                assert_eq!(found, (resource, has_selector), "{target}");
            }
        }
        for target in [
            PATH.to_owned(),
            format!("{PATH}&resource="),
            format!("{PATH}&resource=a&resource=a"),
            format!("{PATH}&resource=%FF"),
            format!("{PATH}&resource=a&client_id=nobody"),
            format!("{PATH}&resource=a&client_id={id}&object_id={id}"),
            format!("{PATH}&resource=a&client%5Fid={id}"),
            format!("{PATH}&resource={}", "a".repeat(PLAIN_TARGET_BYTES_MAX)),
            PATH.replace("2018-02-01", "2023-07-01") + "&resource=a&bypass_cache=1",
            PATH.replace("2018-02-01", "2017-12-01") + "&resource=a",
            PATH.replace("token?", "token//?") + "&resource=a",
            PATH.replace("identity", "Identity") + "&resource=a",
            "/metadata/identity/info?api-version=2018-02-01".to_owned(),
            "/metadata/instance?api-version=2018-02-01&resource=a".to_owned(),
        ] {
            assert!(targets.find(target.as_bytes()).is_none(), "{target}");
        }
    }

    #[test]
    fn more_targets_than_fit_displace_each_other_and_are_read_again() {
        let mut targets = Targets::default();
        for number in 0..5 * SETS {
            let resource = format!("r{number}");
            let target = format!("{PATH}&resource={resource}");
            assert_eq!(targets.find(target.as_bytes()).unwrap().request().resource, resource);
        }
        let held: usize = targets.sets.iter().flatten().flatten().count();
        assert!(held > SETS && held <= SETS * WAYS, "{held}");
        let first = format!("{PATH}&resource=r0");
        assert_eq!(targets.find(first.as_bytes()).unwrap().request().resource, "r0");
    }

    proptest! {
        #[test]
        fn a_target_means_the_same_whenever_it_is_found(
            queries in proptest::collection::vec("(&(resource|client_id|x)=[a-c%+0-9]{0,4}|&bypass_cache=true){0,3}", 1..20),
        ) {
            let mut targets = Targets::default();
            for query in queries.iter().chain(&queries) {
                let target = format!("{PATH}{query}").replace("2018-02-01", "2023-07-01");
                let read = Target::read(&target);
                let read = read.map(|read| (read.selector, read.resource, read.freshness));
                let found = targets.find(target.as_bytes());
                let found = found.map(|found| {
                    (found.selector.clone(), found.resource.clone(), found.freshness)
                });
                prop_assert_eq!(found, read);
            }
        }
    }
}
