//! Endpoint of App Service and Functions: `GET /msi/token`, versions 2017-09-01 and 2019-08-01.
//!
//! The secret in the header decides which virtual machine asks. So programs of several machines can run on one
//! host, where they cannot choose their source addresses. Tokens come from the same broker as at the identity
//! endpoint.

mod error;
mod version;

use std::net::IpAddr;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response};
use uuid::Uuid;

use self::error::AppServiceError;
use self::version::Version;
use crate::base::clock::Clock;
use crate::base::http::{HostNames, HostRules, Payload, Peer, RequestIds, Surface, give_reason};
use crate::service::broker::{Broker, CallerSecrets, TokenError, TokenRequest};
use crate::service::cache::Freshness;
use crate::service::directory::Caller;
use crate::service::faults::{Asked, Endpoint, Target};
use crate::service::imds::admission::admit_direct;
use crate::service::imds::error::ImdsError;
use crate::service::imds::parameters::{asked, resource};
use crate::service::imds::query::Query;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The endpoint of App Service.
#[derive(Debug)]
pub(crate) struct AppService {
    broker: Arc<Broker>,
    secrets: Arc<CallerSecrets>,
    clock: Arc<dyn Clock>,
    hosts: HostRules,
    request_ids: RequestIds,
}

impl AppService {
    /// Path of the endpoint, with which `IDENTITY_ENDPOINT` ends.
    pub(crate) const PATH: &str = "/msi/token";

    /// Creates an endpoint that answers from `broker`, knows machines by `secrets` and accepts `names` as
    /// `Host`.
    pub(crate) fn new(
        broker: Arc<Broker>,
        secrets: Arc<CallerSecrets>,
        clock: Arc<dyn Clock>,
        names: HostNames,
        seed: u128,
    ) -> Self {
        let (hosts, request_ids) = (HostRules::local(names), RequestIds::new(seed));
        Self { broker, secrets, clock, hosts, request_ids }
    }

    async fn answer(
        &self,
        peer: IpAddr,
        request: Request<Incoming>,
        request_id: Uuid,
    ) -> Result<Response<Payload>, AppServiceError> {
        if !is_token_path(request.uri().path()) {
            return Err(ImdsError::NotFound.into());
        }
        if request.method() != Method::GET {
            return Err(ImdsError::MethodNotAllowed("GET").into());
        }
        admit_direct(&request, &self.hosts)?;
        let query = Query::parse(request.uri().query().unwrap_or_default())?;
        query.refuse_repeats()?;
        let version = Version::of(&query)?;
        let caller = self.caller_with(request.headers(), version, peer)?;
        let selector = version.selector(&query)?;
        let resource = resource(&query)?;
        let wanted = TokenRequest {
            selector: selector.as_ref(),
            resource: &resource,
            freshness: Freshness::Held,
        };
        let answer = self.broker.token(&caller, &wanted, &*self.clock).await;
        let refused = |error| match error {
            TokenError::UnknownCaller => AppServiceError::VmGone,
            error => ImdsError::of_token(error, &caller, request_id, self.clock.now()).into(),
        };
        Ok(version.reply(&answer.map_err(refused)?))
    }

    /// Returns the caller whose secret the header has.
    fn caller_with(
        &self,
        headers: &HeaderMap,
        version: Version,
        peer: IpAddr,
    ) -> Result<Caller, AppServiceError> {
        let mut values = headers.get_all(version.header()).iter();
        let sole = match (values.next(), values.next()) {
            (Some(value), None) => Some(value),
            _ => None,
        };
        let owner = sole.and_then(|secret: &HeaderValue| self.secrets.owner(secret.as_bytes()));
        let owner = owner.ok_or_else(|| AppServiceError::Header(version.header_name()))?;
        Ok(Caller::of_vm(owner, peer))
    }
}

/// Returns true for the path of the endpoint. App Service on Windows writes `/MSI/token/`.
fn is_token_path(path: &str) -> bool {
    path.strip_suffix('/').unwrap_or(path).eq_ignore_ascii_case(AppService::PATH)
}

impl Surface for AppService {
    type Caller = IpAddr;

    fn name(&self) -> &'static str {
        "app-service"
    }

    fn caller(&self, peer: &Peer) -> IpAddr {
        peer.addr.ip()
    }

    async fn respond(&self, peer: &IpAddr, request: Request<Incoming>) -> Response<Payload> {
        let request_id = self.request_ids.next();
        let answer = self.answer(*peer, request, request_id).await;
        let mut response = answer.unwrap_or_else(|error| {
            let mut refused = error.to_response(request_id);
            give_reason(&mut refused, &error);
            refused
        });
        if let Ok(id) = HeaderValue::from_str(&request_id.to_string()) {
            response.headers_mut().insert(CORRELATION_ID, id);
        }
        response
    }
}

impl Target for AppService {
    const ENDPOINT: Endpoint = Endpoint::AppService;

    fn asked(&self, peer: &IpAddr, request: &Request<Incoming>) -> Asked {
        let (text, now) = (request.uri().query().unwrap_or_default(), self.clock.now());
        let version = Query::parse(text).ok().and_then(|query| Version::of(&query).ok());
        let caller = version.and_then(|own| self.caller_with(request.headers(), own, *peer).ok());
        let vm = caller.and_then(|caller| self.broker.vm(&caller, now));
        asked(vm.as_ref(), text, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_has_the_spellings_of_both_systems() {
        for path in ["/msi/token", "/MSI/token/", "/MSI/token", "/msi/token/"] {
            assert!(is_token_path(path), "{path}");
        }
        for path in ["/", "/msi", "/msi/token//", "/msi/tokens", "//msi/token", "/msi%2Ftoken"] {
            assert!(!is_token_path(path), "{path}");
        }
    }
}
