//! Where requests go.

use std::net::{SocketAddr, ToSocketAddrs};
use std::str::FromStr;

/// The token path of the Azure Instance Metadata Service.
pub const TOKEN_PATH: &str = "/metadata/identity/oauth2/token";

/// An `http` URL, resolved to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// Where to connect.
    pub address: SocketAddr,
    /// Host and port as written, for the `Host` header.
    pub authority: String,
    /// The path, empty when none was written.
    pub path: String,
}

/// Why a URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("`{0}` is not a plain http URL; write http://HOST[:PORT][/PATH]")]
    Scheme(String),
    /// No address for the host.
    #[error("the host of `{url}` cannot be resolved")]
    Resolve {
        /// The URL.
        url: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// The resolver gave an empty answer.
    #[error("the host of `{0}` has no address")]
    NoAddress(String),
}

impl FromStr for HttpUrl {
    type Err = UrlError;

    /// Resolves the host name, if it is one, at once.
    fn from_str(url: &str) -> Result<Self, UrlError> {
        let rest = url.strip_prefix("http://").ok_or_else(|| UrlError::Scheme(url.to_owned()))?;
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let clean = |byte: u8| byte.is_ascii_graphic();
        if authority.is_empty() || authority.contains('@') || !rest.bytes().all(clean) {
            return Err(UrlError::Scheme(url.to_owned()));
        }
        let path = if path == "/" { "" } else { path };
        let address = resolve(authority, url)?;
        Ok(Self { address, authority: authority.to_owned(), path: path.to_owned() })
    }
}

fn resolve(authority: &str, url: &str) -> Result<SocketAddr, UrlError> {
    let after_host = authority.rsplit(']').next().unwrap_or(authority);
    let with_port =
        if after_host.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut addresses = with_port
        .to_socket_addrs()
        .map_err(|source| UrlError::Resolve { url: url.to_owned(), source })?;
    addresses.next().ok_or_else(|| UrlError::NoAddress(url.to_owned()))
}

impl std::fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url: HttpUrl = "http://127.0.0.1:8080/a/b".parse().unwrap();
        assert_eq!(url.address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((url.authority.as_str(), url.path.as_str()), ("127.0.0.1:8080", "/a/b"));
        let bare: HttpUrl = "http://[::1]/".parse().unwrap();
        assert_eq!((bare.address.port(), bare.path.as_str()), (80, ""));
        assert_eq!(bare.to_string(), "http://[::1]");
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        for text in ["", "localhost", "https://localhost", "http://", "http:///x", "http://a b/"] {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
    }
}
