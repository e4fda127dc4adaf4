//! The host name in a request.

use std::net::IpAddr;

use hyper::http::request::Parts;

use crate::base::http::sole_host_of;
use crate::service::world::vault::is_vault_address;

/// A host name or an address, with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host<'a>(&'a str);

impl<'a> Host<'a> {
    /// Returns the single `Host` header. It must equal the host of the target, if the target has one (RFC
    /// 9112 section 3.2). Links and ids contain it, so it may hold only letters, digits and separators.
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

    /// Returns true if the host names this machine and no vault: `localhost`, or an address outside the range
    /// of vault addresses.
    pub(super) fn is_any_vault(self) -> bool {
        let is_localhost = || self.name().eq_ignore_ascii_case("localhost");
        let is_other = |address: IpAddr| !is_vault_address(address.to_canonical());
        self.address().map_or_else(is_localhost, is_other)
    }

    /// Returns the part that names the vault: the address, or the first label.
    pub(super) fn vault_name(self) -> &'a str {
        if self.address().is_some() { self.name() } else { self.first_label() }
    }

    /// Returns the address, if the host is one.
    pub(super) fn address(self) -> Option<IpAddr> {
        let name = self.name();
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(name).parse().ok()
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
            assert_eq!(
                (Host(host).first_label(), Host(host).is_any_vault()),
                ("v", false),
                "{host}"
            );
        }
        for host in ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:1", "[::1]", "[::1]:1"] {
            assert!(Host(host).is_any_vault(), "{host}");
        }
        for host in [
            "127.0.0.1.evil.example",
            "localhost.evil",
            "localhost:x",
            "[v]",
            ":1",
            "127.200.0.1:8173",
            "[::ffff:127.200.0.1]",
        ] {
            assert!(!Host(host).is_any_vault(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_host_makes_the_reader_panic(text in "\\PC{0,40}", shaped in "[a-z0-9.:\\[\\]-]{0,20}") {
            for text in [text, shaped] {
                let _ = (Host(&text).first_label(), Host(&text).is_any_vault());
            }
        }
    }
}
