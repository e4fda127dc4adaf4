//! Every way in which the service says no: one table of status and body.

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};

use super::query::QueryError;
use super::versions;
use crate::broker::TokenError;
use crate::http::{Payload, json_error, json_reply};
use crate::ids::TenantId;
use crate::world::SelectError;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ImdsError {
    #[error("api-version is missing or unknown")]
    ApiVersion,
    #[error("the Host header is missing or not an address of this service")]
    Host,
    #[error("the request came through a proxy")]
    ForwardedFor,
    #[error("format={0} is not available here")]
    Format(String),
    #[error("the value of '{0}' is not valid")]
    InvalidParameter(&'static str),
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
    #[error(transparent)]
    Token(TokenError),
    #[error("the caller is not a virtual machine of this world")]
    UnknownCaller,
    #[error("the resource principal named {resource} was not found in the tenant named {tenant}")]
    UnknownResource { resource: String, tenant: TenantId, request_id: String, timestamp: String },
}

impl ImdsError {
    /// Bodies marked (seen) are those of the real service, byte for byte; see `docs/protocol.md`.
    pub(super) fn into_response(self) -> Response<Payload> {
        let bad =
            |description: &str| json_error(StatusCode::BAD_REQUEST, "invalid_request", description);
        match self {
            Self::ApiVersion => json_reply(StatusCode::BAD_REQUEST, versions::refusal()), // (seen)
            Self::NotFound => {
                json_reply(StatusCode::NOT_FOUND, r#"{"error":"Not Found"}"#.to_owned())
            } // (seen)
            Self::MethodNotAllowed => {
                let text = "Only GET is supported";
                let mut refused =
                    json_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text);
                refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
                refused
            }
            Self::UnknownCaller => {
                let text = "The caller is not a virtual machine known to this service";
                json_error(StatusCode::FORBIDDEN, "forbidden", text)
            }
            Self::UnknownResource { resource, tenant, request_id, timestamp } => {
                let text = format!(
                    "AADSTS500011: The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the application has not been installed by the administrator of the tenant or consented to by any user in the tenant. You might have sent your authentication request to the wrong tenant.\r\nTrace ID: {request_id}\r\nCorrelation ID: {request_id}\r\nTimestamp: {timestamp}"
                );
                json_error(StatusCode::BAD_REQUEST, "invalid_resource", &text) // (seen)
            }
            Self::Token(error) => token_refusal(&error),
            // (seen) for the metadata header and the missing resource; the texts of the others are ours.
            other => bad(&other.to_string()),
        }
    }
}

fn token_refusal(error: &TokenError) -> Response<Payload> {
    let bad = |description| json_error(StatusCode::BAD_REQUEST, "invalid_request", description);
    match error {
        TokenError::Select(SelectError::NotFound) => bad("Identity not found"), // (seen)
        TokenError::Select(SelectError::Ambiguous) => bad(
            "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity in the token request", // (seen)
        ),
        TokenError::Busy => {
            let text = "Too many tokens are waiting to be minted, retry later";
            let mut refused =
                json_error(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", text);
            refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            refused
        }
        TokenError::Abandoned | TokenError::Mint(_) | TokenError::UnknownResource { .. } => {
            let text = "Failed to retrieve token from the Active directory";
            json_error(StatusCode::INTERNAL_SERVER_ERROR, "server_error", text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Body as _;

    fn length(error: ImdsError) -> Option<u64> {
        error.into_response().body().size_hint().exact()
    }

    #[test]
    fn bodies_have_the_lengths_seen_on_the_wire() {
        assert_eq!(length(ImdsError::MetadataHeader), Some(88));
        assert_eq!(length(ImdsError::ResourceMissing), Some(95));
        assert_eq!(length(ImdsError::Token(SelectError::NotFound.into())), Some(68));
        assert_eq!(length(ImdsError::Token(SelectError::Ambiguous.into())), Some(168));
    }

    #[test]
    fn a_full_queue_says_when_to_come_back() {
        let refused = ImdsError::Token(TokenError::Busy).into_response();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(refused.headers()[RETRY_AFTER], "1");
    }
}
