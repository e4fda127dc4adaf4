//! Socket, URIs and certificates of the vaults.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::bound::{Bound, Priority, bind_error, callable};
use super::error::ServerError;
use super::options::ServerOptions;
use crate::base::clock::Clock;
use crate::base::http::{Scheme, bind, bind_all_loopback};
use crate::base::tls::{Authority, ServerTls};
use crate::service::directory::Directory;
use crate::service::world::vault::{VaultUriTemplate, VaultUris};

/// The socket of all vaults, and their URIs.
pub(super) struct BoundVaults {
    pub(super) bound: Bound,
    pub(super) uris: VaultUris,
}

impl BoundVaults {
    /// Binds the socket. Unless the URIs are given, it binds all of loopback if possible: then each vault has
    /// an address of its own, which works with every resolver.
    pub(super) fn open(options: &ServerOptions) -> Result<Self, ServerError> {
        let addr = options.vault;
        let everywhere = options.vault_uri.is_none().then(|| bind_all_loopback(addr)).flatten();
        let has_addresses = everywhere.is_some();
        let alone = || bind(addr, options.reach("vault")).map_err(bind_error("vault"));
        let listener = everywhere.map_or_else(alone, Ok)?;
        let port = listener.local_addr()?.port();
        let uris = match &options.vault_uri {
            Some(template) => VaultUris::Names(template.clone()),
            None if has_addresses => VaultUris::Addresses(port),
            None => VaultUris::Names(VaultUriTemplate::local(port)),
        };
        if options.vault_uri.is_none() && !has_addresses {
            tracing::warn!(
                "the vaults have no addresses of their own; their URIs are names such as {}, which not every resolver knows; --vault-uri sets others",
                uris.of("NAME", None)
            );
        }
        let url = format!("{}://{}", Scheme::Https, callable(SocketAddr::new(addr.ip(), port)));
        Ok(Self { bound: Bound { name: "vault", listener, url, priority: Priority::Normal }, uris })
    }
}

/// Greatest number of vault addresses in one certificate. Other vaults are added on a connection to them.
const ADDRESSES_MAX: usize = 256;

/// Returns the certificates of the vaults: for this machine's names and for the address of each vault.
pub(super) fn tls(
    directory: &Arc<Directory>,
    authority: &Arc<Authority>,
    clock: &Arc<dyn Clock>,
    names: Vec<String>,
) -> Arc<ServerTls> {
    let directory = Arc::clone(directory);
    let addresses =
        move || -> Vec<IpAddr> { directory.read().vault_addresses().take(ADDRESSES_MAX).collect() };
    let tls = ServerTls::new(Arc::clone(authority), Arc::clone(clock), names);
    Arc::new(tls.with_addresses(addresses))
}
