//! Answers, and the headers that all answers carry.

use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, EXPIRES, HeaderMap, HeaderName, HeaderValue, PRAGMA,
    RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use serde_json::Value;

use super::date;
use super::error::ArmError;
use crate::base::clock::UnixSeconds;
use crate::base::http::{Payload, give_reason, json_reply};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const ROUTING_ID: HeaderName = HeaderName::from_static("x-ms-routing-request-id");
const CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_ID: HeaderName = HeaderName::from_static("x-ms-return-client-request-id");
const FAILURE_CAUSE: HeaderName = HeaderName::from_static("x-ms-failure-cause");

/// An answer that is still without its common headers.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    body: Option<Value>,
    headers: Vec<(HeaderName, String)>,
}

impl Reply {
    /// Returns an answer with a body.
    pub(super) const fn json(status: StatusCode, body: Value) -> Self {
        Self { status, body: Some(body), headers: Vec::new() }
    }

    /// Returns a 200 with a body.
    pub(super) const fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// Returns the answer to a `PUT`: 200 if the resource existed `before`, 201 if it is new.
    pub(super) fn put<T>(before: Option<&T>, body: Value) -> Self {
        Self::json(before.map_or(StatusCode::CREATED, |_| StatusCode::OK), body)
    }

    /// Returns an answer without a body.
    pub(super) const fn empty(status: StatusCode) -> Self {
        Self { status, body: None, headers: Vec::new() }
    }

    /// Adds a header.
    pub(super) fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn into_response(self) -> Response<Payload> {
        let mut response = self.body.map_or_else(
            || Response::new(Payload::default()),
            |body| json_reply(self.status, body.to_string()),
        );
        *response.status_mut() = self.status;
        for (name, value) in self.headers {
            insert(response.headers_mut(), name, &value);
        }
        response
    }
}

fn refused(error: &ArmError) -> Response<Payload> {
    if matches!(error, ArmError::Store(_)) {
        tracing::error!(%error, source = ?std::error::Error::source(error), "a write failed");
    }
    let mut response = json_reply(error.status(), error.body().to_string());
    give_reason(&mut response, error);
    let headers = response.headers_mut();
    if error.is_of_gateway() {
        headers.insert(FAILURE_CAUSE, HeaderValue::from_static("gateway"));
    }
    match error {
        ArmError::Unauthenticated { challenge, .. } => {
            insert(headers, WWW_AUTHENTICATE, &challenge.header());
        }
        ArmError::MethodNotAllowed { allowed, .. } => {
            headers.insert(ALLOW, HeaderValue::from_static(allowed));
        }
        ArmError::Unwritable(_) => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("10"));
        }
        _ => {}
    }
    response
}

/// Facts about the request that the headers of its answer depend on.
pub(super) struct Envelope<'a> {
    pub(super) request_id: &'a str,
    pub(super) method: &'a Method,
    pub(super) request: &'a HeaderMap,
    pub(super) has_subscription: bool,
    pub(super) now: UnixSeconds,
}

impl Envelope<'_> {
    /// Builds the whole answer.
    pub(super) fn seal(&self, outcome: Result<Reply, ArmError>) -> Response<Payload> {
        let mut response = match outcome {
            Ok(reply) => reply.into_response(),
            Err(error) => refused(&error),
        };
        let headers = response.headers_mut();
        self.name(headers);
        self.count(headers);
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(EXPIRES, HeaderValue::from_static("-1"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if *self.method == Method::HEAD {
            // A reply without a body needs no length.
            headers.remove(CONTENT_LENGTH);
        }
        response
    }

    fn name(&self, headers: &mut HeaderMap) {
        let request_id = self.request_id;
        insert(headers, REQUEST_ID, request_id);
        let routing = format!("LOCAL:{}:{request_id}", date::compact(self.now));
        insert(headers, ROUTING_ID, &routing);
        let given = self.request.get(CORRELATION_ID).filter(|value| is_id(value));
        match given {
            Some(given) => {
                headers.insert(CORRELATION_ID, given.clone());
            }
            None => insert(headers, CORRELATION_ID, request_id),
        }
        let wants = self.request.get(RETURN_CLIENT_ID).map(HeaderValue::as_bytes);
        if wants.is_some_and(|wants| wants.eq_ignore_ascii_case(b"true"))
            && let Some(id) = self.request.get(CLIENT_ID).filter(|value| is_id(value))
        {
            headers.insert(CLIENT_ID, id.clone());
        }
    }

    /// Sets the remaining rate limits. They are always those after a first request, because nothing is
    /// limited here.
    fn count(&self, headers: &mut HeaderMap) {
        let (left, all) = match *self.method {
            Method::GET | Method::HEAD => ("249", "3749"),
            _ => ("199", "2999"),
        };
        let [own, global] = match (self.has_subscription, self.method.as_str()) {
            (true, "GET" | "HEAD") => ["subscription-reads", "subscription-global-reads"],
            (true, "DELETE") => ["subscription-deletes", "subscription-global-deletes"],
            (true, _) => ["subscription-writes", "subscription-global-writes"],
            (false, "GET" | "HEAD") => ["tenant-reads", "tenant-global-reads"],
            (false, _) => ["tenant-writes", "tenant-global-writes"],
        };
        for (name, left) in [(own, left), (global, all)] {
            let name = format!("x-ms-ratelimit-remaining-{name}");
            if let Ok(name) = HeaderName::try_from(name) {
                headers.insert(name, HeaderValue::from_static(left));
            }
        }
    }
}

/// Returns true if a client's id is short plain text and may be sent back.
fn is_id(value: &HeaderValue) -> bool {
    (1..=128).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// Sets a header. A value that is not valid in a header is left out.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
