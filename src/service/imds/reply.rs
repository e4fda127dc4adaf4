//! Answers with a token, and the headers of all answers.

use hyper::header::{HeaderMap, HeaderName, HeaderValue, SERVER};
use hyper::{Response, StatusCode};
use uuid::Uuid;
use uuid::fmt::Hyphenated;

use crate::base::http::{Payload, json_reply};
use crate::service::broker::Via;

/// Header with the origin of an answer, for measurements. The real service has no such header.
const CACHE: HeaderName = HeaderName::from_static("x-mintbench-cache");

/// Header with the id of the request.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");

/// Value of `Server`. MSAL.NET recognises the service by `IMDS/`.
const SERVER_NAME: HeaderValue =
    HeaderValue::from_static(concat!("IMDS/150.870.65.0 mintbench/", env!("CARGO_PKG_VERSION")));

/// Returns the response that carries a token.
pub(super) fn token_reply(via: Via, body: impl Into<Payload>) -> Response<Payload> {
    let mut response = json_reply(StatusCode::OK, body);
    response.headers_mut().insert(CACHE, HeaderValue::from_static(via.as_str()));
    response
}

/// Adds the headers of all answers of the identity endpoint.
pub(super) fn mark(headers: &mut HeaderMap, request_id: Uuid) {
    headers.insert(SERVER, SERVER_NAME);
    let mut text = [0; Hyphenated::LENGTH];
    if let Ok(id) = HeaderValue::from_str(request_id.hyphenated().encode_lower(&mut text)) {
        headers.insert(REQUEST_ID, id);
    }
}
