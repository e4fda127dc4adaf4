//! `GET /metadata/identity/oauth2/token`.

use std::borrow::Cow;

use hyper::header::{HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use uuid::Uuid;

use super::endpoint::Imds;
use super::error::ImdsError;
use super::query::{Query, QueryError};
use super::versions;
use crate::base::http::{Payload, json_reply};
use crate::service::broker::{Answer, TokenRequest};
use crate::service::cache::Freshness;
use crate::service::directory::Caller;
use crate::service::world::Selector;

/// Header with the origin of an answer, for measurements. The real service has no such header.
pub(super) const CACHE: HeaderName = HeaderName::from_static("x-mintbench-cache");

impl Imds {
    pub(super) async fn token(
        &self,
        caller: &Caller,
        query: &Query<'_>,
        request_id: Uuid,
    ) -> Result<Response<Payload>, ImdsError> {
        let version = versions::require(query, versions::IDENTITY_SINCE)?;
        query.refuse_repeats()?;
        let selector = selector(query)?;
        let freshness = freshness(query, version)?;
        let resource = resource(query)?;
        let request = TokenRequest { selector: selector.as_ref(), resource: &resource, freshness };
        let answer = self.broker.token(caller, &request, &*self.clock).await;
        let refused = |error| ImdsError::of_token(error, caller, request_id, self.clock.now());
        let answer = answer.map_err(refused)?;
        Ok(reply(&answer))
    }
}

/// Returns the response that carries a token.
pub(super) fn reply(answer: &Answer) -> Response<Payload> {
    let mut response = json_reply(StatusCode::OK, answer.token().body(answer.at));
    response.headers_mut().insert(CACHE, HeaderValue::from_static(answer.via.as_str()));
    response
}

/// Returns the resource, a required parameter.
pub(super) fn resource<'a>(query: &Query<'a>) -> Result<Cow<'a, str>, ImdsError> {
    let resource = query.get("resource")?.filter(|resource| !resource.is_empty());
    resource.ok_or(ImdsError::ResourceMissing)
}

/// Returns the selector, if the query has one. A value that cannot be an id selects no identity.
pub(super) fn selector(query: &Query<'_>) -> Result<Option<Selector>, ImdsError> {
    // `mi_res_id` is the older spelling; real IMDS accepts both.
    selector_among(
        query,
        &[
            ("client_id", by_client_id),
            ("object_id", by_object_id),
            ("msi_res_id", by_resource_id),
            ("mi_res_id", by_resource_id),
        ],
    )
}

/// Function that reads the value of a selector, if it can be an id.
type ReadSelector = fn(&str) -> Option<Selector>;

pub(super) fn by_client_id(id: &str) -> Option<Selector> {
    id.parse().ok().map(Selector::ClientId)
}

pub(super) fn by_object_id(id: &str) -> Option<Selector> {
    id.parse().ok().map(Selector::ObjectId)
}

pub(super) fn by_resource_id(id: &str) -> Option<Selector> {
    id.parse().ok().map(Selector::ResourceId)
}

/// Returns the selector among these parameters, of which a query has one at most.
pub(super) fn selector_among(
    query: &Query<'_>,
    names: &[(&'static str, ReadSelector)],
) -> Result<Option<Selector>, ImdsError> {
    let mut found = None;
    for (name, read) in names {
        let Some(value) = query.get(name)? else { continue };
        if found.replace(read(&value)).is_some() {
            return Err(ImdsError::SelectorConflict);
        }
    }
    found.map(|selector| selector.ok_or(ImdsError::IdentityNotFound)).transpose()
}

/// Reads `bypass_cache`, whose only value is `true` (IMDS specification of 2023-07-01).
fn freshness(query: &Query<'_>, version: &str) -> Result<Freshness, ImdsError> {
    match query.get("bypass_cache")?.as_deref() {
        Some("true") if version >= versions::BYPASS_SINCE => Ok(Freshness::Renewed),
        Some(_) if version >= versions::BYPASS_SINCE => {
            Err(ImdsError::Query(QueryError::InvalidParameter("bypass_cache")))
        }
        _ => Ok(Freshness::Held),
    }
}
