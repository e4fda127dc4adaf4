//! An admitted request: caller, path, query and content.

use bytes::Bytes;
use hyper::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::auth::Actor;
use super::content::Content;
use super::route::Route;
use crate::base::clock::UnixSeconds;
use crate::base::http::pairs;
use crate::service::arm::error::ArmError;
use crate::service::directory::State;
use crate::service::world::vault::VaultUris;

/// A request.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) route: Route,
    pub(crate) path: String,
    pub(crate) query: Query,
    /// Empty until the caller is admitted, and for methods without content.
    pub(crate) body: Bytes,
    pub(crate) actor: Actor,
    /// Scheme and authority that the client used for this service.
    pub(crate) base_url: String,
    /// True if the client wants to create the resource only if it does not exist (`If-None-Match: *`).
    pub(crate) only_new: bool,
    /// Id of the write, for clients that poll its state.
    pub(crate) operation: String,
    /// Largest number of items on one page of a list.
    pub(crate) page_size: usize,
    pub(crate) vault_uris: VaultUris,
    pub(crate) now: UnixSeconds,
}

impl Call {
    /// Parses the content of the request.
    pub(crate) fn content(&self) -> Result<Content, ArmError> {
        Content::parse(&self.body)
    }

    /// Checks that the caller may do `action` at `scope`.
    pub(crate) fn require(&self, state: &State, action: &str, scope: &str) -> Result<(), ArmError> {
        self.actor.require(state, action, scope, self.now)
    }

    /// Returns true if the caller may do `action` at `scope`.
    pub(crate) fn may(&self, state: &State, action: &str, scope: &str) -> bool {
        self.actor.may(state, action, scope, self.now)
    }
}

/// The query of a request, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// Names of the parameters with a meaning. Each may occur once.
const NAMES: [&str; 6] = ["api-version", "$expand", "$filter", "$top", "$skiptoken", "monitor"];

impl Query {
    /// Decodes the pairs of a query. Bytes that are not UTF-8 are replaced.
    pub(crate) fn parse(text: &str) -> Self {
        let decoded = pairs(text).map(|(name, value)| (name.decode_lossy(), value.decode_lossy()));
        Self(decoded.collect())
    }

    /// Refuses a query that repeats a parameter with a meaning, because the intended value is unknown.
    pub(crate) fn refuse_repeats(&self) -> Result<(), ArmError> {
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
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Returns the API version, empty if none is given.
    pub(crate) fn version(&self) -> &str {
        self.get("api-version").unwrap_or_default()
    }

    /// Returns `$filter`, unless it is empty.
    pub(crate) fn filter(&self) -> Option<&str> {
        self.get("$filter").map(str::trim).filter(|filter| !filter.is_empty())
    }

    /// Returns the same query, encoded, for the page that begins at `token`.
    pub(crate) fn with_skip_token(&self, token: &str) -> String {
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
