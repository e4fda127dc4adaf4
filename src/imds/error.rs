//! Every way in which the service says no: one table of status and body.

use std::time::{Duration, SystemTime};

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use uuid::Uuid;

use super::query::QueryError;
use super::versions;
use crate::broker::TokenError;
use crate::clock::UnixSeconds;
use crate::http::{BodyError, Payload, json_error, json_reply};
use crate::token::MintError;
use crate::world::SelectError;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ImdsError {
    #[error("api-version is missing or unknown")]
    ApiVersion,
    #[error("the Host header is missing or not an address of this service")]
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
    #[error("only GET is allowed")]
    MethodNotAllowed,
    #[error("no such path")]
    NotFound,
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("Required query variable 'resource' is missing")]
    ResourceMissing,
    #[error("at most one of client_id, object_id and msi_res_id may be given")]
    SelectorConflict,
    #[error("{error}")]
    Token { error: TokenError, request_id: Uuid, now: UnixSeconds },
    #[error("the caller is not a virtual machine of this world")]
    UnknownCaller,
}

/// What a refusal says, before it takes the shape of one endpoint or the other.
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
    /// The answer of the instance metadata service. Bodies marked (seen) are those of the real service,
    /// byte for byte; see `docs/protocol.md`.
    pub(super) fn to_response(&self) -> Response<Payload> {
        match self {
            Self::ApiVersion => json_reply(StatusCode::BAD_REQUEST, versions::refusal()), // (seen)
            Self::NotFound => {
                json_reply(StatusCode::NOT_FOUND, r#"{"error":"Not Found"}"#.to_owned())
            } // (seen)
            other => {
                let Refusal { status, error, description } = other.refusal();
                with_hints(json_error(status, &error, &description), "GET")
            }
        }
    }

    /// What the refusal says, whatever endpoint says it.
    pub(super) fn refusal(&self) -> Refusal {
        let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", text);
        match self {
            Self::MethodNotAllowed => Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Only GET is supported",
            ),
            Self::UnknownCaller => unknown_caller(),
            Self::IdentityNotFound => bad("Identity not found"), // (seen)
            Self::Token { error, request_id, now } => token_refusal(error, *request_id, *now),
            // (seen) for the metadata header and the missing resource; the texts of the others are ours.
            other => bad(&other.to_string()),
        }
    }
}

/// Adds the headers that go with a status.
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

fn unknown_caller() -> Refusal {
    let text = "The caller is not a virtual machine known to this service";
    Refusal::new(StatusCode::FORBIDDEN, "forbidden", text)
}

fn token_refusal(error: &TokenError, request_id: Uuid, now: UnixSeconds) -> Refusal {
    let bad = |text: &str| Refusal::new(StatusCode::BAD_REQUEST, "invalid_request", text);
    match error {
        TokenError::UnknownCaller => unknown_caller(),
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
        // What the directory refuses is passed through, as the real service does (seen).
        TokenError::Mint(MintError::Refused { error, description }) => {
            Refusal::new(StatusCode::BAD_REQUEST, error, description)
        }
        TokenError::Abandoned | TokenError::Mint(_) => Refusal::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "server_error",
            "Failed to retrieve token from the Active directory",
        ),
    }
}

/// As the directory writes it: `2024-01-01 00:00:00Z`.
fn timestamp(now: UnixSeconds) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.0);
    humantime::format_rfc3339_seconds(time).to_string().replace('T', " ")
}

#[cfg(test)]
mod tests {
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
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let answer = refused(TokenError::Busy).to_response();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
    }
}
