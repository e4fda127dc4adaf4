//! The resources that clients may request tokens for.

use std::collections::HashMap;

use super::audiences::SERVICES;

/// Position of a resource, in one exact spelling, among those of its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ResourceIndex(u32);

impl ResourceIndex {
    /// Upper bound: every index is smaller than this number.
    pub const MAX: u32 = 1 << 31;

    /// Returns the bare number, for building a cache key.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// Largest length of a resource, in bytes: Entra's limit on an application id URI.
pub(super) const RESOURCE_LEN_MAX: usize = 255;

/// Largest number of labels before the host suffix of a service: `cluster.region` has two.
const LABELS_MAX: usize = 2;

type Map<V> = HashMap<Box<str>, V, foldhash::fast::RandomState>;

/// The known resources. Inside the broker they are small integers, so that a cache key is one `u64` and a
/// lookup compares no strings. Their number is fixed when the world is opened: no caller adds one.
#[derive(Debug)]
pub struct Resources {
    names: Vec<Box<str>>,
    by_name: Map<ResourceIndex>,
    /// Indices by name in lower case.
    by_folded_name: Map<ResourceIndex>,
}

/// Resource that a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// A listed resource, perhaps in another spelling.
    Listed(ResourceIndex),
    /// The host of one account of a service, as its tokens name it. The number of such names is unlimited, so
    /// they are not interned here.
    Host(String),
}

impl Default for Resources {
    fn default() -> Self {
        let mut resources =
            Self { names: Vec::new(), by_name: Map::default(), by_folded_name: Map::default() };
        for service in SERVICES {
            for name in service.uris.iter().chain(Some(&service.app_id).filter(|id| !id.is_empty()))
            {
                resources.add(name);
            }
        }
        resources
    }
}

impl Resources {
    /// Adds a resource. A URI is added with and without a slash at its end. A known resource keeps its index.
    pub fn add(&mut self, name: &str) {
        let bare = name.strip_suffix('/').unwrap_or(name);
        self.add_spelling(bare);
        if bare.contains(':') {
            self.add_spelling(&format!("{bare}/"));
        }
    }

    fn add_spelling(&mut self, name: &str) {
        let next = u32::try_from(self.names.len()).ok().filter(|next| *next < ResourceIndex::MAX);
        let Some(next) = next.map(ResourceIndex).filter(|_| !self.by_name.contains_key(name))
        else {
            return;
        };
        self.names.push(name.into());
        self.by_name.insert(name.into(), next);
        self.by_folded_name.entry(name.to_ascii_lowercase().into()).or_insert(next);
    }

    /// Returns the listed resource of exactly this spelling.
    pub fn named(&self, name: &str) -> Option<ResourceIndex> {
        self.by_name.get(name).copied()
    }

    /// Returns the resource that `name` stands for. Case is ignored: Entra ignores it, and so do RFC 3986
    /// section 6.2.2.1 for hosts and RFC 9562 section 4 for GUIDs.
    pub fn find(&self, name: &str) -> Option<Known> {
        if name.len() > RESOURCE_LEN_MAX {
            return None;
        }
        let folded = name.to_ascii_lowercase();
        let listed = self.by_name.get(name).or_else(|| self.by_folded_name.get(folded.as_str()));
        match listed {
            Some(index) => Some(Known::Listed(*index)),
            None => is_host_of_service(&folded).then_some(Known::Host(folded)),
        }
    }

    /// Returns the spelling of the resource at `index`, which becomes the audience of its tokens. Empty for
    /// an index of another world.
    pub fn name(&self, index: ResourceIndex) -> &str {
        self.names.get(index.0 as usize).map_or("", |name| name)
    }
}

/// Returns true if a URL in lower case is the host of one account of a service, as in
/// `https://account.blob.core.windows.net/`.
fn is_host_of_service(url: &str) -> bool {
    let Some(host) = url.strip_prefix("https://") else { return false };
    let host = host.strip_suffix('/').unwrap_or(host);
    let mut suffixes = SERVICES.iter().flat_map(|service| service.hosts);
    let account = suffixes.find_map(|suffix| host.strip_suffix(suffix));
    account.is_some_and(|account| {
        account.split('.').count() <= LABELS_MAX && account.split('.').all(is_label)
    })
}

