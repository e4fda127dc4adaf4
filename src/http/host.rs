//! Names under which only this machine, or its own network, is known.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether a `Host` (RFC 9110 section 7.2) is an IP address or `localhost`, with or without a port:
/// names that no foreign DNS server answers for. A page in a browser whose own name was re-bound to an
/// address of this machine comes with that name, and is told apart by it.
///
/// An IPv6 address stands in brackets, without a zone (RFC 3986 section 3.2.2).
pub fn is_local_name(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.parse::<Ipv4Addr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || v6.is_some_and(|name| name.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_addresses_and_localhost_are_local_names() {
        for host in [
            "169.254.169.254",
            "127.0.0.1:8169",
            "localhost",
            "LOCALHOST:80",
            "LocalHost:1",
            "[::1]",
            "[fe80::1]:80",
        ] {
            assert!(is_local_name(host.as_bytes()), "{host}");
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
            "localhost:x",
            "localhost.evil.example",
        ] {
            assert!(!is_local_name(host.as_bytes()), "{host}");
        }
        assert!(!is_local_name(b"\xff"));
    }

    proptest! {
        #[test]
        fn no_host_panics(host: Vec<u8>) {
            let _ = is_local_name(&host);
        }
    }
}
