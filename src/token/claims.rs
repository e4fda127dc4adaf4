//! The claims of a managed-identity access token (Entra v1.0 tokens; `docs/protocol.md`).

use serde::Serialize;

use crate::clock::UnixSeconds;
use crate::ids::{ArmId, ClientId, PrincipalId, TenantId};

/// How a client proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientProof {
    /// With a certificate, as managed identities do.
    Certificate,
    /// With a secret.
    Secret,
}

impl ClientProof {
    /// `appidacr`.
    pub(super) const fn appidacr(self) -> &'static str {
        match self {
            Self::Certificate => "2",
            Self::Secret => "1",
        }
    }
}

/// Whom a token speaks for.
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
    /// `xms_az_rid`: the VM that asks for the token of a user-assigned identity, where it is known.
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

/// A resource id as claims have it: `resourceGroups` is in lower case in them alone.
pub(super) fn claimed(resource_id: &ArmId) -> String {
    resource_id.as_str().replacen("/resourceGroups/", "/resourcegroups/", 1)
}
