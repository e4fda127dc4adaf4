//! Errors of Entra: one table of status, `error`, code and text (`docs/protocol.md`, from Microsoft's list of
//! AADSTS codes and from captures).

use hyper::StatusCode;

use crate::base::clock::UnixSeconds;

/// Reasons why a request is refused. The texts are Entra's where they are known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StsError {
    #[error(
        "Client assertion audience claim does not match Realm issuer. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    AssertionAudience,
    #[error(
        "Client assertion application identifier doesn't match 'client_id' parameter. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    AssertionClient,
    #[error(
        "Client assertion is valid for too long. Current time: {now}, expiry time of assertion {until}. This server takes assertions that expire within {longest} s."
    )]
    AssertionLife { now: String, until: String, longest: u64 },
    #[error("JWT token is invalid or malformed.")]
    AssertionMalformed,
    #[error(
        "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {from}, expiry time of assertion {until}. Review the documentation at https://learn.microsoft.com/entra/identity-platform/certificate-credentials ."
    )]
    AssertionTime { now: String, from: String, until: String },
    #[error(
        "The client application {client} is missing service principal in the tenant {tenant}. See instructions here: https://go.microsoft.com/fwlink/?linkid=2225119"
    )]
    ClientForeign { client: String, tenant: String },
    #[error(
        "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You may have sent your authentication request to the wrong tenant."
    )]
    ClientUnknown { client: String, tenant: String },
    #[error(
        "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type."
    )]
    CredentialMissing,
    #[error(
        "No matching federated identity record found for presented assertion audience '{0}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    FederationAudience(String),
    #[error(
        "No matching federated identity record found for presented assertion issuer '{0}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    FederationIssuer(String),
    #[error(
        "The certificate with identifier {kid} used to sign the federated credential could not be found in the metadata of identity provider {issuer}. Please validate that your Identity Provider's metadata exposes the key used to sign the incoming token."
    )]
    FederationKey { kid: String, issuer: String },
    #[error(
        "Client assertion contains an invalid signature. [Reason - {}, Identifier of key used by the issuer: '{kid}', app Id '{client}'.]",
        KeyReason::Signature
    )]
    FederationSignature { kid: String, client: String },
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. The subject matches with case-insensitive comparison, but not with case-sensitive comparison. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    FederationSubjectCase(String),
    #[error(
        "No matching federated identity record found for presented assertion subject '{0}'. Check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
    )]
    FederationUnmatched(String),
    #[error("The app requested an unsupported grant type '{0}'.")]
    GrantUnsupported(String),
    #[error("Unknown or invalid instance.")]
    InstanceUnknown,
    #[error(
        "Request to External OIDC endpoint failed. The keys of '{0}' cannot be fetched; the log of this server says why."
    )]
    IssuerUnavailable(String),
    #[error(
        "Client assertion contains an invalid signature. [Reason - {reason}, Thumbprint of key used by client: '{thumbprint}'{found}, Please visit the Azure Portal, Graph Explorer or directly use MS Graph to see configured keys for app Id '{client}'.]"
    )]
    Key { reason: KeyReason, thumbprint: String, found: String, client: String },
    #[error("Invalid request. Request is malformed or invalid.")]
    Malformed,
    #[error("The endpoint only accepts {allowed} requests. Received a {received} request.")]
    Method { allowed: &'static str, received: String },
    #[error("The request body must contain the following parameter: '{0}'.")]
    Missing(&'static str),
    #[error("The request is not properly formatted. The parameter '{0}' is duplicated.")]
    Repeated(String),
    #[error(
        "The resource is disabled or the resource named {0} was not found. Check your app's code to ensure that you have specified the exact resource URL for the resource you're trying to access."
    )]
    ResourceMalformed(String),
    #[error("The 'resource' request parameter is not supported.")]
    ResourceOnV2,
    #[error(
        "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant."
    )]
    ResourceUnknown { resource: String, tenant: String },
    #[error(
        "The provided value for the input parameter scope is not valid because it contains more than one resource. Scope {0} is not valid."
    )]
    ScopeResources(String),
    #[error(
        "The provided value for scope {0} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier (application ID URI)."
    )]
    ScopeSuffix(String),
    #[error(
        "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{0}'."
    )]
    SecretWrong(String),
    #[error(
        "No tenant-identifying information found in either the request or implied by any provided credentials."
    )]
    TenantNone,
    #[error(
        "Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the tenant."
    )]
    TenantUnknown { name: String, at: TenantAt },
    #[error("The request body is too large.")]
    TooLarge,
    #[error("A transient error has occurred. Please try again.")]
    Transient,
}

