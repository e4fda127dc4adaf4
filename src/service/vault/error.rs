//! Refusals of a vault: one table of status, code and message.
//!
//! The messages are for clients. Those marked (seen) come from the real service. No message contains a secret
//! value.

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::headers::json;
use super::keys::KeyRefusal;
use super::kind::Kind;
use super::located::AUDIENCE;
use super::query::QueryError;
use super::request::BodyRefused;
use crate::base::http::{BodyError, Payload, give_reason, json_reply};
use crate::base::ids::PrincipalId;
use crate::service::store::{Fault, StoreError};
use crate::service::token::{Bearer, BearerError};

/// Reason for a refusal.
#[derive(Debug, thiserror::Error)]
pub(super) enum VaultError {
    /// The caller is not authenticated. The answer carries a challenge.
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error(transparent)]
    BodyRefused(#[from] BodyRefused),
    #[error(
        "{capital} {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the {kind} can only be recovered or purged.",
        capital = .kind.capital()
    )] // (seen)
    Deleted { kind: Kind, name: String },
    #[error("Deleted {capital} not found: {name}", capital = .kind.capital())] // (seen)
    DeletedNotFound { kind: Kind, name: String },
    #[error(transparent)]
    Denied(#[from] Box<Denied>),
    #[error("Operation {operation} is not allowed on a disabled {kind}.")] // (seen)
    Disabled { kind: Kind, operation: &'static str },
    #[error(
        "The {kind} {name} is already in this vault; delete and purge it, or restore the backup to another vault."
    )]
    Exists { kind: Kind, name: String },
    #[error("The Host header is missing, repeated, malformed or not that of the request's target.")]
    Host,
    #[error(transparent)]
    Key(#[from] KeyRefusal),
    #[error("The HTTP method is not allowed here; allowed are: {0}.")]
    MethodNotAllowed(&'static str),
    #[error("The request URI contains an invalid name: {0}")] // (seen)
    Name(String),
    #[error(
        "A {kind} with (name/id) {id} was not found in this key vault. If you recently deleted this {kind} you may be able to recover it using the correct recovery command. For help resolving this issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
    )] // (seen)
    NotFound { kind: Kind, id: String },
    #[error("There is no such path.")]
    PathNotFound,
    #[error(
        "Operation \"purge\" is not allowed because purge protection is enabled for this vault. Key Vault service will automatically purge it after the retention period has passed.\r\nVault: {vault};location={location}"
    )] // (seen)
    PurgeProtected { vault: String, location: String },
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("The vault cannot store the change.")]
    Store(#[source] StoreError),
    /// A write whose task ended early.
    #[error("The change ended early; look whether it was made, and repeat it.")]
    Interrupted,
    #[error("The change cannot be confirmed: {0}.")]
    Unwritable(Fault),
    #[error(
        "The {kind} {name} has {max} versions, the most that this server keeps of one; take another name, delete and purge this {kind}, or start the server with a larger --max-secret-versions."
    )]
    TooManyVersions { kind: Kind, name: String, max: usize },
    #[error(
        "There is no vault '{0}'; use the host of a vault's 'vaultUri', or a host whose first label is the name of a vault."
    )]
    VaultNotFound(String),
}

/// Reason why the caller is not authenticated. The messages are the bodies of the 401. All but the last two
/// come from the real service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AccessError {
    #[error("AKV10000: Request is missing a Bearer or PoP token.")]
    Missing,
    #[error("AKV10022: Invalid audience. Expected {AUDIENCE}, found: {0}.")]
    Audience(String),
    #[error("AKV10032: Invalid issuer. Expected one of {expected}, found {found}.")]
    Issuer { expected: String, found: String },
    #[error("[TokenExpired] Error validating token: 'S2S12086'.")]
    Expired,
    #[error("[BearerReadAccessTokenFailed] Error validating token: 'S2S12005'.")]
    Malformed,
    #[error("Error validating token: {0}.")]
    Invalid(BearerError),
    #[error("Error validating token: its service principal '{0}' does not exist any more.")]
    Gone(PrincipalId),
}

/// No role of the caller permits the operation. The message has the lines of the real service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Caller is not authorized to perform action on resource.\r\n\
     If role assignments, deny assignments or role definitions were changed recently, please observe propagation time.\r\n\
     Caller: appid={};oid={};iss={}\r\n\
     Action: '{action}'\r\n\
     Resource: '{resource}'\r\n\
     Assignment: (not found)\r\n\
     DenyAssignmentId: null\r\n\
     DecisionReason: 'DeniedWithNoValidRBAC' \r\n\
     Vault: {vault};location={location}\r\n",
    bearer.client_id, bearer.principal_id, bearer.issuer
)]
pub(super) struct Denied {
    pub(super) bearer: Bearer,
    pub(super) action: &'static str,
    pub(super) resource: String,
    pub(super) vault: String,
    pub(super) location: String,
}

