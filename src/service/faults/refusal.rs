//! Refusals, with the body that each endpoint has for a status.

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::document::Endpoint;
use crate::base::http::{Payload, give_reason, json_reply};

/// Reason in the log.
#[derive(Debug, thiserror::Error)]
#[error("the fault plan of this server wants it")]
struct OnPurpose;

/// Returns the answer of an endpoint with this status.
pub(super) fn answer(
    endpoint: Endpoint,
    status: StatusCode,
    retry_after: Option<u32>,
) -> Response<Payload> {
    let mut refused = json_reply(status, body(endpoint, status).to_string());
    if let Some(seconds) = retry_after {
        refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    give_reason(&mut refused, &OnPurpose);
    refused
}

fn body(endpoint: Endpoint, status: StatusCode) -> Value {
    let number = status.as_u16();
    let said = status.canonical_reason().unwrap_or("Refused");
    match endpoint {
        Endpoint::Imds | Endpoint::VmExtension | Endpoint::TokenSource => {
            let (error, description) = match number {
                404 => return json!({ "error": "Not Found" }), // (seen)
                // (seen): the code is that of a bad request.
                429 => ("invalid_request", "Temporarily throttled, too many requests"),
                500 => ("unknown", "Failed to retrieve token from the Active directory"), // (seen)
                503 => ("service_unavailable", "The service is unavailable"),
                _ => ("server_error", said),
            };
            json!({ "error": error, "error_description": description })
        }
        Endpoint::AppService => json!({ "statusCode": number, "message": said }),
        Endpoint::Sts => {
            let text = "AADSTS90033: A transient error has occurred. Please try again.";
            json!({ "error": "temporarily_unavailable", "error_description": text, "error_codes": [90033] })
        }
        Endpoint::Arm | Endpoint::Vault => {
            let code = match number {
                429 if endpoint == Endpoint::Vault => "Throttled".to_owned(),
                _ => said.replace(' ', ""),
            };
            json!({ "error": { "code": code, "message": said } })
        }
    }
}
