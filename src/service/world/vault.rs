//! Rules of key vaults: their settings and their URIs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::base::clock::Seconds;
use crate::base::synthetic::named_guid;

/// Days for which a deleted vault or secret can be recovered (Azure, "Key Vault soft-delete overview").
pub const RETENTION_DAYS: RangeInclusive<u64> = 7..=90;

/// Settings of a key vault that its owner chooses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaultSettings {
    /// The price tier. Both tiers serve the same secrets.
    pub sku: Sku,
    /// Retention of the deleted vault and its deleted secrets, in days. They can be recovered until it ends.
    pub retention_days: u64,
    /// True if nobody may purge before the retention ends.
    pub purge_protection: bool,
    /// Azure services that may use the vault. The value is only stored: those services do not exist here.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub enabled_for: BTreeSet<Purpose>,
    /// The `bypass` of the network rules, if they were set. Rules that keep any caller out are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_bypass: Option<NetworkBypass>,
}

/// The price tier of a vault.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sku {
    /// Software keys.
    #[default]
    Standard,
    /// Keys in hardware as well.
    Premium,
}

/// Use of a vault by an Azure service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Purpose {
    /// Certificates of virtual machines.
    Deployment,
    /// Keys of disks.
    DiskEncryption,
    /// Secrets in templates.
    TemplateDeployment,
}

/// Traffic that always passes the network rules of a vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkBypass {
    /// Traffic of Azure's own services.
    AzureServices,
    /// No traffic.
    None,
}

impl Default for VaultSettings {
    fn default() -> Self {
        Self {
            sku: Sku::default(),
            retention_days: *RETENTION_DAYS.end(),
            purge_protection: false,
            enabled_for: BTreeSet::new(),
            network_bypass: None,
        }
    }
}

impl VaultSettings {
    /// Returns true if all settings have their defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the retention of deleted vaults and secrets.
    pub const fn retention(&self) -> Seconds {
        Seconds(self.retention_days * 24 * 60 * 60)
    }
}

/// Returns the loopback address of the vault `name`. It reaches only this vault.
///
/// A name below `localhost` would be easier to read, but not every resolver knows such names. The address
/// follows from the name, so it is the same after every start. It lies in 127.128.0.0/9, apart from the
/// addresses that people choose by hand.
pub fn vault_address(name: &str) -> Ipv4Addr {
    let [a, b, c, ..] = named_guid(&format!("vault address:{}", name.to_ascii_lowercase()));
    Ipv4Addr::new(127, a | 0x80, b, c)
}

/// Returns true if the address lies in the range of vault addresses. Such an address means one vault or none.
pub fn is_vault_address(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(v4) if v4.is_loopback() && v4 >= Ipv4Addr::new(127, 128, 0, 0))
}

/// Form of the URIs of vaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VaultUris {
    /// Each vault has its own loopback address, on this port.
    Addresses(u16),
    /// Each vault has its own host name.
    Names(VaultUriTemplate),
}

impl VaultUris {
    /// Returns the URI of the vault `name`, with a slash at its end. Without an `address` the URI contains
    /// the name, because another vault has the address.
    pub fn of(&self, name: &str, address: Option<Ipv4Addr>) -> String {
        match (self, address) {
            (Self::Addresses(port), Some(address)) => format!("https://{address}:{port}/"),
            (Self::Addresses(port), None) => VaultUriTemplate::local(*port).of(name),
            (Self::Names(template), _) => template.of(name),
        }
    }

    /// Returns the port of all vaults.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Addresses(port) | Self::Names(VaultUriTemplate { port, .. }) => *port,
        }
    }

    /// Returns the suffix of the host of a vault that is reached by name, without the dot before it.
    pub fn suffix(&self) -> String {
        match self {
            Self::Addresses(port) => VaultUriTemplate::local(*port).suffix(),
            Self::Names(template) => template.suffix(),
        }
    }
}

/// The default port of `https`, which URIs omit.
const HTTPS: u16 = 443;

