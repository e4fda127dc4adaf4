//! The host of a request: the rules of each surface, and their check.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use hyper::Uri;
use hyper::header::{HOST, HeaderMap};
use hyper::http::uri::Scheme;

/// Hosts that a surface accepts, and the check of a request against them.
#[derive(Clone, Debug)]
pub(crate) struct HostRules {
    accepted: Accepted,
    syntax: Option<HostSyntax>,
}

#[derive(Clone, Debug)]
enum Accepted {
    /// Every host.
    Any,
    /// IP addresses, `localhost` and these names.
    Local(HostNames),
    /// These names only.
    Named(HostNames),
}

/// Characters and length of the hosts that a surface accepts, because links and ids in its answers contain
/// the host. Letters and digits are always accepted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostSyntax {
    pub(crate) bytes_max: usize,
    /// Other accepted characters.
    pub(crate) punctuation: &'static [u8],
}

impl HostSyntax {
    fn fits(self, host: &str) -> bool {
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || self.punctuation.contains(&byte);
        (1..=self.bytes_max).contains(&host.len()) && host.bytes().all(is_byte)
    }
}

impl HostRules {
    /// Accepts every host, for a surface that authenticates its callers.
    pub(crate) const fn any() -> Self {
        Self { accepted: Accepted::Any, syntax: None }
    }

    /// Accepts IP addresses, `localhost` and `names`. No foreign DNS server answers for these, unless the
    /// operator wants it. A web page whose own name was re-bound to an address of this machine still sends
    /// its own name and is refused.
    pub(crate) const fn local(names: HostNames) -> Self {
        Self { accepted: Accepted::Local(names), syntax: None }
    }

    /// Accepts `names` only.
    pub(crate) const fn named(names: HostNames) -> Self {
        Self { accepted: Accepted::Named(names), syntax: None }
    }

    /// Accepts only hosts of this syntax.
    pub(crate) fn with_syntax(self, syntax: HostSyntax) -> Self {
        Self { syntax: Some(syntax), ..self }
    }

    /// Returns the single `Host` of a request if it is accepted (RFC 9112 section 3.2). Returns `None` when
    /// there is none or more than one, or when the target is absolute and names another authority.
    pub(crate) fn check<'a>(&self, headers: &'a HeaderMap, target: &Uri) -> Option<Host<'a>> {
        self.accept(sole_host(headers, target)?)
    }

    /// Returns the single `Host` of a request for a path, if it is accepted.
    pub(crate) fn accept<'a>(&self, host: &'a str) -> Option<Host<'a>> {
        let is_accepted = match &self.accepted {
            Accepted::Any => true,
            Accepted::Local(names) => names.admit(host),
            Accepted::Named(names) => names.contain(host),
        };
        let fits = || self.syntax.is_none_or(|syntax| syntax.fits(host));
        (is_accepted && fits()).then_some(Host(host))
    }
}

/// Host of a request: a name or an address, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Host<'a>(&'a str);

impl<'a> Host<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Returns the host as sent.
    pub(crate) const fn as_str(self) -> &'a str {
        self.0
    }

    /// Returns the host without its port. An IPv6 address keeps its brackets.
    pub(crate) fn name(self) -> &'a str {
        split(self.0).0
    }

    /// Returns the address, if the host is one.
    pub(crate) fn address(self) -> Option<IpAddr> {
        let name = self.name();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(name).parse().ok()
    }
}

/// Names that the operator allows clients to use for a surface, besides addresses and `localhost`. In a name
/// `*.example` the star is one label.
#[derive(Clone, Debug, Default)]
pub struct HostNames(Arc<[String]>);

impl HostNames {
    /// Creates the list from these names.
    pub fn new(names: &[String]) -> Self {
        Self(names.into())
    }

    /// Returns true if a `Host`, with or without a port, is one of the names, an IP address or `localhost`.
    fn admit(&self, host: &str) -> bool {
        let (name, _) = split(host);
        is_local(name) || self.0.iter().any(|own| matches(own, name))
    }

    /// Returns true if a `Host` is one of the names.
    pub(crate) fn contain(&self, host: &str) -> bool {
        let (name, _) = split(host);
        self.0.iter().any(|own| matches(own, name))
    }
}

fn matches(own: &str, name: &str) -> bool {
    match (own.strip_prefix("*."), name.split_once('.')) {
        (Some(own), Some((label, name))) => !label.is_empty() && own.eq_ignore_ascii_case(name),
        _ => own.eq_ignore_ascii_case(name),
    }
}

/// Returns true if a host name is an IP address or `localhost`. An IPv6 address is in brackets, without a
/// zone (RFC 3986 section 3.2.2).
fn is_local(name: &str) -> bool {
    name.parse::<Ipv4Addr>().is_ok() || name.eq_ignore_ascii_case("localhost") || v6(name).is_some()
}

fn v6(name: &str) -> Option<Ipv6Addr> {
    name.strip_prefix('[')?.strip_suffix(']')?.parse().ok()
}

