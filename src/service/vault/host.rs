//! The part of a host that names a vault.

use std::net::IpAddr;

use crate::base::http::{Host, HostSyntax};
use crate::service::world::vault::is_vault_address;

/// Hosts that links and ids in answers may begin with.
pub(super) const HOST_SYNTAX: HostSyntax =
    HostSyntax { bytes_max: usize::MAX, punctuation: b"-.:[]" };

/// Returns the first label of the name.
pub(super) fn first_label(host: Host<'_>) -> &str {
    host.name().split('.').next().unwrap_or_default()
}

/// Returns true if the host names this machine and no vault: `localhost`, or an address outside the range of
/// vault addresses.
pub(super) fn is_any_vault(host: Host<'_>) -> bool {
    let is_localhost = || host.name().eq_ignore_ascii_case("localhost");
    let is_other = |address: IpAddr| !is_vault_address(address.to_canonical());
    host.address().map_or_else(is_localhost, is_other)
}

/// Returns the part that names the vault: the address, or the first label.
pub(super) fn vault_name(host: Host<'_>) -> &str {
    if host.address().is_some() { host.name() } else { first_label(host) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_label_names_the_vault_whatever_the_port() {
        for host in ["v", "v:8443", "v.vault.azure.net", "v.vault.azure.net:443", "v.localhost"] {
            assert_eq!(
                (first_label(Host::new(host)), is_any_vault(Host::new(host))),
                ("v", false),
                "{host}"
            );
        }
        for host in ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:1", "[::1]", "[::1]:1"] {
            assert!(is_any_vault(Host::new(host)), "{host}");
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
            assert!(!is_any_vault(Host::new(host)), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_host_makes_the_reader_panic(text in "\\PC{0,40}", shaped in "[a-z0-9.:\\[\\]-]{0,20}") {
            for text in [text, shaped] {
                let _ = (first_label(Host::new(&text)), is_any_vault(Host::new(&text)));
            }
        }
    }
}
