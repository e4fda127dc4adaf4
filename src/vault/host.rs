//! The host that a request names.

use std::net::IpAddr;

use hyper::http::request::Parts;

use crate::http::sole_host_of;

/// A host name or an address, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host<'a>(&'a str);

impl<'a> Host<'a> {
    /// The one `Host` header, which is also that of the target if the target has one (RFC 9112
    /// section 3.2): it stands in links and ids, so it is letters, digits and what separates them.
    pub(super) fn of(parts: &'a Parts) -> Option<Self> {
        let text = sole_host_of(&parts.headers, &parts.uri)?;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        (!text.is_empty() && text.bytes().all(is_plain)).then_some(Self(text))
    }

    pub(super) const fn as_str(self) -> &'a str {
        self.0
    }

    pub(super) fn first_label(self) -> &'a str {
        self.name().split('.').next().unwrap_or_default()
    }

    /// Whether it names this machine and no vault: an address, or `localhost`.
    pub(super) fn is_unnamed(self) -> bool {
        let name = self.name();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        let is_address = address.unwrap_or(name).parse::<IpAddr>().is_ok();
        is_address || name.eq_ignore_ascii_case("localhost")
    }

    fn name(self) -> &'a str {
        let is_port =
            |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        match self.0.rsplit_once(':') {
            Some((name, port)) if is_port(port) => name,
            _ => self.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_label_names_the_vault_whatever_the_port() {
        for host in ["v", "v:8443", "v.vault.azure.net", "v.vault.azure.net:443", "v.localhost"] {
            assert_eq!((Host(host).first_label(), Host(host).is_unnamed()), ("v", false), "{host}");
        }
        for host in ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:1", "[::1]", "[::1]:1"] {
            assert!(Host(host).is_unnamed(), "{host}");
        }
        for host in ["127.0.0.1.evil.example", "localhost.evil", "localhost:x", "[v]", ":1"] {
            assert!(!Host(host).is_unnamed(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_host_makes_the_reader_panic(text in "\\PC{0,40}", shaped in "[a-z0-9.:\\[\\]-]{0,20}") {
            for text in [text, shaped] {
                let _ = (Host(&text).first_label(), Host(&text).is_unnamed());
            }
        }
    }
}
