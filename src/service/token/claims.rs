//! Claims of a managed-identity access token (Entra v1.0 tokens; `docs/protocol.md`).

use memchr::memmem;

use crate::base::clock::UnixSeconds;
use crate::base::ids::{ArmId, ClientId, GUID_CHARS, PrincipalId, TenantId};

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

/// First part of `iss` in version 1 tokens; the tenant follows.
pub(super) const ISSUER: &str = "https://sts.windows.net/";

/// Claims of one token.
pub(super) struct Claims<'a> {
    pub(super) subject: &'a Subject<'a>,
    /// `aud`.
    pub(super) resource: &'a str,
    /// `iat` and `nbf`.
    pub(super) not_before: UnixSeconds,
    /// `exp`.
    pub(super) expires_on: UnixSeconds,
    /// `aio`, `rh` and `uti` in base64. Only Entra can read the real ones; these are random.
    pub(super) opaque: [&'a str; 3],
}

impl Claims<'_> {
    /// Appends the claims as JSON, in the order that Entra writes them. `idtyp` is `app`: a token without a user.
    pub(super) fn append(&self, json: &mut Vec<u8>) -> serde_json::Result<()> {
        let Self { subject, resource, not_before, expires_on, opaque: [aio, rh, uti] } = *self;
        let Subject { tenant_id, client_id, principal_id, .. } = subject;
        let [mut tenant, mut client, mut principal] = [[0; GUID_CHARS]; 3];
        let tenant = tenant_id.encode(&mut tenant);
        let client = client_id.encode(&mut client);
        let principal = principal_id.encode(&mut principal);
        let [mut start, mut end, mut created]: [itoa::Buffer; 3] = Default::default();
        let start = start.format(not_before.0);
        json.extend_from_slice(br#"{"aud":"#);
        serde_json::to_writer(&mut *json, resource)?;
        for (before, value) in [
            (r#","iss":""#, ISSUER),
            ("", tenant),
            (r#"/","iat":"#, start),
            (r#","nbf":"#, start),
            (r#","exp":"#, end.format(expires_on.0)),
            (r#","aio":""#, aio),
            (r#"","appid":""#, client),
            (r#"","appidacr":""#, subject.proof.appidacr()),
            (r#"","idp":""#, ISSUER),
            ("", tenant),
            (r#"/","idtyp":"app","oid":""#, principal),
            (r#"","rh":"1."#, rh),
            (r#".","sub":""#, principal),
            (r#"","tid":""#, tenant),
            (r#"","uti":""#, uti),
            (r#"","ver":"1.0""#, ""),
        ] {
            json.extend_from_slice(before.as_bytes());
            json.extend_from_slice(value.as_bytes());
        }
        append_resource_id(json, r#","xms_az_rid":"#, subject.caller_id)?;
        append_resource_id(json, r#","xms_mirid":"#, subject.resource_id)?;
        let created = created.format(subject.tenant_created.0);
        for part in [r#","xms_tcdt":"#, created, "}"] {
            json.extend_from_slice(part.as_bytes());
        }
        Ok(())
    }
}

/// Appends a claim with a resource id, if there is one. Only claims write `resourceGroups` in lower case.
fn append_resource_id(
    json: &mut Vec<u8>,
    name: &str,
    id: Option<&ArmId>,
) -> serde_json::Result<()> {
    const GROUPS: &[u8] = b"/resourceGroups/";
    let Some(id) = id else { return Ok(()) };
    json.extend_from_slice(name.as_bytes());
    let start = json.len();
    serde_json::to_writer(&mut *json, id.as_str())?;
    let text = json.get_mut(start..).unwrap_or_default();
    if let Some(at) = memmem::find(text, GROUPS)
        && let Some(groups) = text.get_mut(at..at + GROUPS.len())
    {
        groups.make_ascii_lowercase();
    }
    Ok(())
}
