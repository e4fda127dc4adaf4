//! Targets of token requests that were read before.
//!
//! A target is the path and the query as sent. Its meaning depends on nothing else, so it is read once. Clients
//! choose targets: their number and length are bounded, and the hash has a random seed.
//!
//! Targets that differ only in the client id of the identity are remembered as one. So the memory does not grow with
//! the number of identities, and a client id that is new costs no more than a known one.

use std::hash::{BuildHasher as _, Hasher as _};

use foldhash::fast::RandomState;
use hyper::Uri;

use crate::base::http::PLAIN_TARGET_BYTES_MAX;
use crate::base::ids::ClientId;
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

/// End of a parameter before the client id, its name, and the sign before the value.
const CLIENT_ID: &[u8] = b"&client_id=";

/// Length of a client id.
const ID_BYTES: usize = 36;

/// Position of the client id in targets of clients that sort the parameters, as azidentity for Go does. Other SDKs
/// write it last.
const SORTED_AT: usize = "/metadata/identity/oauth2/token?api-version=2018-02-01&client_id=".len();

/// The target of a request: a client id, and what is before and after it.
#[derive(Clone, Copy)]
struct Sent<'a> {
    before: &'a [u8],
    /// The client id, if there is one in a usual place.
    client_id: Option<ClientId>,
    after: &'a [u8],
}

impl<'a> Sent<'a> {
    fn of(text: &'a [u8]) -> Self {
        let last = text.len().wrapping_sub(ID_BYTES);
        let whole = Self { before: text, client_id: None, after: &[] };
        Self::split(text, last).or_else(|| Self::split(text, SORTED_AT)).unwrap_or(whole)
    }

    /// Splits at the client id that begins at `at`. Returns `None` if there is none.
    fn split(text: &'a [u8], at: usize) -> Option<Self> {
        let (before, rest) = text.split_at_checked(at)?;
        if !before.ends_with(CLIENT_ID) {
            return None;
        }
        let (id, after) = rest.split_at_checked(ID_BYTES)?;
        let client_id = str::from_utf8(id).ok()?.parse().ok()?;
        let is_whole = matches!(after, [] | [b'&', ..]);
        is_whole.then_some(Self { before, client_id: Some(client_id), after })
    }
}

/// A target that requests a token.
#[derive(Debug)]
struct Target {
    before: Box<[u8]>,
    after: Box<[u8]>,
    /// True if a client id is between the two parts.
    has_client_id: bool,
    /// Another selector, or none.
    selector: Option<Selector>,
    resource: Box<str>,
    freshness: Freshness,
}

impl Target {
    /// Reads a target as hyper's path does. Returns `None` if it is refused, requests something else, or has a
    /// fragment: a client id in the fragment is no part of the query.
    fn read(text: &str, sent: &Sent<'_>) -> Option<Self> {
        if text.len() > PLAIN_TARGET_BYTES_MAX || text.contains('#') {
            return None;
        }
        let uri = Uri::try_from(text).ok()?;
        if Route::of(uri.path()) != Some(Route::Token) {
            return None;
        }
        let query = Query::parse(uri.query().unwrap_or_default()).ok()?;
        let Parameters { selector, resource, freshness } = Parameters::read(&query).ok()?;
        let has_client_id = sent.client_id.is_some();
        Some(Self {
            before: sent.before.into(),
            after: sent.after.into(),
            has_client_id,
            selector: selector.filter(|_| !has_client_id),
            resource: resource.into(),
            freshness,
        })
    }

    fn is_like(&self, sent: &Sent<'_>) -> bool {
        self.has_client_id == sent.client_id.is_some()
            && *self.before == *sent.before
            && *self.after == *sent.after
    }
}

/// The meaning of a target.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    target: &'a Target,
    client_id: Option<Selector>,
}

impl Meaning<'_> {
    pub(super) fn request(&self) -> TokenRequest<'_> {
        TokenRequest {
            selector: self.client_id.as_ref().or(self.target.selector.as_ref()),
            resource: &self.target.resource,
            freshness: self.target.freshness,
        }
    }
}

/// The targets that a worker remembers.
#[derive(Debug)]
pub(super) struct Targets {
    sets: Box<[[Option<Box<Target>>; WAYS]]>,
    hash: RandomState,
}

impl Default for Targets {
    fn default() -> Self {
        let sets = (0..SETS).map(|_| <[Option<Box<Target>>; WAYS]>::default()).collect();
        Self { sets, hash: RandomState::default() }
    }
}

