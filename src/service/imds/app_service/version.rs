//! Versions of the endpoint: the header, the selectors and the answer of each.

use hyper::Response;
use hyper::header::HeaderName;
use serde::Serialize;

use super::error::AppServiceError;
use crate::base::clock::UnixSeconds;
use crate::base::http::Payload;
use crate::service::broker::Answer;
use crate::service::imds::error::ImdsError;
use crate::service::imds::parameters::{
    by_client_id, by_object_id, by_resource_id, selector_among,
};
use crate::service::imds::query::Query;
use crate::service::imds::reply::token_reply;
use crate::service::world::Selector;

const IDENTITY_HEADER: HeaderName = HeaderName::from_static("x-identity-header");
const SECRET: HeaderName = HeaderName::from_static("secret");

/// Version of the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 2017-09-01.
    Of2017,
    /// 2019-08-01.
    Of2019,
}

/// Body of a granted request, which has strings only and no `expires_in`.
#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<&'a str>,
    expires_on: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<&'a str>,
    resource: &'a str,
    token_type: &'static str,
}

impl Version {
    /// Returns the version that a query names.
    pub(super) fn of(query: &Query<'_>) -> Result<Self, AppServiceError> {
        match query.get("api-version")?.as_deref().unwrap_or_default() {
            "2017-09-01" => Ok(Self::Of2017),
            "2019-08-01" => Ok(Self::Of2019),
            other => Err(AppServiceError::ApiVersion(other.to_owned())),
        }
    }

    /// Returns the header with the secret.
    pub(super) const fn header(self) -> HeaderName {
        match self {
            Self::Of2017 => SECRET,
            Self::Of2019 => IDENTITY_HEADER,
        }
    }

    /// Returns the header's name as documented.
    pub(super) const fn header_name(self) -> &'static str {
        match self {
            Self::Of2017 => "Secret",
            Self::Of2019 => "X-IDENTITY-HEADER",
        }
    }

    /// Returns the selector of an identity, if the query has one.
    pub(super) fn selector(self, query: &Query<'_>) -> Result<Option<Selector>, ImdsError> {
        match self {
            Self::Of2017 => selector_among(query, &[("clientid", by_client_id)]),
            Self::Of2019 => selector_among(
                query,
                &[
                    ("client_id", by_client_id),
                    ("principal_id", by_object_id),
                    ("object_id", by_object_id),
                    ("mi_res_id", by_resource_id),
                ],
            ),
        }
    }

    /// Returns the response that carries a token.
    pub(super) fn reply(self, answer: &Answer) -> Response<Payload> {
        let (token, parts) = (answer.token(), answer.token().parts());
        let date = date(token.expires_on());
        let (client_id, expires_on, not_before) = match self {
            Self::Of2017 => (None, date.as_str(), None),
            Self::Of2019 => (Some(parts.client_id), parts.expires_on, Some(parts.not_before)),
        };
        let body = Granted {
            access_token: parts.access_token,
            client_id,
            expires_on,
            not_before,
            resource: parts.resource,
            token_type: "Bearer",
        };
        // Strings always serialise.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        token_reply(answer.via, body)
    }
}

/// Formats a time as App Service on Linux does in version 2017-09-01: `06/20/2019 02:57:58 +00:00`. On Windows
/// it has 12 hours and AM or PM, and clients read both.
fn date(time: UnixSeconds) -> String {
    const YEAR_9999_END: u64 = 253_402_300_799; // the expiry may come from another token service
    let text = UnixSeconds(time.0.min(YEAR_9999_END)).rfc3339();
    let (date, clock) = text.trim_end_matches('Z').split_once('T').unwrap_or_default();
    let (year, day) = date.split_once('-').unwrap_or_default();
    format!("{}/{year} {clock} +00:00", day.replace('-', "/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_linux() {
        assert_eq!(date(UnixSeconds(1_560_999_478)), "06/20/2019 02:57:58 +00:00");
        assert_eq!(date(UnixSeconds(0)), "01/01/1970 00:00:00 +00:00");
        assert_eq!(date(UnixSeconds(u64::MAX)), "12/31/9999 23:59:59 +00:00");
    }

    #[test]
    fn a_version_is_named_exactly() {
        let of = |text: &str| Version::of(&Query::parse(text).unwrap());
        assert_eq!(of("api-version=2017-09-01"), Ok(Version::Of2017));
        assert_eq!(of("api-version=2019-08-01"), Ok(Version::Of2019));
        for other in ["", "2018-02-01", "2019-08-01-preview", "2025-03-30"] {
            let error = AppServiceError::ApiVersion(other.to_owned());
            assert_eq!(of(&format!("api-version={other}")), Err(error));
        }
        assert_eq!(of("resource=a"), Err(AppServiceError::ApiVersion(String::new())));
    }

    #[test]
    fn each_version_has_its_own_selectors() {
        let id = "c11e0000-0000-4000-8000-00000000000a";
        let selected = |version: Version, text: &str| {
            version.selector(&Query::parse(&text.replace("ID", id)).unwrap())
        };
        let client = || Ok(Some(Selector::ClientId(id.parse().unwrap())));
        let object = || Ok(Some(Selector::ObjectId(id.parse().unwrap())));
        for (version, text, expected) in [
            (Version::Of2017, "clientid=ID", client()),
            (Version::Of2017, "client_id=ID&principal_id=ID", Ok(None)),
            (Version::Of2019, "client_id=ID", client()),
            (Version::Of2019, "principal_id=ID", object()),
            (Version::Of2019, "object_id=ID", object()),
            (Version::Of2019, "clientid=ID&msi_res_id=ID", Ok(None)),
            (Version::Of2019, "mi_res_id=ID", Err(ImdsError::IdentityNotFound)),
            (Version::Of2019, "client_id=x", Err(ImdsError::IdentityNotFound)),
            (Version::Of2019, "principal_id=ID&object_id=ID", Err(ImdsError::SelectorConflict)),
            (Version::Of2019, "client_id=x&object_id=ID", Err(ImdsError::SelectorConflict)),
        ] {
            assert_eq!(selected(version, text), expected, "{version:?} {text}");
        }
    }
}
