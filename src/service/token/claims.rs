//! Claims of a managed-identity access token (Entra v1.0 tokens; `docs/protocol.md`).

use serde::Serialize;

use crate::base::clock::UnixSeconds;
use crate::base::ids::{ArmId, ClientId, PrincipalId, TenantId};

/// Credential with which a client proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// A certificate, as for managed identities.
    Certificate,
    /// A secret.
    Secret,
}

impl ClientProof {
    /// Returns the value of the claim `appidacr`.
    pub(super) const fn appidacr(self) -> &'static str {
        match self {
            Self::Certificate => "2",
            Self::Secret => "1",
        }
    }
}

/// The identity that a token is issued to.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `tid`.
    pub tenant_id: TenantId,
    /// `xms_tcdt`.
    pub tenant_created: UnixSeconds,
    /// `appid`.
    pub client_id: ClientId,
    /// `oid` and `sub`.
    pub principal_id: PrincipalId,
    /// `xms_mirid`: the VM of a system-assigned identity, else the identity's own resource.
    /// `None` for an application, whose tokens have no such claim.
    pub resource_id: Option<&'a ArmId>,
    /// `xms_az_rid`: the VM that asks for the token of a user-assigned identity, if it is known.
    pub caller_id: Option<&'a ArmId>,
    /// `appidacr`.
    pub proof: ClientProof,
}

/// Claims in the order that Entra writes them.
#[derive(Debug, Serialize)]
pub(super) struct Claims<'a> {
    pub(super) aud: &'a str,
    pub(super) iss: &'a str,
    pub(super) iat: u64,
    pub(super) nbf: u64,
    pub(super) exp: u64,
    pub(super) aio: &'a str,
    pub(super) appid: &'a str,
    pub(super) appidacr: &'a str,
    pub(super) idp: &'a str,
    /// `app`: a token without a user.
    pub(super) idtyp: &'a str,
    pub(super) oid: &'a str,
    pub(super) rh: &'a str,
    pub(super) sub: &'a str,
    pub(super) tid: &'a str,
    pub(super) uti: &'a str,
    pub(super) ver: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) xms_az_rid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) xms_mirid: Option<&'a str>,
    pub(super) xms_tcdt: u64,
}

/// Returns a resource id as claims write it. Only claims write `resourceGroups` in lower case.
pub(super) fn claimed(resource_id: &ArmId) -> String {
    resource_id.as_str().replacen("/resourceGroups/", "/resourcegroups/", 1)
}
