//! Origins of requests, and connecting to them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hyper::Uri;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use crate::base::http::Scheme;

/// Scheme, host and port of a URL (RFC 6454 section 4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// Scheme, which selects plain HTTP or TLS.
    pub(super) scheme: Scheme,
    /// A name in lower case, or an address without brackets.
    pub(super) host: String,
    port: u16,
    /// Host and port as in the URL.
    authority: String,
}

impl Origin {
    /// Returns the origin of an absolute URL, unless it contains a user name.
    pub(crate) fn of(url: &Uri) -> Option<Self> {
        let scheme = url.scheme_str()?;
        let scheme =
            [Scheme::Http, Scheme::Https].into_iter().find(|one| one.as_str() == scheme)?;
        let authority = url.authority().filter(|authority| !authority.as_str().contains('@'))?;
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = address.unwrap_or(host).to_ascii_lowercase();
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => scheme.default_port(),
            _ => authority.port_u16()?,
        };
        let authority = authority.as_str().to_ascii_lowercase();
        (!host.is_empty()).then_some(Self { scheme, host, port, authority })
    }

    /// Returns host and port, as in the `Host` header.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Returns true if both have the same host and port.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }

    /// Connects over TCP to the first address that accepts. `limit` is the time for all addresses together.
    pub(super) async fn connect(&self, limit: Duration) -> io::Result<TcpStream> {
        if self.host == "localhost" || self.host.ends_with(".localhost") {
            // Such names mean this machine (RFC 6761 section 6.3), but not every resolver knows them.
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            return first_of(&loopback.map(|ip| (ip, self.port).into()), limit).await;
        }
        let addresses = lookup_host((self.host.as_str(), self.port)).await?;
        first_of(&addresses.collect::<Vec<_>>(), limit).await
    }
}

/// Connects to the first address that accepts. Each address has a share of `limit`, so that a silent one
/// leaves time for the next. The caller limits the time of the last address.
pub(super) async fn first_of(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let Some((last, before)) = addresses.split_last() else {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    };
    let share = limit / u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in before {
        if let Ok(Ok(stream)) = timeout(share, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    TcpStream::connect(last).await
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Option<(String, u16)> {
        let origin = Origin::of(&url.parse().unwrap())?;
        Some((origin.host, origin.port))
    }

    #[test]
    fn an_origin_has_the_port_of_its_scheme_unless_it_names_another() {
        assert_eq!(of("http://LocalHost/a?b"), Some(("localhost".to_owned(), 80)));
        assert_eq!(of("https://[::1]"), Some(("::1".to_owned(), 443)));
        assert_eq!(of("https://[::1]:8443/"), Some(("::1".to_owned(), 8443)));
    }

    #[test]
    fn origins_are_at_one_place_if_host_and_port_are_equal() {
        let is_at = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|url| Origin::of(&url.parse().unwrap()).unwrap());
            one.is_at(&other)
        };
        assert!(is_at("https://Host/a", "https://host:443/b"));
        assert!(is_at("https://host:80", "http://host"));
        for other in ["https://host:8443", "https://a.host", "http://host", "https://127.0.0.1"] {
            assert!(!is_at("https://host", other), "{other}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_service_has_no_origin() {
        for url in ["/path", "ftp://host/", "http://me@host/", "host:80", "http://host:99999/"] {
            assert_eq!(of(url), None, "{url}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_silent_leaves_time_for_the_next() {
        use socket2::{Domain, Socket, Type};
        let full = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        full.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        full.listen(0).unwrap();
        let silent = full.local_addr().unwrap().as_socket().unwrap();
        // The queue has room for one connection. The system drops later ones.
        let _queued = TcpStream::connect(silent).await.unwrap();
        let open = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = open.local_addr().map(|address| (address, open)).unwrap();
        let limit = Duration::from_millis(100);
        let stream = first_of(&[silent, open.0], limit).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open.0);
    }
}