/// Reasons why the key of an assertion is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyReason {
    #[error("The key used is expired.")]
    Expired,
    #[error("The key was not found.")]
    NotFound,
    #[error("The key used is not yet valid.")]
    NotYetValid,
    #[error("The provided signature value did not match the expected signature value.")]
    Signature,
}

/// Endpoint at which a request named an unknown tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TenantAt {
    Discovery,
    Token,
}

/// A row of the table: status, `error` (RFC 6749 section 5.2 and Entra's own) and AADSTS code.
pub(super) type Row = (StatusCode, &'static str, u32);

impl StsError {
    pub(super) const fn row(&self) -> Row {
        const BAD: StatusCode = StatusCode::BAD_REQUEST;
        // RFC 6749 allows 401 for a client that failed to authenticate, and Entra sends it.
        const DENIED: StatusCode = StatusCode::UNAUTHORIZED;
        match self {
            Self::AssertionAudience => (DENIED, "invalid_client", 700_023),
            Self::AssertionClient => (DENIED, "invalid_client", 700_021),
            Self::AssertionMalformed => (BAD, "invalid_request", 50_027),
            Self::AssertionLife { .. } | Self::AssertionTime { .. } => {
                (DENIED, "invalid_client", 700_024)
            }
            Self::ClientForeign { .. } => (DENIED, "invalid_client", 7_000_229),
            Self::ClientUnknown { .. } => (BAD, "unauthorized_client", 700_016),
            Self::CredentialMissing => (DENIED, "invalid_client", 7_000_216),
            Self::FederationAudience(_) => (DENIED, "invalid_client", 700_212),
            Self::FederationIssuer(_) => (DENIED, "invalid_client", 700_211),
            Self::FederationKey { .. } => (DENIED, "invalid_client", 7_000_272),
            Self::FederationSubjectCase(_) => (DENIED, "invalid_client", 7_002_138),
            Self::FederationUnmatched(_) => (DENIED, "invalid_client", 700_213),
            Self::GrantUnsupported(_) => (BAD, "unsupported_grant_type", 70_003),
            Self::InstanceUnknown => (BAD, "invalid_instance", 50_049),
            Self::IssuerUnavailable(_) => (BAD, "invalid_request", 50_166),
            Self::FederationSignature { .. } | Self::Key { .. } => {
                (DENIED, "invalid_client", 700_027)
            }
            Self::Malformed => (BAD, "invalid_request", 9_002_313),
            Self::Method { .. } => (StatusCode::METHOD_NOT_ALLOWED, "invalid_request", 900_561),
            Self::Missing(_) => (BAD, "invalid_request", 900_144),
            Self::Repeated(_) => (BAD, "invalid_request", 9_000_411),
            Self::ResourceMalformed(_) => (BAD, "invalid_resource", 50_001),
            Self::ResourceOnV2 => (BAD, "invalid_request", 901_002),
            Self::ResourceUnknown { .. } => (BAD, "invalid_resource", 500_011),
            Self::ScopeResources(_) => (BAD, "invalid_scope", 700_022),
            Self::ScopeSuffix(_) => (BAD, "invalid_scope", 1_002_012),
            Self::SecretWrong(_) => (DENIED, "invalid_client", 7_000_215),
            Self::TenantNone => (BAD, "invalid_request", 50_059),
            Self::TenantUnknown { at: TenantAt::Discovery, .. } => (BAD, "invalid_tenant", 90_002),
            Self::TenantUnknown { at: TenantAt::Token, .. } => (BAD, "invalid_request", 90_002),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request", 9_002_313),
            Self::Transient => (StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", 90_033),
        }
    }
}

/// Formats a time for a text: `2024-01-01T00:00:00.0000000Z`.
pub(super) fn moment(time: UnixSeconds) -> String {
    rfc3339(time).replace('Z', ".0000000Z")
}

/// Formats a time for a field: `2024-01-01 00:00:00Z`.
pub(super) fn timestamp(time: UnixSeconds) -> String {
    rfc3339(time).replace('T', " ")
}

fn rfc3339(time: UnixSeconds) -> String {
    const YEAR_9999_END: u64 = 253_402_300_799; // an assertion may name any date
    let since_epoch = std::time::Duration::from_secs(time.0.min(YEAR_9999_END));
    humantime::format_rfc3339_seconds(std::time::SystemTime::UNIX_EPOCH + since_epoch).to_string()
}
