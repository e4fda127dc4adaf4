//! Headers and serialization of all answers, as Azure's vaults send them.

use std::net::IpAddr;

use hyper::header::{
    CACHE_CONTROL, EXPIRES, HeaderName, HeaderValue, PRAGMA, STRICT_TRANSPORT_SECURITY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use uuid::Uuid;

use super::located::{AUDIENCE, Located};
use crate::base::http::Payload;

/// Facts about an answer that its headers show.
pub(super) struct Answered<'a> {
    /// Address of the caller.
    pub(super) address: IpAddr,
    pub(super) request_id: Uuid,
    pub(super) located: Option<&'a Located>,
    pub(super) authority: &'a str,
}

const FIXED: [(HeaderName, HeaderValue); 6] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    (PRAGMA, HeaderValue::from_static("no-cache")),
    (EXPIRES, HeaderValue::from_static("-1")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000;includeSubDomains")),
    (
        HeaderName::from_static("x-ms-keyvault-service-version"),
        HeaderValue::from_static(concat!("mintbench/", env!("CARGO_PKG_VERSION"))),
    ),
];

impl Answered<'_> {
    pub(super) fn put_headers(&self, response: &mut Response<Payload>) {
        let is_challenge = response.status() == StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        headers.extend(FIXED);
        let mut put = |name, text: String| {
            // Clients of the control plane choose regions freely. A region that is not valid in a header is
            // left out.
            if let Ok(value) = HeaderValue::try_from(text) {
                headers.insert(name, value);
            }
        };
        put(HeaderName::from_static("x-ms-request-id"), self.request_id.to_string());
        put(HeaderName::from_static("x-ms-keyvault-network-info"), self.network());
        if let Some(located) = self.located {
            let region = located.vault.location.clone();
            put(HeaderName::from_static("x-ms-keyvault-region"), region);
            if is_challenge {
                put(WWW_AUTHENTICATE, self.challenge(located));
            }
        }
    }

    /// Returns the challenge: the token service and the resource to ask for. Clients look for the double
    /// quotes.
    fn challenge(&self, located: &Located) -> String {
        let (authority, tenant_id) = (self.authority, located.tenant_id);
        format!(r#"Bearer authorization="{authority}/{tenant_id}", resource="{AUDIENCE}""#)
    }

    fn network(&self) -> String {
        let address = self.address.to_canonical();
        let (kind, family) =
            if address.is_ipv4() { ("Ipv4", "InterNetwork") } else { ("Ipv6", "InterNetworkV6") };
        format!("conn_type={kind};addr={address};act_addr_fam={family};")
    }
}

/// Returns a 204, which has no body and so no content type.
pub(super) fn no_content() -> Response<Payload> {
    let mut response = Response::new(Payload::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Serializes a body.
pub(super) fn json(body: &impl Serialize) -> String {
    // Strings, numbers and maps with string keys always serialize.
    serde_json::to_string(body).unwrap_or_default()
}
