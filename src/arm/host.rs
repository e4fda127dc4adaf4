//! The name under which a client knows this service: links in answers begin with it.

use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;

use super::ArmAuth;
use super::error::ArmError;

/// Scheme and authority of the request, without a slash at the end.
///
/// When nobody is asked who they are, the authority must be an address or `localhost`: names that no
/// foreign DNS server answers for.
pub(super) fn base_url(parts: &Parts, scheme: &str, auth: ArmAuth) -> Result<String, ArmError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes).ok_or(ArmError::Host)?;
    let host = std::str::from_utf8(host).map_err(|_| ArmError::Host)?;
    let target = parts.uri.authority().map(hyper::http::uri::Authority::as_str);
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_plain = (1..=255).contains(&host.len()) && host.bytes().all(is_byte);
    let is_sole = hosts.next().is_none() && target.is_none_or(|target| target == host);
    if is_plain && is_sole && (auth == ArmAuth::Bearer || is_local_name(host)) {
        Ok(format!("{scheme}://{host}"))
    } else {
        Err(ArmError::Host)
    }
}

fn is_local_name(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let v6 = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::Ipv4Addr>().is_ok()
        || v6.is_some_and(|name| name.parse::<std::net::Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_and_localhost_are_local_names() {
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost", "LocalHost:1", "[::1]", "[::1]:80"] {
            assert!(is_local_name(host), "{host}");
        }
        for host in
            ["", ":80", "evil.example", "127.0.0.1.evil.example", "1.2.3", "[x]", "localhost:x"]
        {
            assert!(!is_local_name(host), "{host}");
        }
    }
}
