//! The vault of a request.

use std::sync::Arc;

use super::kind::OfKind;
use crate::base::ids::TenantId;
use crate::service::world::record;
use crate::service::world::record::ObjectVersion;

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

impl Located {
    /// Returns the id of a version of a secret or key.
    pub(super) fn id_of<C: OfKind>(&self, version: &ObjectVersion<C>) -> String {
        let (base_url, collection) = (&self.base_url, C::KIND.collection());
        format!("{base_url}/{collection}/{}/{}", version.name, version.version)
    }
}
