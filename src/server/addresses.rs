//! Where this server is reached, and by what names.

use super::{ServerOptions, Sockets};
use crate::arm::Neighbours;
use crate::world::vault::VaultUriTemplate;

/// Whom the server certificate is for: this machine by every local name, the listeners' addresses, the
/// vaults by name, and what was asked for.
pub(super) fn names(options: &ServerOptions, sockets: &Sockets) -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "::1", "169.254.169.254", "*.vault.localhost"];
    let mut names: Vec<String> = local.map(str::to_owned).into();
    let listeners = [&sockets.sts, &sockets.arm];
    let addresses = listeners.iter().filter_map(|bound| bound.listener.local_addr().ok());
    names.extend(addresses.map(|addr| addr.ip().to_string()));
    names.push(options.vault.ip().to_string());
    names.extend(options.vault_uri.iter().map(VaultUriTemplate::certificate_name));
    names.extend(options.host_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// Where the listeners are that clients of the control plane are led to.
pub(super) fn neighbours(
    options: &ServerOptions,
    sockets: &Sockets,
) -> std::io::Result<Neighbours> {
    Ok(Neighbours {
        arm: sockets.arm.listener.local_addr()?,
        sts: sockets.sts.listener.local_addr()?,
        vault_suffix: sockets.vault.uris.suffix(),
        authority_url: options.authority_url.clone(),
    })
}
