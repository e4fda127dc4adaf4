//! Token service: tokens for clients with a certificate, a secret or a token of another issuer, and the published
//! keys and discovery documents for verifiers.
//!
//! Paths are those of Entra, below any host. The documents give this listener's URLs, with the host that the
//! client called: a client of `https://localhost:8443` gets URLs that begin with it.

mod client;
mod discovery;
mod error;
mod federated;
mod federation;
mod form;
mod reply;
mod resource;
mod route;
mod token;

use std::net::Ipv6Addr;
use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use crate::base::clock::{Clock, Seconds};
use crate::base::http::{
    BodyError, Host, HostNames, HostRules, Payload, Peer, Scheme, Surface, json_error, read_body,
};
use crate::base::ids::TenantId;
use crate::base::x509::Certificate;
use crate::service::directory::Directory;
use crate::service::faults::{Endpoint, Faults};
use crate::service::token::Issuer;
use error::{StsError, TenantAt};
pub(crate) use federation::{Federation, FederationOptions, PlainHttp};
use reply::Trace;
use route::{Document, Realm, Route, Version};

/// Longest accepted body. A form with an assertion and a certificate chain takes less than 10 kB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Settings of the token service.
#[derive(Clone, Debug)]
pub(crate) struct StsOptions {
    /// Scheme, host and port of the listener, used for requests without a usable `Host`.
    pub base_url: String,
    /// Names of this listener that clients may use, besides the addresses that it listens on.
    pub names: Vec<String>,
    /// Lifetime of applications' tokens. The issuer sets that of managed identities' tokens.
    pub application_token_lifetime: Seconds,
    /// Longest remaining lifetime of an accepted assertion; `None` for no limit, as in Entra.
    pub max_assertion_lifetime: Option<Seconds>,
    /// Trusted authorities. A certificate from one of them proves a managed identity by its subject, without
    /// being registered.
    pub trusted_issuers: Vec<Certificate>,
    /// Keys of other issuers, whose tokens prove identities with federated credentials.
    pub federation: Arc<Federation>,
    /// Seed of request ids and of the opaque claims in tokens.
    pub seed: [u8; 32],
}

/// The token service.
#[derive(Debug)]
pub(crate) struct Sts {
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    /// Issuer for managed identities.
    managed: Arc<Issuer>,
    /// Issuer for applications.
    applications: Issuer,
    /// Host and port of this listener, used for requests without a usable `Host`.
    authority: String,
    hosts: HostRules,
    max_assertion_lifetime: Option<Seconds>,
    trusted: Vec<Certificate>,
    federation: Arc<Federation>,
    rng: Mutex<StdRng>,
    faults: Arc<Faults>,
}

/// Body of a request.
#[derive(Debug)]
enum Body {
    Read(Bytes),
    TooLarge,
}

impl Sts {
    /// Creates a token service of `directory`. It mints for managed identities with `managed` and publishes
    /// the keys of that issuer.
    pub(crate) fn new(
        directory: Arc<Directory>,
        managed: Arc<Issuer>,
        clock: Arc<dyn Clock>,
        options: StsOptions,
    ) -> Self {
        let StsOptions {
            base_url,
            names,
            application_token_lifetime,
            max_assertion_lifetime,
            trusted_issuers,
            federation,
            seed,
        } = options;
        let authority = match base_url.split_once("://") {
            Some((_, authority)) => authority.to_owned(),
            None => base_url,
        };
        Self {
            applications: Issuer::new(directory.ring(), application_token_lifetime),
            directory,
            clock,
            managed,
            hosts: HostRules::named(own_hosts(&authority, &names)),
            authority,
            max_assertion_lifetime,
            trusted: trusted_issuers,
            federation,
            rng: Mutex::new(StdRng::from_seed(seed)),
            faults: Arc::default(),
        }
    }

    /// Lets answers be faulty. Rules look at the body of a request, too.
    #[must_use]
    pub(crate) fn with_faults(self, faults: Arc<Faults>) -> Self {
        Self { faults, ..self }
    }

