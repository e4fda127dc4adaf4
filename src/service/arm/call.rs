//! An admitted request: caller, path, query and content.

use bytes::Bytes;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::auth::Actor;
use super::content::Content;
use super::error::ArmError;
use super::route::Route;
use crate::base::clock::UnixSeconds;
use crate::service::directory::State;
use crate::service::world::vault::VaultUris;

/// A request.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) route: Route,
    pub(super) path: String,
    pub(super) query: Query,
    /// Empty until the caller is admitted, and for methods without content.
    pub(super) body: Bytes,
    pub(super) actor: Actor,
    /// Scheme and authority that the client used for this service.
    pub(super) base_url: String,
    /// True if the client wants to create the resource only if it does not exist (`If-None-Match: *`).
    pub(super) only_new: bool,
    /// Id of the write, for clients that poll its state.
    pub(super) operation: String,
    /// Largest number of items on one page of a list.
    pub(super) page_size: usize,
    pub(super) vault_uris: VaultUris,
    pub(super) now: UnixSeconds,
}

impl Call {
    /// Parses the content of the request.
    pub(super) fn content(&self) -> Result<Content, ArmError> {
        Content::parse(&self.body)
    }

    /// Checks that the caller may do `action` at `scope`.
    pub(super) fn require(&self, state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        self.actor.require(state, action, scope, self.now)
    }

    /// Returns true if the caller may do `action` at `scope`.
    pub(super) fn may(&self, state: &State, action: &str, scope: &str) -> bool {
        self.actor.may(state, action, scope, self.now)
    }
}

/// The query of a request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

/// Names of the parameters with a meaning. Each may occur once.
const NAMES: [&str; 6] = ["api-version", "$expand", "$filter", "$top", "$skiptoken", "monitor"];

impl Query {
    /// Decodes the pairs of a query. Bytes that are not UTF-8 are replaced.
    pub(super) fn parse(text: &str) -> Self {
        let decoded = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        let split = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        Self(split.map(|(name, value)| (decoded(name), decoded(value))).collect())
    }

    /// Refuses a query that repeats a parameter with a meaning, because the intended value is unknown.
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

    /// Returns the value of a parameter. The case of its name is ignored.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the API version, empty if none is given.
    pub(super) fn version(&self) -> &str {
        self.get("api-version").unwrap_or_default()
    }

    /// Returns `$filter`, unless it is empty.
    pub(super) fn filter(&self) -> Option<&str> {
        self.get("$filter").map(str::trim).filter(|filter| !filter.is_empty())
    }

    /// Returns the same query, encoded, for the page that begins at `token`.
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
