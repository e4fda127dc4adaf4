//! Errors of the endpoint, in the form of App Service.

use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use crate::base::http::{Payload, json_reply};
use crate::service::broker::TokenError;
use crate::service::imds::error::{ImdsError, Refusal, with_hints};
use crate::service::imds::query::QueryError;

/// Reasons why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum AppServiceError {
    #[error("the api-version '{0}' is not supported; send 2019-08-01 or 2017-09-01")]
    ApiVersion(String),
    #[error(
        "the header {0} is missing, repeated, or no secret of a virtual machine; send the value of IDENTITY_HEADER"
    )]
    Header(&'static str),
    #[error(transparent)]
    Imds(#[from] ImdsError),
    #[error("the virtual machine of this secret does not exist any more")]
    VmGone,
}

impl From<QueryError> for AppServiceError {
    fn from(error: QueryError) -> Self {
        Self::Imds(error.into())
    }
}

/// Body of a refusal, in the order of App Service.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    status_code: u16,
    message: &'a str,
    correlation_id: &'a str,
}

impl AppServiceError {
    /// Returns the response.
    pub(super) fn to_response(&self, request_id: Uuid) -> Response<Payload> {
        let (status, message) = match self {
            Self::ApiVersion(_) => return unsupported(&self.to_string()),
            Self::Header(_) | Self::VmGone => (StatusCode::UNAUTHORIZED, self.to_string()),
            Self::Imds(error) => refused_alike(error),
        };
        let body = Body {
            status_code: status.as_u16(),
            message: &message,
            correlation_id: &request_id.to_string(),
        };
        // Strings and numbers always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        with_hints(json_reply(status, body), "GET")
    }
}

/// Returns status and message for an error that the identity endpoint has too.
fn refused_alike(error: &ImdsError) -> (StatusCode, String) {
    let Refusal { status, description, .. } = error.refusal();
    match error {
        ImdsError::NotFound => (StatusCode::NOT_FOUND, description),
        ImdsError::IdentityNotFound | ImdsError::Token { error: TokenError::Select(_), .. } => {
            (StatusCode::BAD_REQUEST, "Unable to load the proper Managed Identity.".to_owned()) // (seen)
        }
        // Only the status is known.
        ImdsError::Token { error: TokenError::UnknownResource { .. }, .. } => {
            (StatusCode::INTERNAL_SERVER_ERROR, description)
        }
        _ => (status, description),
    }
}

fn unsupported(message: &str) -> Response<Payload> {
    let body = json!({ "error": { "code": "UnsupportedApiVersion", "message": message } });
    json_reply(StatusCode::BAD_REQUEST, body.to_string())
}

#[cfg(test)]
mod tests {
    use hyper::header::{ALLOW, RETRY_AFTER};

    use super::*;
    use crate::base::clock::UnixSeconds;
    use crate::base::ids::TenantId;
    use crate::service::world::SelectError;

    fn of_token(error: impl Into<TokenError>) -> AppServiceError {
        let (request_id, now) = (Uuid::nil(), UnixSeconds(0));
        ImdsError::Token { error: error.into(), request_id, now }.into()
    }

    fn answer(error: &AppServiceError) -> (u16, String) {
        let (head, body) = error.to_response(Uuid::nil()).into_parts();
        (head.status.as_u16(), String::from_utf8(body.into_bytes().to_vec()).unwrap())
    }

    #[test]
    fn a_refusal_has_status_message_and_correlation_id_in_this_order() {
        let id = Uuid::nil();
        for error in [SelectError::NotFound, SelectError::Ambiguous].map(of_token) {
            let text = format!(
                r#"{{"statusCode":400,"message":"Unable to load the proper Managed Identity.","correlationId":"{id}"}}"#
            );
            assert_eq!(answer(&error), (400, text));
        }
    }

    #[test]
    fn each_error_has_its_status() {
        let unknown = TokenError::UnknownResource {
            resource: "api://nobody".to_owned(),
            tenant: TenantId::from_bytes([1; 16]),
        };
        for (error, status) in [
            (AppServiceError::Header("Secret"), 401),
            (AppServiceError::VmGone, 401),
            (AppServiceError::ApiVersion("2018-02-01".to_owned()), 400),
            (ImdsError::NotFound.into(), 404),
            (ImdsError::MethodNotAllowed("GET").into(), 405),
            (ImdsError::ResourceMissing.into(), 400),
            (ImdsError::ForwardedFor.into(), 400),
            (of_token(unknown), 500),
            (of_token(TokenError::Abandoned), 500),
            (of_token(TokenError::Busy), 503),
        ] {
            assert_eq!(answer(&error).0, status, "{error}");
        }
        let headers = |error: AppServiceError| error.to_response(Uuid::nil()).headers().clone();
        assert_eq!(headers(of_token(TokenError::Busy))[RETRY_AFTER], "1");
        assert_eq!(headers(ImdsError::MethodNotAllowed("GET").into())[ALLOW], "GET");
    }

    #[test]
    fn an_unknown_version_has_a_code_of_its_own() {
        let (_, body) = answer(&AppServiceError::ApiVersion("1".to_owned()));
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body["error"]["code"], "UnsupportedApiVersion");
        assert!(body["error"]["message"].as_str().unwrap().contains("send 2019-08-01"));
    }
}
