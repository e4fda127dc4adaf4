//! The targets of requests.

use std::fmt;
use std::sync::Arc;

use super::protocol::{Dialect, Protocol};
use super::trust::Trusted;
use super::url::HttpUrl;

/// A server, with the settings that are needed to get tokens from it.
#[derive(Clone, Debug)]
pub struct Target {
    /// The URL of the server.
    pub url: HttpUrl,
    /// The protocol of the requests.
    pub dialect: Arc<Dialect>,
    /// The trusted certificate authorities; none if nothing is requested over TLS.
    pub trusted: Option<Trusted>,
}

impl Target {
    /// Returns an IMDS target without TLS.
    pub fn imds(url: HttpUrl) -> Self {
        Self { url, dialect: Arc::new(Dialect::Imds), trusted: None }
    }

    /// Returns true if the certificate of the server is accepted unchecked.
    pub fn is_unchecked(&self) -> bool {
        self.trusted.as_ref().is_some_and(|trusted| !trusted.is_checked())
    }

    /// Returns the requested URL, with the default path of the protocol if it has none. The query is
    /// left out, because some servers take a key there.
    pub fn requested_url(&self) -> String {
        HttpUrl { path: self.path(), ..self.url.clone() }.to_string()
    }

    /// Returns the path of the URL, or the default path of the protocol if the URL has none.
    pub(super) fn path(&self) -> String {
        if self.url.path.is_empty() { self.dialect.default_path() } else { self.url.path.clone() }
    }
}

impl fmt::Display for Target {
    /// Formats the target as on the command line, without the name of the default protocol.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.dialect.protocol() {
            Protocol::Imds => self.url.fmt(f),
            protocol => write!(f, "{protocol}+{}", self.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_has_the_path_of_its_protocol_and_no_query() {
        let requested = |url: &str| Target::imds(url.parse().unwrap()).requested_url();
        assert_eq!(
            requested("http://127.0.0.1"),
            "http://127.0.0.1/metadata/identity/oauth2/token"
        );
        assert_eq!(requested("http://127.0.0.1/own?code=hush"), "http://127.0.0.1/own");
    }
}
