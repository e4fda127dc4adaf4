//! URLs of servers, resolved to addresses.

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::str::FromStr;
use std::time::Duration;

use crate::base::http::Scheme;
use crate::base::secret::shown_url;

/// An `http` or `https` URL, resolved to the addresses of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpUrl {
    /// The scheme.
    pub scheme: Scheme,
    /// The address to connect to.
    pub address: SocketAddr,
    /// Further addresses of the host, in the resolver's order.
    pub others: Vec<SocketAddr>,
    /// Host and port for the `Host` header, in lower case.
    pub authority: String,
    /// The path, empty when none was written.
    pub path: String,
}

/// The reason why a URL cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The scheme is another one, or missing.
    #[error(
        "`{0}` is not an http or https URL that can be used; write http[s]://HOST[:PORT][/PATH]"
    )]
    Scheme(String),
    /// The port does not exist.
    #[error("the port of `{0}` is not a number from 1 to 65535")]
    Port(String),
    /// The URL has a user before the host, or a fragment behind the path. Neither is sent.
    #[error("`{url}` has {what}, which is not sent; leave it out")]
    Unsent {
        /// The URL.
        url: String,
        /// The part that is not sent.
        what: &'static str,
    },
    /// The host has no address.
    #[error("the host of `{url}` cannot be resolved")]
    Resolve {
        /// The URL.
        url: String,
        /// The error of the resolver.
        source: std::io::Error,
    },
    /// The resolver returned no address.
    #[error("the host of `{0}` has no address")]
    NoAddress(String),
}

impl FromStr for HttpUrl {
    type Err = UrlError;

    /// Parses a URL and resolves its host name, if it has one. Scheme and host may be in any case
    /// (RFC 3986 section 6.2.2.1).
    fn from_str(url: &str) -> Result<Self, UrlError> {
        let wrong = || UrlError::Scheme(shown_url(url));
        let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(scheme))
            .ok_or_else(wrong)?;
        let (authority, path) = match rest.find(['/', '?']) {
            Some(end) => rest.split_at(end),
            None => (rest, ""),
        };
        // Such a URL (RFC 9110 sections 4.2.4 and 7.1) cannot do what its author meant.
        let unsent = |what| UrlError::Unsent { url: shown_url(url), what };
        if rest.contains('#') {
            return Err(unsent("a fragment (#...)"));
        }
        if authority.contains('@') {
            return Err(unsent("a user or password before its host"));
        }
        if authority.is_empty() || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(wrong());
        }
        let path = match path {
            "/" => String::new(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        let (address, others) = resolve(scheme, authority, url)?;
        Ok(Self { scheme, address, others, authority: authority.to_ascii_lowercase(), path })
    }
}

/// Returns the first address of the host, and the other addresses, each once.
fn resolve(
    scheme: Scheme,
    authority: &str,
    url: &str,
) -> Result<(SocketAddr, Vec<SocketAddr>), UrlError> {
    let after_host = authority.rsplit(']').next().unwrap_or(authority);
    let port = scheme.default_port();
    let with_port = match after_host.split_once(':') {
        None => format!("{authority}:{port}"),
        Some((_, port)) if port.parse().is_ok_and(|port: u16| port > 0) => authority.to_owned(),
        Some(_) => return Err(UrlError::Port(shown_url(url))),
    };
    let mut addresses = with_port
        .to_socket_addrs()
        .map_err(|source| UrlError::Resolve { url: shown_url(url), source })?;
    let first = addresses.next().ok_or_else(|| UrlError::NoAddress(shown_url(url)))?;
    let mut others = Vec::new();
    for address in addresses {
        if address != first && !others.contains(&address) {
            others.push(address);
        }
    }
    Ok((first, others))
}

/// Timeout for each address of a host that has several: long for a network, short for a user.
const TRY_TIMEOUT: Duration = Duration::from_secs(2);

impl HttpUrl {
    /// Moves to the first address that accepts a connection, as clients do. A single address is not
    /// tried. If no address accepts a connection, nothing changes.
    #[must_use]
    pub fn reached(mut self) -> Self {
        let takes = |address: &SocketAddr| TcpStream::connect_timeout(address, TRY_TIMEOUT).is_ok();
        if self.others.is_empty() || takes(&self.address) {
            return self;
        }
        if let Some(found) = self.others.iter().position(takes) {
            let silent = std::mem::replace(&mut self.address, self.others.remove(found));
            self.others.insert(0, silent);
        }
        self
    }

