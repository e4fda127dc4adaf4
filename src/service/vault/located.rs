//! The vault of a request.

use std::sync::Arc;

use crate::base::ids::TenantId;
use crate::service::world::record;

/// The resource of tokens for a vault.
pub(crate) const AUDIENCE: &str = "https://vault.azure.net";

/// The vault of a request.
#[derive(Clone, Debug)]
pub(super) struct Located {
    pub(super) vault: Arc<record::Vault>,
    /// Tenant that the vault's subscription trusts.
    pub(super) tenant_id: TenantId,
    /// Base URL that the client used. Ids and links begin with it.
    pub(super) base_url: String,
}
