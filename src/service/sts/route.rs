//! Paths of the token service: the accounts that a path stands for, and the document or grant that it names.

use crate::base::ids::TenantId;

/// Tenant of personal Microsoft accounts.
const PERSONAL_TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// Base URL of the public cloud's sign-in, as in the names of issuers.
pub(super) const PUBLIC_BASE_URL: &str = "https://login.microsoftonline.com";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Document(Document),
    Token(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Document {
    Configuration(Version),
    Instance,
    Keys(Version),
}

/// Version of the endpoint. Tokens are of version 1 at both endpoints, as for Azure's own services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// The accounts that the first segment of a path stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Realm {
    /// Accounts of one tenant.
    Tenant(TenantId),
    /// `common` and `organizations`: accounts of any tenant.
    AnyTenant,
    /// `consumers`: personal accounts, in a tenant that Microsoft owns.
    Personal,
}

impl Route {
    /// Returns the realm segment of a path and the route of the rest. An extra slash at either end is
    /// ignored, because clients join URLs with one (msal-node with a region sends `/oauth2/v2.0/token/`).
    pub(super) fn of(path: &str) -> Option<(&str, Self)> {
        let (realm, rest) = path.trim_start_matches('/').split_once('/')?;
        let document = match rest.strip_suffix('/').unwrap_or(rest) {
            ".well-known/openid-configuration" => Document::Configuration(Version::V1),
            "v2.0/.well-known/openid-configuration" => Document::Configuration(Version::V2),
            "discovery/instance" => Document::Instance,
            "discovery/keys" => Document::Keys(Version::V1),
            "discovery/v2.0/keys" => Document::Keys(Version::V2),
            "oauth2/token" => return Some((realm, Self::Token(Version::V1))),
            "oauth2/v2.0/token" => return Some((realm, Self::Token(Version::V2))),
            _ => return None,
        };
        Some((realm, Self::Document(document)))
    }
}

impl Realm {
    /// Returns the `iss` of the realm's tokens. A realm without a fixed tenant has a placeholder in it.
    pub(super) fn issuer(self, version: Version) -> String {
        let tenant = match self {
            Self::Tenant(id) => id.to_string(),
            Self::AnyTenant => "{tenantid}".to_owned(),
            Self::Personal => PERSONAL_TENANT.to_owned(),
        };
        match version {
            Version::V1 => format!("https://sts.windows.net/{tenant}/"),
            Version::V2 => format!("{PUBLIC_BASE_URL}/{tenant}/v2.0"),
        }
    }
}