/// Returns the single `Host` of a request, unless the target names another authority.
fn sole_host<'a>(headers: &'a HeaderMap, target: &Uri) -> Option<&'a str> {
    let mut hosts = headers.get_all(HOST).iter();
    let (host, None) = (hosts.next()?, hosts.next()) else { return None };
    let host = host.to_str().ok()?;
    let same = |target_host: &str| is_same(target_host, host, default_port(target.scheme()));
    target.authority().is_none_or(|authority| same(authority.as_str())).then_some(host)
}

fn default_port(scheme: Option<&Scheme>) -> Option<u16> {
    match scheme?.as_str() {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

/// Returns true if two authorities are equal. Letter case, the default port and the spelling of an IPv6
/// address do not count (RFC 9110 section 4.2.3, RFC 3986 section 6.2).
fn is_same(one: &str, other: &str, default_port: Option<u16>) -> bool {
    if one == other {
        return true;
    }
    let [(one, one_port), (other, other_port)] = [split(one), split(other)];
    let [one_port, other_port] = [one_port, other_port].map(|port| port.or(default_port));
    let same_name = || match (v6(one), v6(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.eq_ignore_ascii_case(other),
    };
    one_port == other_port && same_name()
}

/// Splits an authority into name and port. An empty port counts as none. A suffix that is not a valid port is
/// part of the name.
fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((name, "")) => (name, None),
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse().map_or((authority, None), |port| (name, Some(port)))
        }
        _ => (authority, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;
    use proptest::prelude::*;

    #[test]
    fn only_addresses_and_localhost_are_local_names() {
        let none = HostNames::default();
        for host in [
            "169.254.169.254",
            "127.0.0.1:8169",
            "127.0.0.1:",
            "localhost",
            "LOCALHOST:80",
            "LocalHost:1",
            "[::1]",
            "[fe80::1]:80",
        ] {
            assert!(none.admit(host) && !none.contain(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "::1",
            "1.2.3",
            "1.2.3.4.5",
            "...",
            "[x]",
            "[]",
            "[evil.example]",
            "evil.example",
            "evil.example:80",
            "127.0.0.1.evil.example",
            "127.0.0.1:99999",
            "localhost:x",
            "localhost:+80",
            "localhost.evil.example",
        ] {
            assert!(!none.admit(host), "{host}");
        }
    }

    #[test]
    fn a_name_that_the_operator_gave_is_taken_and_what_resembles_it_is_not() {
        let names = HostNames::new(&["mintbench".to_owned(), "*.vault.example".to_owned()]);
        for host in ["mintbench", "MintBench:8169", "a.vault.example", "A.Vault.Example:443"] {
            assert!(names.admit(host) && names.contain(host), "{host}");
        }
        for host in [
            "mintbench.evil.example",
            "evil-mintbench",
            "mintbench:x",
            "vault.example",
            ".vault.example",
            "a.b.vault.example",
            "*.vault.example.evil",
        ] {
            assert!(!names.admit(host), "{host}");
        }
    }

    #[test]
    fn a_target_and_a_host_that_differ_in_spelling_alone_are_one_authority() {
        let host = |target: &str, hosts: &[&str]| {
            let mut request = Request::get(target);
            for host in hosts {
                request = request.header(HOST, *host);
            }
            let request = request.body(()).unwrap();
            sole_host(request.headers(), request.uri()).map(str::to_owned)
        };
        for (target, named) in [
            ("/", "anything:1"),
            ("http://127.0.0.1:80/", "127.0.0.1"),
            ("http://127.0.0.1/", "127.0.0.1:80"),
            ("http://127.0.0.1/", "127.0.0.1:"),
            ("https://localhost:443/", "LOCALHOST"),
            ("https://vault.example/", "vault.example:443"),
            ("http://[::1]/", "[0:0:0:0:0:0:0:1]:80"),
            ("http://127.0.0.1:8169/", "127.0.0.1:8169"),
        ] {
            assert_eq!(host(target, &[named]).as_deref(), Some(named), "{target}");
        }
        for (target, named) in [
            ("http://127.0.0.1:81/", "127.0.0.1"),
            ("https://127.0.0.1:80/", "127.0.0.1"),
            ("http://127.0.0.1:443/", "127.0.0.1"),
            ("http://127.0.0.1/", "evil.example"),
            ("http://user@127.0.0.1/", "127.0.0.1"),
            ("http://[::1]/", "[::2]"),
        ] {
            assert_eq!(host(target, &[named]), None, "{target} {named}");
        }
        assert_eq!(host("/", &[]), None);
        assert_eq!(host("/", &["localhost", "localhost"]), None);
    }

    proptest! {
        #[test]
        fn no_host_panics(one in "\\PC{0,30}", other in "[a-z0-9.:\\[\\]-]{0,20}") {
            let names = HostNames::new(std::slice::from_ref(&other));
            let _ = (names.admit(&one), names.admit(&other), is_same(&one, &other, Some(80)));
            prop_assert!(is_same(&other, &other, None));
        }
    }
}