    /// Returns the URL, with the addresses of its host if the URL does not show them.
    pub(crate) fn with_addresses(&self) -> String {
        if self.host().parse::<IpAddr>().is_ok() {
            return self.to_string();
        }
        let addresses = std::iter::once(&self.address).chain(&self.others);
        let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
        format!("{self} at {}", addresses.join(" or "))
    }

    /// Returns the host without brackets and port: the name that a certificate must be for.
    pub(super) fn host(&self) -> &str {
        match self.authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.authority.split(':').next().unwrap_or_default(),
        }
    }

    /// Returns the whole URL with its query, for exact uses. It must never be displayed.
    pub(super) fn whole(&self) -> String {
        format!("{}://{}{}", self.scheme.as_str(), self.authority, self.path)
    }
}

impl fmt::Display for HttpUrl {
    /// Formats the URL without its query, because some servers take a key there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown_url(&self.whole()))
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
        assert_eq!((bare.to_string().as_str(), bare.host()), ("http://[::1]", "::1"));
        let secure: HttpUrl = "https://127.0.0.1?a=b".parse().unwrap();
        assert_eq!((secure.address.port(), secure.path.as_str()), (443, "/?a=b"));
        assert_eq!((secure.scheme, secure.host()), (Scheme::Https, "127.0.0.1"));
    }

    #[test]
    fn scheme_and_host_may_be_in_capitals_and_the_path_keeps_its_own() {
        let url: HttpUrl = "HtTpS://LOCALHOST:81/A?B".parse().unwrap();
        assert_eq!(url.whole(), "https://localhost:81/A?B");
    }

    #[test]
    fn the_first_address_that_takes_a_connection_is_measured_and_the_others_are_kept() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let open = listener.local_addr().unwrap();
        // A bound port on which nobody listens refuses connections.
        let idle =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        idle.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        let closed = idle.local_addr().unwrap().as_socket().unwrap();
        let at = |address, others: &[SocketAddr]| HttpUrl {
            address,
            others: others.to_vec(),
            ..format!("http://{closed}").parse().unwrap()
        };
        let reached = at(closed, &[closed, open]).reached();
        assert_eq!((reached.address, reached.others), (open, vec![closed, closed]));
        assert_eq!(at(open, &[closed]).reached(), at(open, &[closed]));
        assert_eq!(at(closed, &[closed]).reached(), at(closed, &[closed]));
    }

    #[test]
    fn a_host_name_is_shown_with_its_addresses() {
        let url: HttpUrl = "http://127.0.0.1:8".parse().unwrap();
        assert_eq!(url.with_addresses(), "http://127.0.0.1:8");
        let others = vec!["127.0.0.2:8".parse().unwrap()];
        let named = HttpUrl { authority: "two.example:8".to_owned(), others, ..url };
        assert_eq!(named.with_addresses(), "http://two.example:8 at 127.0.0.1:8 or 127.0.0.2:8");
    }

    #[test]
    fn neither_a_query_nor_a_password_is_shown() {
        let url: HttpUrl = "http://127.0.0.1/p?code=hush".parse().unwrap();
        assert_eq!(
            (url.to_string().as_str(), url.path.as_str()),
            ("http://127.0.0.1/p", "/p?code=hush")
        );
        assert_eq!(url.whole(), "http://127.0.0.1/p?code=hush");
        for text in ["http://u:hush@h/", "http://u:hush@[::1", "http://[::1/?hush", "ftp://h?hush"]
        {
            let error = text.parse::<HttpUrl>().unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn other_schemes_and_nonsense_are_refused() {
        let nonsense = ["", "localhost", "ftp://localhost", "http://", "http:///x", "http://a b/"];
        for text in nonsense.iter().chain(&["https://", "http://a/#b", "HTTP//x", "http://u@h/"]) {
            assert!(text.parse::<HttpUrl>().is_err(), "{text}");
        }
    }
}
