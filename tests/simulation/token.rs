//! Claims of a token, read without any code of the broker.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::Deserialize;

#[derive(Deserialize)]
struct Header {
    kid: String,
}

#[derive(Deserialize)]
struct Payload {
    aud: String,
    appid: String,
    oid: String,
    tid: String,
    nbf: u64,
    exp: u64,
    xms_mirid: Option<String>,
    xms_az_rid: Option<String>,
}

/// Claims that the simulation checks.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Claims {
    pub(crate) kid: String,
    pub(crate) audience: String,
    pub(crate) client_id: String,
    pub(crate) principal_id: String,
    pub(crate) tenant_id: String,
    pub(crate) not_before: u64,
    pub(crate) expires: u64,
    /// Resource id of the identity or of its machine, in lower case.
    pub(crate) of: Option<String>,
    /// Resource id of the machine that asked, in lower case.
    pub(crate) caller: Option<String>,
}

impl fmt::Debug for Claims {
    /// Omits the name of the key, which differs each time.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { audience, client_id, not_before, expires, of, caller, .. } = self;
        let (of, caller) = (of.as_deref().unwrap_or("-"), caller.as_deref().unwrap_or("-"));
        write!(
            f,
            "a token of {client_id} ({of}, for {caller}) for {audience}, {not_before} to {expires}"
        )
    }
}

impl Claims {
    /// Reads a JWT. Its signature is not checked.
    pub(crate) fn of(jwt: &str) -> Option<Self> {
        let mut parts = jwt.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        let header: Header = serde_json::from_slice(&parts.next()??).ok()?;
        let payload: Payload = serde_json::from_slice(&parts.next()??).ok()?;
        let lower = |text: Option<String>| text.map(|text| text.to_lowercase());
        Some(Self {
            kid: header.kid,
            audience: payload.aud,
            client_id: payload.appid,
            principal_id: payload.oid,
            tenant_id: payload.tid,
            not_before: payload.nbf,
            expires: payload.exp,
            of: lower(payload.xms_mirid),
            caller: lower(payload.xms_az_rid),
        })
    }
}
