//! Errors of the service: one table of status and body.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use uuid::Uuid;

use super::query::QueryError;
use super::versions::{self, VersionError};
use crate::base::clock::UnixSeconds;
use crate::base::http::{BodyError, Payload, json_error, json_reply};
use crate::service::broker::TokenError;
use crate::service::directory::Caller;
use crate::service::token::MintError;
use crate::service::world::{SelectError, Throttled};

/// Reasons why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ImdsError {
    #[error("api-version is missing or unknown")]
    ApiVersion,
    #[error("the body is no acknowledgement; send {{\"StartRequests\":[{{\"EventId\":\"...\"}}]}}")]
    Acknowledgement,
    #[error("no event '{0}' is planned")]
    EventUnknown(String),
    #[error(
        "the Host header is missing, or is no address and no name of this service; call it by its address, or name it with --host-name"
    )]
    Host,
    #[error(transparent)]
    Body(#[from] BodyError),
    #[error("the request came through a proxy")]
    ForwardedFor,
    #[error("format={0} is not available here")]
    Format(String),
    #[error("the selector is no id that an identity can have")]
    IdentityNotFound,
    #[error("Required metadata header not specified")]
    MetadataHeader,
    #[error(
        "Required metadata header is not 'true'; send the header 'Metadata: true' once, in lower case"
    )]
    MetadataValue,
    #[error("only {0} is allowed")]
    MethodNotAllowed(&'static str),
    #[error("no such path")]
    NotFound,
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("Required query variable 'resource' is missing")]
    ResourceMissing,
    #[error("at most one of client_id, object_id and msi_res_id may be given")]
    SelectorConflict,
    #[error(transparent)]
    Throttled(#[from] Throttled),
    #[error("{error}")]
    Token { error: TokenError, request_id: Uuid, now: UnixSeconds },
    #[error("the caller {0} is not a virtual machine of this world")]
    UnknownCaller(IpAddr),
}

impl From<VersionError> for ImdsError {
    fn from(error: VersionError) -> Self {
        match error {
            VersionError::Query(error) => Self::Query(error),
            VersionError::Unsupported => Self::ApiVersion,
        }
    }
}

/// Contents of a refusal, before an endpoint renders them in its own form.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) error: String,
    pub(super) description: String,
}

impl Refusal {
    fn new(status: StatusCode, error: &str, description: impl Into<String>) -> Self {
        Self { status, error: error.to_owned(), description: description.into() }
    }
}

impl ImdsError {
    /// Converts the broker's error for a token that `caller` requested.
    pub(super) fn of_token(
        error: TokenError,
        caller: &Caller,
        request_id: Uuid,
        now: UnixSeconds,
    ) -> Self {
        match error {
            TokenError::UnknownCaller => Self::UnknownCaller(caller.address),
            TokenError::Throttled(reached) => Self::Throttled(reached),
            error => Self::Token { error, request_id, now },
        }
    }

    /// Returns the methods that the path supports, for `Allow`.
    const fn allowed(&self) -> &'static str {
        match self {
            Self::MethodNotAllowed(allowed) => allowed,
            _ => "GET",
        }
    }

    /// Returns the response of the instance metadata service. Bodies marked (seen) are those of the real
    /// service, byte for byte; see `docs/protocol.md`.
    pub(super) fn to_response(&self) -> Response<Payload> {
        match self {
            Self::ApiVersion => json_reply(StatusCode::BAD_REQUEST, versions::refusal()), // (seen)
            Self::NotFound => {
                json_reply(StatusCode::NOT_FOUND, r#"{"error":"Not Found"}"#.to_owned())
            } // (seen)
            other => {
                let Refusal { status, error, description } = other.refusal();
                with_hints(json_error(status, &error, &description), other.allowed())
            }
        }
    }

    /// Returns the contents of the refusal, which are the same for both endpoints.
    pub(super) fn refusal(&self) -> Refusal {
        let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", text);
        match self {
            Self::MethodNotAllowed(allowed) => Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("Only {allowed} is supported"),
            ),
            Self::UnknownCaller(address) => Refusal::new(
                StatusCode::FORBIDDEN,
                "forbidden",
                format!("The caller {address} is not a virtual machine known to this service"),
            ),
            Self::Throttled(_) => Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "invalid_request",
                "Temporarily throttled, too many requests", // (seen)
            ),
            Self::IdentityNotFound => bad("Identity not found"), // (seen)
            Self::Token { error, request_id, now } => token_refusal(error, *request_id, *now),
            // (seen) for the metadata header and the missing resource; mintbench wrote the other texts.
            other => bad(&other.to_string()),
        }
    }
}

/// Adds the headers that belong to a status: `Allow` to 405, `Retry-After` to 503.
pub(super) fn with_hints(
    mut refused: Response<Payload>,
    allowed: &'static str,
) -> Response<Payload> {
    let hint = match refused.status() {
        StatusCode::METHOD_NOT_ALLOWED => Some((ALLOW, allowed)),
        StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, "1")),
        _ => None,
    };
    if let Some((name, value)) = hint {
        refused.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    refused
}

fn token_refusal(error: &TokenError, request_id: Uuid, now: UnixSeconds) -> Refusal {
    let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", text);
    match error {
        TokenError::Select(SelectError::NotFound) => bad("Identity not found"), // (seen)
        TokenError::Select(SelectError::Ambiguous) => bad(
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request", // (seen)
        ),
        TokenError::UnknownResource { resource, tenant } => {
            let timestamp = timestamp(now);
            let text = format!(
                "AADSTS500011: The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.\r\nTrace ID: {request_id}\r\nCorrelation ID: {request_id}\r\nTimestamp: {timestamp}"
            );
            Refusal::new(StatusCode::BAD_REQUEST, "invalid_resource", text) // (seen)
        }
        TokenError::Busy => Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "service_unavailable",
            "Too many tokens are waiting to be minted, retry later",
        ),
        // Errors of the token service are passed through, as the real service does (seen).
        TokenError::Mint(MintError::Refused { error, description }) => {
            Refusal::new(StatusCode::BAD_REQUEST, error, description)
        }
        TokenError::Abandoned
        | TokenError::Mint(_)
        | TokenError::Throttled(_)
        | TokenError::UnknownCaller => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "Failed to retrieve token from the Active directory",
        ),
    }
}

/// Formats a time as Entra does: `2024-01-01 00:00:00Z`.
fn timestamp(now: UnixSeconds) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.0);
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ")
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use hyper::body::Body as _;

    fn refused(error: impl Into<TokenError>) -> ImdsError {
        let (request_id, now) = (Uuid::nil(), UnixSeconds(0));
        ImdsError::Token { error: error.into(), request_id, now }
    }

    fn length(error: &ImdsError) -> Option<u64> {
        error.to_response().body().size_hint().exact()
    }

    #[test]
    fn bodies_have_the_lengths_seen_on_the_wire() {
        assert_eq!(length(&ImdsError::MetadataHeader), Some(88));
        assert_eq!(length(&ImdsError::ResourceMissing), Some(95));
        assert_eq!(length(&refused(SelectError::NotFound)), Some(68));
        assert_eq!(length(&refused(SelectError::Ambiguous)), Some(168));
        let throttled = ImdsError::Throttled(Throttled::Concurrent(NonZeroU32::MIN));
        assert_eq!(length(&throttled), Some(90));
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let answer = refused(TokenError::Busy).to_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
    }
}
