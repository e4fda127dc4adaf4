//! Settings of the control plane.

use super::endpoints::ServiceAddresses;
use crate::base::http::HostNames;
use crate::service::world::vault::VaultUris;

/// Authentication of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ArmAuth {
    /// Callers need a bearer token for Resource Manager, and a role that permits the action.
    Bearer,
    /// Callers are not authenticated, for a machine with a single user. Only requests to an address, to
    /// `localhost` or to an allowed name are answered then, so that a web page in a browser cannot call under
    /// its own host name.
    Off,
}

/// Settings of the control plane.
#[derive(Clone, Debug)]
pub(crate) struct ArmOptions {
    /// Authentication of callers.
    pub auth: ArmAuth,
    /// Host names that unauthenticated callers may use besides addresses and `localhost`.
    pub names: HostNames,
    /// Largest number of items on one page of a list.
    pub page_size: usize,
    /// Seed that makes request ids differ from those of other processes.
    pub seed: u128,
    /// Addresses of the other endpoints of this server, for clients.
    pub service_addresses: ServiceAddresses,
    /// URIs of the vaults.
    pub vault_uris: VaultUris,
}
