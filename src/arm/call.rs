//! A request that has been let in: who asks what, where, with which query.

use bytes::Bytes;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::auth::Actor;
use super::content::Content;
use super::error::ArmError;
use super::route::Route;
use crate::clock::UnixSeconds;
use crate::directory::State;
use crate::world::vault::VaultUris;

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) route: Route,
    pub(super) path: String,
    pub(super) query: Query,
    /// Empty until the caller is let in, and where no content belongs.
    pub(super) body: Bytes,
    pub(super) actor: Actor,
    /// Scheme and authority under which the client knows this service.
    pub(super) base_url: String,
    /// Whether the client wants the resource only if there is none yet (`If-None-Match: *`).
    pub(super) only_new: bool,
    /// Names the write for who asks after it.
    pub(super) operation: String,
    /// Most items of one page of a list.
    pub(super) page_size: usize,
    pub(super) vault_uris: VaultUris,
    pub(super) now: UnixSeconds,
}

impl Call {
    /// The content of the request.
    pub(super) fn content(&self) -> Result<Content, ArmError> {
        Content::parse(&self.body)
    }

    /// That the caller may do `action` at `scope`.
    pub(super) fn require(&self, state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        self.actor.require(state, action, scope, self.now)
    }

    /// Whether the caller may do `action` at `scope`.
    pub(super) fn may(&self, state: &State, action: &str, scope: &str) -> bool {
        self.actor.may(state, action, scope, self.now)
    }
}

/// The query of a request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// What has a meaning in a query, and may be there once.
const NAMES: [&str; 6] = ["api-version", "$expand", "$filter", "$top", "$skiptoken", "monitor"];

impl Query {
    /// The decoded pairs of a query; what cannot be decoded is replaced.
    pub(super) fn parse(text: &str) -> Self {
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(split.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// That nothing with a meaning is there twice: which of the two counts would be a guess.
    pub(super) fn refuse_repeats(&self) -> Result<(), ArmError> {
        let is_repeated = |name: &&str| {
            self.0.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name)).count() > 1
        };
        match NAMES.into_iter().find(is_repeated) {
            Some(name) => Err(ArmError::InvalidQuery(format!(
                "The query parameter '{name}' is given more than once."
            ))),
            None => Ok(()),
        }
    }

    /// The value of a parameter; names ignore case.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The API version, empty if none is given.
    pub(super) fn version(&self) -> &str {
        self.get("api-version").unwrap_or_default()
    }

    /// `$filter`, unless it is empty.
    pub(super) fn filter(&self) -> Option<&str> {
        self.get("$filter").map(str::trim).filter(|filter| !filter.is_empty())
    }

    /// The same query, encoded, for the page that begins at `token`.
    pub(super) fn with_skip_token(&self, token: &str) -> String {
        const KEPT: &AsciiSet =
            &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'$');
        let is_other = |(name, _): &&(String, String)| !name.eq_ignore_ascii_case("$skiptoken");
        let others =
            self.0.iter().filter(is_other).map(|(name, value)| (name.as_str(), value.as_str()));
        let encoded = |text| utf8_percent_encode(text, KEPT).to_string();
        let pairs = others.chain([("$skiptoken", token)]);
        let pairs: Vec<_> =
            pairs.map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn queries_are_decoded_once_and_names_ignore_case() {
        let query = Query::parse("API-Version=1&%24filter=principalId+eq+%27a%2526%27&flag&");
        assert_eq!(query.version(), "1");
        assert_eq!(query.filter(), Some("principalId eq 'a%26'"));
        assert_eq!(query.get("flag"), Some(""));
        assert!(query.refuse_repeats().is_ok());
        assert!(Query::parse("api-version=1&Api-Version=1").refuse_repeats().is_err());
    }

    proptest! {
        #[test]
        fn a_next_link_keeps_the_query(text in "\\PC{0,40}", token in "[A-Za-z0-9_-]{1,20}") {
            let query = Query::parse(&text);
            let next = Query::parse(&query.with_skip_token(&token));
            prop_assert_eq!(next.get("$skiptoken"), Some(token.as_str()));
            prop_assert_eq!(next.version(), query.version());
        }
    }
}
