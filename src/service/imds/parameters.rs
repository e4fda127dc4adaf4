//! Parameters of token requests.

use std::borrow::Cow;
use std::sync::Arc;

use super::error::ImdsError;
use super::query::{Query, QueryError};
use super::versions;
use crate::base::clock::UnixSeconds;
use crate::service::broker::TokenRequest;
use crate::service::cache::Freshness;
use crate::service::faults::Asked;
use crate::service::world::{Selector, Vm};

/// Parameters of a token request.
#[derive(Debug)]
pub(super) struct Parameters<'a> {
    pub(super) selector: Option<Selector>,
    pub(super) resource: Cow<'a, str>,
    pub(super) freshness: Freshness,
}

impl<'a> Parameters<'a> {
    /// Reads the parameters of a request to the identity endpoint, which must name an api-version.
    pub(super) fn read(query: &Query<'a>) -> Result<Self, ImdsError> {
        let version = versions::require(query, versions::IDENTITY_SINCE)?;
        query.refuse_repeats()?;
        let selector = selector(query)?;
        let freshness = freshness(query, version)?;
        Ok(Self { selector, resource: resource(query)?, freshness })
    }

    /// Reads the parameters of a request to the VM extension endpoint.
    pub(super) fn read_without_version(query: &Query<'a>) -> Result<Self, ImdsError> {
        query.refuse_repeats()?;
        let selector = selector(query)?;
        Ok(Self { selector, resource: resource(query)?, freshness: Freshness::Held })
    }

    /// Copies the parameters of a request.
    pub(super) fn of(request: &TokenRequest<'_>) -> Self {
        let TokenRequest { selector, resource, freshness } = *request;
        Self { selector: selector.cloned(), resource: resource.to_owned().into(), freshness }
    }

    pub(super) fn request(&self) -> TokenRequest<'_> {
        let Self { selector, resource, freshness } = self;
        TokenRequest { selector: selector.as_ref(), resource, freshness: *freshness }
    }
}

/// Returns the resource, a required parameter.
pub(super) fn resource<'a>(query: &Query<'a>) -> Result<Cow<'a, str>, ImdsError> {
    let resource = query.get("resource")?.filter(|resource| !resource.is_empty());
    resource.ok_or(ImdsError::ResourceMissing)
}

/// Returns the selector, if the query has one. A value that cannot be an id selects no identity.
fn selector(query: &Query<'_>) -> Result<Option<Selector>, ImdsError> {
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

/// Returns what a query of any of the three endpoints asks for. A query that is refused asks for no identity.
pub(super) fn asked(vm: Option<&Arc<Vm>>, query: &str, now: UnixSeconds) -> Asked {
    const SELECTORS: [(&str, ReadSelector); 6] = [
        ("client_id", by_client_id),
        ("clientid", by_client_id),
        ("object_id", by_object_id),
        ("principal_id", by_object_id),
        ("msi_res_id", by_resource_id),
        ("mi_res_id", by_resource_id),
    ];
    let Ok(query) = Query::parse(query) else { return Asked::of_vm(vm, None, None) };
    let held = selector_among(&query, &SELECTORS).ok().and_then(|selector| {
        let held = vm?.select(selector.as_ref(), now).ok()?;
        Some(&held.identity)
    });
    Asked::of_vm(vm, held, resource(&query).ok().map(Cow::into_owned))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bypassed_by_true_alone_and_from_one_version_on() {
        let read = |version: &str, value: &str| {
            let query = format!("api-version={version}&resource=a&bypass_cache={value}");
            let query = Query::parse(&query).unwrap();
            Parameters::read(&query).map(|read| read.freshness).ok()
        };
        let (old, new) = ("2018-02-01", versions::BYPASS_SINCE);
        assert_eq!(read(old, "true"), Some(Freshness::Held));
        assert_eq!(read(old, "false"), Some(Freshness::Held));
        assert_eq!(read(new, "true"), Some(Freshness::Renewed));
        assert_eq!(read(new, "false"), None);
    }
}