impl Targets {
    /// Returns the meaning of the target with this text, which is read if it is new. Returns `None` if hyper must look
    /// at it.
    pub(super) fn find(&mut self, text: &[u8]) -> Option<Meaning<'_>> {
        let sent = Sent::of(text);
        let mut hasher = self.hash.build_hasher();
        hasher.write(sent.before);
        if !sent.after.is_empty() {
            hasher.write(sent.after);
        }
        // The remainder is below the number of sets.
        let ways =
            self.sets.get_mut(usize::try_from(hasher.finish() % SETS as u64).unwrap_or(0))?;
        let is_like =
            |way: &Option<Box<Target>>| way.as_ref().is_some_and(|way| way.is_like(&sent));
        let at = if let Some(at) = ways.iter().position(is_like) {
            at
        } else {
            let read = Target::read(str::from_utf8(text).ok()?, &sent)?;
            ways.rotate_right(1);
            *ways.first_mut()? = Some(Box::new(read));
            0
        };
        let target = ways.get(at)?.as_deref()?;
        Some(Meaning { target, client_id: sent.client_id.map(Selector::ClientId) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATH: &str = "/metadata/identity/oauth2/token?api-version=2018-02-01";

    /// Returns the target with an api-version that knows `bypass_cache`.
    fn since_bypass(target: &str) -> String {
        target.replace("2018-02-01", "2023-07-01")
    }

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
            (format!("{}&resource=a&bypass_cache=true", since_bypass(PATH)), "a", false),
            (PATH.replace("metadata", "Metadata") + "&resource=a", "a", false),
            (PATH.replace("token?", "token/?") + "&resource=a", "a", false),
        ] {
            for _ in 0..2 {
                let found = targets.find(target.as_bytes()).unwrap();
                let request = found.request();
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
            format!("{PATH}&resource=a#&client_id={id}"),
            format!("{PATH}&client_id={id}#&resource=a&client_id={id}"),
            format!("{PATH}&resource={}", "a".repeat(PLAIN_TARGET_BYTES_MAX)),
            since_bypass(PATH) + "&resource=a&bypass_cache=1",
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

    #[test]
    fn identities_share_a_target_wherever_sdks_write_their_client_ids() {
        let mut targets = Targets::default();
        for number in 0..100_u8 {
            let id = ClientId::from_bytes([number; 16]);
            let upper = id.to_string().to_uppercase();
            for target in [
                format!("{PATH}&resource=a&client_id={id}"),
                format!("{PATH}&client_id={id}&resource=a"),
                format!("{PATH}&client_id={upper}&resource=a"),
            ] {
                let found = targets.find(target.as_bytes()).unwrap();
                let request = found.request();
                assert_eq!(request.selector, Some(&Selector::ClientId(id)), "{target}");
                assert_eq!(request.resource, "a");
            }
        }
        assert_eq!(targets.sets.iter().flatten().flatten().count(), 2);
    }

    #[test]
    fn what_only_looks_like_a_client_id_is_read_as_it_is() {
        let id = "c11e0000-0000-4000-8000-00000000000a";
        let mut targets = Targets::default();
        let known = format!("{PATH}&resource=a&client_id={id}");
        assert!(targets.find(known.as_bytes()).is_some());
        for target in [
            known.replace(id, ""),
            known.replace(id, &"x".repeat(36)),
            known.replace(id, &format!("{id}0")),
            known.replace(id, &id[1..]),
            known.replace("&client_id", "&Client_id").replace("resource=a", "resource="),
            format!("{PATH}&client_id={id}{id}&resource=a"),
            format!("{PATH}&resource=a&client_id={id}&client_id={id}"),
            format!("{PATH}&client_id={id}&resource=a&client_id={id}"),
        ] {
            assert!(targets.find(target.as_bytes()).is_none(), "{target}");
        }
        let other = known.replace("&client_id", "&xclient_id");
        assert_eq!(targets.find(other.as_bytes()).unwrap().request().selector, None);
    }

    /// Reads a target as hyper's path does, without memory.
    fn meaning(target: &str) -> Option<(Option<Selector>, String, Freshness)> {
        let whole = Sent { before: target.as_bytes(), client_id: None, after: &[] };
        Target::read(target, &whole)
            .map(|read| (read.selector, read.resource.into(), read.freshness))
    }

    proptest! {
        #[test]
        fn a_target_means_the_same_whenever_it_is_found(
            queries in proptest::collection::vec(
                "(&(resource|client_id|object_id|x)=([a-c%+#0-9]{0,4}|c11e0000-0000-4000-8000-0000000000[0Aa][0-9]{1,2})|&bypass_cache=true){0,3}",
                1..20,
            ),
        ) {
            let mut targets = Targets::default();
            for query in queries.iter().chain(&queries) {
                let target = since_bypass(PATH) + query;
                let found = targets.find(target.as_bytes());
                let found = found.map(|found| {
                    let TokenRequest { selector, resource, freshness } = found.request();
                    (selector.cloned(), resource.to_owned(), freshness)
                });
                prop_assert_eq!(found, meaning(&target));
            }
        }
    }
}
