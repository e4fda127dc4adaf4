//! `GET /metadata/identity/oauth2/token`.

use std::time::{Duration, SystemTime};

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::error::ImdsError;
use super::query::Query;
use super::{Imds, versions};
use crate::broker::{TokenError, TokenRequest};
use crate::cache::Freshness;
use crate::clock::UnixSeconds;
use crate::http::{Payload, json_reply};
use crate::world::{SelectError, Selector, VmIndex};

/// Says how an answer came about; for measuring, and unknown to the real service.
const CACHE: HeaderName = HeaderName::from_static("x-mintbench-cache");

impl Imds {
    pub(super) async fn token(
        &self,
        caller: Option<VmIndex>,
        query: &Query<'_>,
        request_id: &str,
    ) -> Result<Response<Payload>, ImdsError> {
        versions::require(query, versions::IDENTITY_SINCE)?;
        query.refuse_repeats()?;
        let selector = selector(query)?;
        let freshness = freshness(query)?;
        let resource = query.get("resource")?.filter(|resource| !resource.is_empty());
        let resource = resource.ok_or(ImdsError::ResourceMissing)?;
        let vm = caller.ok_or(ImdsError::UnknownCaller)?;
        let now = self.clock.now();
        let request = TokenRequest { selector: selector.as_ref(), resource: &resource, freshness };
        let answer = self
            .broker
            .token(vm, &request, now)
            .await
            .map_err(|error| refusal(error, request_id, now))?;
        let mut response = json_reply(StatusCode::OK, answer.token().body(now));
        response.headers_mut().insert(CACHE, HeaderValue::from_static(answer.via.as_str()));
        Ok(response)
    }
}

/// The selector, if one is given; a value that no id can have finds no identity.
fn selector(query: &Query<'_>) -> Result<Option<Selector>, ImdsError> {
    // `mi_res_id` is the older spelling; real IMDS takes both.
    let ids = [
        query.get("client_id")?.map(|id| id.parse().ok().map(Selector::ClientId)),
        query.get("object_id")?.map(|id| id.parse().ok().map(Selector::ObjectId)),
        query.get("msi_res_id")?.map(|id| id.parse().ok().map(Selector::ResourceId)),
        query.get("mi_res_id")?.map(|id| id.parse().ok().map(Selector::ResourceId)),
    ];
    let mut given = ids.into_iter().flatten();
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(Some(selector)), None) => Ok(Some(selector)),
        (Some(None), None) => Err(ImdsError::Token(SelectError::NotFound.into())),
        (Some(_), Some(_)) => Err(ImdsError::SelectorConflict),
    }
}

/// `bypass_cache` has the one value `true` (IMDS specification of 2023-07-01).
fn freshness(query: &Query<'_>) -> Result<Freshness, ImdsError> {
    match query.raw("bypass_cache") {
        None => Ok(Freshness::Held),
        Some("true") => Ok(Freshness::Renewed),
        Some(_) => Err(ImdsError::InvalidParameter("bypass_cache")),
    }
}

fn refusal(error: TokenError, request_id: &str, now: UnixSeconds) -> ImdsError {
    match error {
        TokenError::UnknownResource { resource, tenant } => {
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(now.0);
            let timestamp = humantime::format_rfc3339_seconds(time).to_string().replace('T', " ");
            ImdsError::UnknownResource {
                resource,
                tenant,
                request_id: request_id.to_owned(),
                timestamp,
            }
        }
        other => ImdsError::Token(other),
    }
}