/// Returns true if a text is a label of a host name in lower case (RFC 1123 section 2.1).
fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn found(name: &str) -> Option<String> {
        let resources = Resources::default();
        match resources.find(name)? {
            Known::Listed(index) => Some(resources.name(index).to_owned()),
            Known::Host(name) => Some(name),
        }
    }

    #[test]
    fn azures_own_services_are_known_by_uri_with_and_without_a_slash_and_by_application_id() {
        let resources = Resources::default();
        for service in SERVICES {
            for uri in service.uris {
                assert!(!uri.ends_with('/') && *uri == uri.trim(), "{uri}");
                for name in [(*uri).to_owned(), format!("{uri}/")] {
                    assert_eq!(resources.name(resources.named(&name).unwrap()), name);
                }
            }
            let id = service.app_id;
            assert!(id.is_empty() || resources.named(id).is_some(), "{id}");
            assert!(
                id.is_empty()
                    || id.parse::<crate::base::ids::ClientId>().unwrap().to_string() == id
            );
            assert!(service.hosts.iter().all(|host| host.starts_with('.')));
        }
        for name in ["https://nobody.example", "https://vault.azure.net//", "", "/", "https://"] {
            assert_eq!(found(name), None, "{name}");
        }
    }

    #[test]
    fn a_name_in_capitals_is_the_resource_of_the_list() {
        for (asked, name) in [
            ("CFA8B339-82A2-471A-A3C9-0FC0BE7A4093", "cfa8b339-82a2-471a-a3c9-0fc0be7a4093"),
            ("HTTPS://Vault.Azure.Net", "https://vault.azure.net"),
            ("https://VAULT.azure.net/", "https://vault.azure.net/"),
            ("api://azureadtokenexchange", "api://AzureADTokenExchange"),
        ] {
            assert_eq!(found(asked).as_deref(), Some(name));
        }
    }

    #[test]
    fn two_resources_that_differ_in_case_are_two() {
        let mut resources = Resources::default();
        resources.add("api://App");
        resources.add("api://app");
        for name in ["api://App", "api://app"] {
            assert_eq!(resources.name(resources.named(name).unwrap()), name);
        }
    }

    #[test]
    fn the_host_of_an_account_is_a_resource_and_a_lookalike_is_not() {
        for name in [
            "https://account.blob.core.windows.net",
            "https://account.dfs.core.windows.net/",
            "https://account-secondary.table.core.windows.net",
            "https://cluster.westeurope.kusto.windows.net",
            "https://store.azconfig.io",
            "https://bus.servicebus.windows.net/",
            "https://db.documents.azure.com",
        ] {
            assert_eq!(found(name).as_deref(), Some(name));
        }
        assert_eq!(
            found("HTTPS://Account.Blob.Core.Windows.Net/").as_deref(),
            Some("https://account.blob.core.windows.net/")
        );
        for name in [
            "http://account.blob.core.windows.net",
            "https://.blob.core.windows.net",
            "https://blob.core.windows.net",
            "https://a.b.c.blob.core.windows.net",
            "https://-a.blob.core.windows.net",
            "https://a_b.blob.core.windows.net",
            "https://account.blob.core.windows.net.evil.example",
            "https://account.blob.core.windows.net/container",
            "https://account.blob.core.windows.net//",
            "https://account.blob.core.windows.net:443",
            "https://user@account.blob.core.windows.net",
            "https://evilblob.core.windows.net",
        ] {
            assert_eq!(found(name), None, "{name}");
        }
        assert_eq!(found(&format!("https://{}.azconfig.io", "a".repeat(64))), None);
    }

    proptest! {
        #[test]
        fn no_name_panics_and_what_is_found_is_plain(name in "\\PC{0,40}", host in "[a-z.A-Z/:@-]{0,30}") {
            for text in [name, format!("https://{host}.azconfig.io")] {
                if let Some(found) = found(&text) {
                    prop_assert!(found.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"'));
                }
            }
        }
    }
}
