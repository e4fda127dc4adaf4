//! Names and addresses of this server.

use std::net::IpAddr;

use super::options::ServerOptions;
use super::sockets::Sockets;
use crate::base::network::outer_addresses;
use crate::service::arm;
use crate::service::arm::ServiceAddresses;
use crate::service::vault;
use crate::service::world::OwnServices;
use crate::service::world::vault::VaultUriTemplate;

/// Returns the names in the server certificate: all local names of this machine, the listeners' addresses,
/// the vaults' names, and the names in the options. A listener on all addresses has those of every network.
pub(super) fn names(options: &ServerOptions, sockets: &Sockets) -> Vec<String> {
    let local = ["localhost", "127.0.0.1", "::1", "169.254.169.254", "*.vault.localhost"];
    let mut names: Vec<String> = local.map(str::to_owned).into();
    let listeners = [&sockets.sts, &sockets.arm];
    let addresses = listeners.iter().filter_map(|bound| bound.listener.local_addr().ok());
    let mut ips: Vec<IpAddr> =
        addresses.map(|addr| addr.ip()).chain([options.vault.ip()]).collect();
    if ips.iter().any(IpAddr::is_unspecified) {
        ips.retain(|ip| !ip.is_unspecified());
        ips.extend(outer_addresses().into_iter().map(|(ip, _)| ip));
    }
    names.extend(ips.iter().map(IpAddr::to_string));
    names.extend(options.vault_uri.iter().map(VaultUriTemplate::certificate_name));
    names.extend(options.host_names.iter().cloned());
    names.sort();
    names.dedup();
    names
}

/// Returns the addresses of the listeners to which the control plane directs its clients.
pub(super) fn service_addresses(
    options: &ServerOptions,
    sockets: &Sockets,
) -> std::io::Result<ServiceAddresses> {
    Ok(ServiceAddresses {
        arm: sockets.arm.listener.local_addr()?,
        sts: sockets.sts.listener.local_addr()?,
        vault_suffix: sockets.vault.uris.suffix(),
        authority_url: options.authority_url.clone(),
    })
}

/// Returns the services that clients may name by their URLs when they ask for tokens.
pub(super) fn own_services(names: &[String], sockets: &Sockets) -> std::io::Result<OwnServices> {
    let vaults = &sockets.vault;
    let services = vec![
        (sockets.arm.listener.local_addr()?.port(), arm::AUDIENCE),
        (vaults.bound.listener.local_addr()?.port(), vault::AUDIENCE),
        (vaults.uris.port(), vault::AUDIENCE),
    ];
    Ok(OwnServices { names: names.to_vec(), services })
}
