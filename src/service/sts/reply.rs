//! Common parts of the token endpoint's answers: the ids for tracing, the headers, and the error object.

use hyper::header::{
    ALLOW, CACHE_CONTROL, EXPIRES, HeaderMap, HeaderName, HeaderValue, PRAGMA,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use super::error::{StsError, timestamp};
use super::route::Version;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::http::{Payload, give_reason, json_reply};
use crate::service::token::{Issuer, Token};

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("return-client-request-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-request-id");
const SERVER: HeaderName = HeaderName::from_static("x-ms-ests-server");
/// Header with version, error and suberror, for the telemetry of Microsoft's libraries.
const TELEMETRY: HeaderName = HeaderName::from_static("x-ms-clitelem");
const P3P: HeaderName = HeaderName::from_static("p3p");

/// The ids of one request, and its time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trace {
    /// `trace_id` and `x-ms-request-id`: generated here.
    id: Uuid,
    /// `correlation_id`: the client's `client-request-id`, if it is a GUID; otherwise generated here.
    correlation_id: Uuid,
    /// The client's choice whether the answer repeats its id.
    echo: Echo,
    pub(super) now: UnixSeconds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Echo {
    Requested,
    Omitted,
}

impl Trace {
    /// Creates the trace of a request with these headers; `fresh` holds two ids that no other request has.
    pub(super) fn of(headers: &HeaderMap, fresh: [Uuid; 2], now: UnixSeconds) -> Self {
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let [id, other] = fresh;
        let own = text(CLIENT_REQUEST_ID).and_then(|id| Uuid::try_parse(id).ok());
        let asked =
            text(RETURN_CLIENT_REQUEST_ID).is_some_and(|it| it.eq_ignore_ascii_case("true"));
        let echo = if asked && own.is_some() { Echo::Requested } else { Echo::Omitted };
        Self { id, correlation_id: own.unwrap_or(other), echo, now }
    }

    fn mark(&self, response: &mut Response<Payload>, code: u32) {
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store, no-cache"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        headers.insert(EXPIRES, HeaderValue::from_static("-1"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let p3p = r#"CP="DSP CUR OTPi IND OTRi ONL FIN""#;
        headers.insert(P3P, HeaderValue::from_static(p3p));
        headers.insert(SERVER, HeaderValue::from_static("2.1.0 - mintbench"));
        // `Strict-Transport-Security` is omitted: a browser would keep it for the whole of localhost.
        let mut ids = vec![(REQUEST_ID, self.id.to_string()), (TELEMETRY, format!("1,{code},0,,"))];
        if self.echo == Echo::Requested {
            ids.push((CLIENT_REQUEST_ID, self.correlation_id.to_string()));
        }
        let ids = ids.into_iter().filter_map(|(name, id)| Some((name, id.try_into().ok()?)));
        headers.extend::<Vec<(HeaderName, HeaderValue)>>(ids.collect());
    }

    /// Returns the response for an error. Entra separates the ids by line breaks on its old endpoint and by
    /// spaces on the new one.
    pub(super) fn refusal(&self, error: &StsError, version: Version) -> Response<Payload> {
        let (status, name, code) = error.row();
        let timestamp = timestamp(self.now);
        let break_ = match version {
            Version::V1 => "\r\n",
            Version::V2 => " ",
        };
        let Self { id, correlation_id, .. } = self;
        let description = format!(
            "AADSTS{code}: {error}{break_}Trace ID: {id}{break_}Correlation ID: {correlation_id}{break_}Timestamp: {timestamp}"
        );
        let body = Refusal {
            error: name,
            error_description: &description,
            error_codes: [code],
            timestamp: &timestamp,
            trace_id: &id.to_string(),
            correlation_id: &correlation_id.to_string(),
            error_uri: &format!("https://login.microsoftonline.com/error?code={code}"),
        };
        let mut response = json(status, &body);
        give_reason(&mut response, error);
        self.mark(&mut response, code);
        if let StsError::Method { allowed, .. } = error {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
        }
        response
    }

    /// Returns the response that carries `token`: few fields with numbers in version 2, more fields and only
    /// strings in version 1.
    pub(super) fn granted(
        &self,
        token: &Token,
        resource: &str,
        version: Version,
    ) -> Response<Payload> {
        // One second less than the lifetime, as in Entra.
        let life = token.expires_on().since(self.now + Seconds(1)).0;
        let not_before = self.now - Issuer::BACKDATED;
        let mut response = match version {
            Version::V1 => json(
                StatusCode::OK,
                &GrantedV1 {
                    token_type: "Bearer",
                    expires_in: &life.to_string(),
                    ext_expires_in: &life.to_string(),
                    expires_on: &token.expires_on().to_string(),
                    not_before: &not_before.to_string(),
                    resource,
                    access_token: token.jwt(),
                },
            ),
            Version::V2 => json(
                StatusCode::OK,
                &GrantedV2 {
                    token_type: "Bearer",
                    expires_in: life,
                    ext_expires_in: life,
                    access_token: token.jwt(),
                },
            ),
        };
        self.mark(&mut response, 0);
        response
    }
}

/// Error object of RFC 6749 section 5.2, with Entra's additional fields.
#[derive(Serialize)]
struct Refusal<'a> {
    error: &'static str,
    error_description: &'a str,
    error_codes: [u32; 1],
    timestamp: &'a str,
    trace_id: &'a str,
    correlation_id: &'a str,
    error_uri: &'a str,
}

#[derive(Serialize)]
struct GrantedV1<'a> {
    token_type: &'static str,
    expires_in: &'a str,
    ext_expires_in: &'a str,
    expires_on: &'a str,
    not_before: &'a str,
    resource: &'a str,
    access_token: &'a str,
}

/// Token response of RFC 6749 section 5.1.
#[derive(Serialize)]
struct GrantedV2<'a> {
    token_type: &'static str,
    expires_in: u64,
    ext_expires_in: u64,
    access_token: &'a str,
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Payload> {
    // Strings and numbers always serialise.
    json_reply(status, serde_json::to_vec(body).unwrap_or_default())
}