    /// Returns the scheme and authority by which a request reached this listener, without a final slash.
    fn base_url(&self, scheme: Scheme, parts: &Parts) -> String {
        let authority = self.called(parts);
        format!("{scheme}://{authority}")
    }

    /// Returns the host and port that a client called, if the host is a name of this listener; otherwise the
    /// listener's own. The check is needed because a client may send any `Host`.
    fn called<'a>(&'a self, parts: &'a Parts) -> &'a str {
        let host = self.hosts.check(&parts.headers, &parts.uri);
        host.map_or(&self.authority, Host::as_str)
    }

    fn answer(&self, scheme: Scheme, parts: &Parts, body: &Body) -> Response<Payload> {
        let Some((realm, route)) = Route::of(parts.uri.path()) else {
            return json_error(StatusCode::NOT_FOUND, "not_found", "there is no such path");
        };
        let document = match route {
            Route::Token(version) => return self.token(realm, version, parts, body),
            Route::Document(document) => document,
        };
        let answered = self.document(realm, document, parts, &self.base_url(scheme, parts));
        answered.unwrap_or_else(|error| {
            let trace = Trace::of(&parts.headers, self.ids(), self.clock.now());
            trace.refusal(&error, Version::V2)
        })
    }

    fn document(
        &self,
        name: &str,
        document: Document,
        parts: &Parts,
        base_url: &str,
    ) -> Result<Response<Payload>, StsError> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let received = parts.method.to_string();
            return Err(StsError::Method { allowed: "GET", received });
        }
        let unknown = || StsError::TenantUnknown { name: name.to_owned(), at: TenantAt::Discovery };
        let realm = || self.realm(name).ok_or_else(unknown);
        match document {
            Document::Configuration(version) => {
                Ok(self.configuration(realm()?, name, version, base_url))
            }
            Document::Instance => Self::instance(parts.uri.query(), base_url),
            Document::Keys(version) => Ok(self.keys(realm()?, version)),
        }
    }

    /// Returns the realm of a path segment. Domain names of tenants are not supported.
    fn realm(&self, segment: &str) -> Option<Realm> {
        match segment.to_ascii_lowercase().as_str() {
            "common" | "organizations" => Some(Realm::AnyTenant),
            "consumers" => Some(Realm::Personal),
            id => {
                let id: TenantId = id.parse().ok()?;
                self.directory.read().tenant(id).map(|tenant| Realm::Tenant(tenant.id))
            }
        }
    }

    /// Returns two ids that no other request has.
    fn ids(&self) -> [Uuid; 2] {
        let mut rng = self.rng.lock();
        [(); 2].map(|()| {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        })
    }
}

/// Returns the hosts of this listener: the name in `authority`, and `names` without wildcards.
fn own_hosts(authority: &str, names: &[String]) -> HostNames {
    let own = [Host::new(authority).name().to_owned()];
    let names = names.iter().filter(|name| !name.starts_with("*.")).map(|name| {
        // A host has its IPv6 address in brackets (RFC 3986 section 3.2.2).
        name.parse::<Ipv6Addr>().map_or_else(|_| name.clone(), |_| format!("[{name}]"))
    });
    HostNames::new(&own.into_iter().chain(names).collect::<Vec<_>>())
}

impl Surface for Sts {
    type Caller = Scheme;

    fn name(&self) -> &'static str {
        "sts"
    }

    fn caller(&self, peer: &Peer) -> Scheme {
        peer.scheme
    }

    async fn respond(&self, scheme: &Scheme, request: Request<Incoming>) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        let body = match read_body(body, BODY_BYTES_MAX).await {
            Ok(bytes) => Body::Read(bytes),
            Err(BodyError::TooLarge(_)) => Body::TooLarge,
            // The connection is broken, so nobody reads the answer.
            Err(BodyError::Broken) => Body::Read(Bytes::new()),
        };
        let answer = async {
            self.prepare(&parts, &body).await;
            self.answer(*scheme, &parts, &body)
        };
        if !self.faults.is_on() {
            return answer.await;
        }
        let asked = self.asked(&parts, &body);
        Box::pin(self.faults.around(Endpoint::Sts, &asked, answer)).await
    }
}

#[cfg(test)]
mod tests;