/// A URI template for vaults, with `{name}` in place of the name: `https://{name}.vault.localhost:8173`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultUriTemplate {
    /// Host name below which the vaults are, without a leading dot.
    domain: String,
    port: u16,
}

/// Reason why a text is not a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a URI of vaults; write https://{{name}}.DOMAIN or https://{{name}}.DOMAIN:PORT, where {{name}} stands for the name of the vault"
)]
pub struct VaultUriError(String);

impl VaultUriTemplate {
    /// Creates the template with names below `vault.localhost`. The server certificate is always valid for
    /// these names.
    pub fn local(port: u16) -> Self {
        Self { domain: "vault.localhost".to_owned(), port }
    }

    /// Returns the URI of the vault `name`, with a slash at its end.
    pub fn of(&self, name: &str) -> String {
        format!("https://{name}.{}/", self.suffix())
    }

    fn suffix(&self) -> String {
        match self.port {
            HTTPS => self.domain.clone(),
            port => format!("{}:{port}", self.domain),
        }
    }

    /// Returns the name in a certificate that is valid for every vault.
    pub fn certificate_name(&self) -> String {
        format!("*.{}", self.domain)
    }
}

impl FromStr for VaultUriTemplate {
    type Err = VaultUriError;

    fn from_str(text: &str) -> Result<Self, VaultUriError> {
        let wrong = || VaultUriError(text.to_owned());
        let rest = text.strip_prefix("https://{name}.").ok_or_else(wrong)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (domain, port) = rest.split_once(':').map_or((rest, None), |(a, b)| (a, Some(b)));
        let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(is_byte);
        let port = port.map_or(Ok(HTTPS), str::parse).map_err(|_| wrong())?;
        if domain.len() > 200 || !domain.split('.').all(is_label) {
            return Err(wrong());
        }
        Ok(Self { domain: domain.to_ascii_lowercase(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_vault_has_a_loopback_address_that_follows_from_its_name() {
        let address = vault_address("demo-vault");
        assert!(is_vault_address(address.into()), "{address}");
        assert_eq!(vault_address("DEMO-vault"), address);
        assert_ne!(vault_address("other-vault"), address);
        for other in ["127.0.0.1", "127.127.255.255", "128.200.0.1", "::1"] {
            assert!(!is_vault_address(other.parse().unwrap()), "{other}");
        }
        let uris = VaultUris::Addresses(8173);
        assert_eq!(uris.of("demo-vault", Some(address)), format!("https://{address}:8173/"));
        assert_eq!(uris.of("demo-vault", None), "https://demo-vault.vault.localhost:8173/");
        assert_eq!(uris.suffix(), "vault.localhost:8173");
        assert_eq!(VaultUris::Addresses(443).suffix(), "vault.localhost");
    }

    #[test]
    fn a_template_has_the_name_as_the_first_label_of_the_host() {
        let of = |text: &str| text.parse::<VaultUriTemplate>().map(|own| own.of("kv"));
        for (text, uri) in [
            ("https://{name}.vault.localhost:8173", "https://kv.vault.localhost:8173/"),
            ("https://{name}.vault.azure.net/", "https://kv.vault.azure.net/"),
            ("https://{name}.vault.azure.net:443", "https://kv.vault.azure.net/"),
            ("https://{name}.Vaults:1/", "https://kv.vaults:1/"),
        ] {
            assert_eq!(of(text).as_deref(), Ok(uri));
        }
        for text in [
            "",
            "https://localhost:8173",
            "http://{name}.vault.localhost",
            "https://{name}",
            "https://{name}.",
            "https://{name}.a..b",
            "https://{name}.a:99999",
            "https://{name}.a:",
            "https://{name}.a/b",
            "https://kv-{name}.a",
            "https://{name}.{name}.a",
        ] {
            assert_eq!(of(text), Err(VaultUriError(text.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn no_template_panics(text in "\\PC{0,30}", rest in "[a-z.:/0-9{}-]{0,20}") {
            let _ = text.parse::<VaultUriTemplate>();
            let _ = format!("https://{{name}}.{rest}").parse::<VaultUriTemplate>();
        }
    }
}
