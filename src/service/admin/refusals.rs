//! Refusals of the admin endpoint.

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::base::http::{Payload, text_reply};

/// Returns the answer to a change that the store did not take.
pub(super) fn not_stored(what: &str) -> Response<Payload> {
    let text = format!("{what} could not be stored; the log says why\n");
    let mut refused = text_reply(StatusCode::SERVICE_UNAVAILABLE, text);
    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("10"));
    refused
}

/// Returns the answer to a change that failed.
pub(super) fn failed(what: &str) -> Response<Payload> {
    text_reply(StatusCode::INTERNAL_SERVER_ERROR, format!("{what}\n"))
}

/// Returns the answer to a request without the secret.
pub(super) fn unauthorized() -> Response<Payload> {
    let mut refused = text_reply(
        StatusCode::UNAUTHORIZED,
        "send `Authorization: Bearer SECRET`; the secret is in the file that `mintbench serve` prints after `admin-secret`\n",
    );
    refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    refused
}

/// Returns the answer to a method that the path does not take.
pub(super) fn refused_verb(allowed: &'static str) -> Response<Payload> {
    let mut refused =
        text_reply(StatusCode::METHOD_NOT_ALLOWED, format!("only {allowed} is allowed\n"));
    refused.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    refused
}