/// Largest number of versions in a backup (Azure, "Azure Key Vault backup and restore").
pub(super) const VERSIONS_MAX: usize = 500;

/// Reason for refusing a backup or a restore. Does not reveal the contents of the backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BackupError {
    #[error(
        "The backup is not one that this server made; a server with another certificate authority made it, or it was changed."
    )]
    Foreign,
    #[error("The body is not {{\"value\": \"...\"}} with the value that the backup answered.")]
    Malformed,
    #[error(
        "The backup is of a vault in another subscription; restore it to a vault in the same subscription."
    )]
    OtherSubscription,
    #[error("The backup could not be sealed.")]
    Seal,
    #[error("There are more than {VERSIONS_MAX} versions, which no backup holds.")]
    TooManyVersions,
}

/// The body of a refusal. Its fields are sent in this order.
#[derive(Serialize)]
struct Body {
    error: Fields<Fields<()>>,
}

#[derive(Serialize)]
struct Fields<I> {
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(rename = "innererror", skip_serializing_if = "Option::is_none")]
    inner: Option<I>,
}

impl Fields<()> {
    const fn code(code: &'static str) -> Self {
        Self { code, message: None, inner: None }
    }
}

impl From<StoreError> for VaultError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unwritable(fault) => Self::Unwritable(fault),
            other => Self::Store(other),
        }
    }
}

impl VaultError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Access(_) => StatusCode::UNAUTHORIZED,
            Self::Body(BodyError::TooLarge(_)) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Backup(_)
            | Self::Body(BodyError::Broken)
            | Self::BodyRefused(_)
            | Self::Host
            | Self::Name(_)
            | Self::Query(_) => StatusCode::BAD_REQUEST,
            Self::Key(refusal) => refusal.status(),
            Self::Denied(_) | Self::Disabled { .. } | Self::PurgeProtected { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::DeletedNotFound { .. }
            | Self::NotFound { .. }
            | Self::PathNotFound
            | Self::VaultNotFound(_) => StatusCode::NOT_FOUND,
            Self::Deleted { .. } | Self::Exists { .. } | Self::TooManyVersions { .. } => {
                StatusCode::CONFLICT
            }
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Interrupted | Self::Store(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unwritable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Returns `code`, and the `code` of the inner error.
    const fn codes(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Access(_) => ("Unauthorized", None),
            Self::Backup(_)
            | Self::Body(_)
            | Self::BodyRefused(_)
            | Self::Host
            | Self::Name(_)
            | Self::Query(_) => ("BadParameter", None),
            Self::PurgeProtected { .. } => ("Forbidden", None),
            Self::Exists { .. } | Self::TooManyVersions { .. } => ("Conflict", None),
            Self::Denied(_) => ("Forbidden", Some("ForbiddenByRbac")),
            Self::Disabled { kind, .. } => ("Forbidden", Some(kind.disabled_code())),
            Self::Key(refusal) => refusal.codes(),
            Self::DeletedNotFound { kind, .. } | Self::NotFound { kind, .. } => {
                (kind.not_found_code(), None)
            }
            Self::PathNotFound => ("NotFound", None),
            Self::VaultNotFound(_) => ("VaultNotFound", None),
            Self::Deleted { .. } => ("Conflict", Some("ObjectIsDeletedButRecoverable")),
            Self::MethodNotAllowed(_) => ("MethodNotAllowed", None),
            Self::Interrupted | Self::Store(_) => ("InternalServerError", None),
            Self::Unwritable(_) => ("ServiceUnavailable", None),
        }
    }

    pub(super) fn into_response(self) -> Response<Payload> {
        if let Self::Store(error) = &self {
            tracing::error!(%error, "a vault cannot store a change");
        }
        let (code, inner) = self.codes();
        let error =
            Fields { code, message: Some(self.to_string()), inner: inner.map(Fields::code) };
        let mut response = json_reply(self.status(), json(&Body { error }));
        give_reason(&mut response, &self);
        let header = match self {
            Self::MethodNotAllowed(allowed) => (ALLOW, allowed),
            Self::Unwritable(_) => (RETRY_AFTER, "10"),
            _ => return response,
        };
        response.headers_mut().insert(header.0, HeaderValue::from_static(header.1));
        response
    }
}
