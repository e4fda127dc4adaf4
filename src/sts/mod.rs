//! The token service: tokens for clients with a certificate or a secret, and for verifiers the published
//! keys and the discovery documents.
//!
//! Paths are those of Entra below any host; the documents name this listener as their own, in the
//! words of who asks: `https://localhost:8443` leads to more of the same.

mod client;
mod discovery;
mod error;
mod form;
mod reply;
mod resource;
mod token;

use std::sync::Arc;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use crate::clock::{Clock, Seconds};
use crate::directory::Directory;
use crate::http::{BodyError, Payload, Peer, Scheme, Surface, json_error, read_body, sole_host_of};
use crate::ids::TenantId;
use crate::token::Issuer;
use crate::x509::Certificate;
use error::{StsError, TenantAt};
use reply::Trace;

/// A form with an assertion and a chain of certificates has less than 10 kB.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How the token service is set up.
#[derive(Clone, Debug)]
pub struct StsOptions {
    /// Scheme, host and port of the listener, for those who do not say how they call it.
    pub base_url: String,
    /// By what names clients may call this listener, beside the addresses that it listens on.
    pub names: Vec<String>,
    /// How long the token of an application lives; those of managed identities go by their issuer.
    pub application_token_lifetime: Seconds,
    /// How much longer an assertion may be valid when it is shown; `None` is any time, as in Entra.
    pub max_assertion_lifetime: Option<Seconds>,
    /// Authorities whose certificates prove that a client is the one of their subject, without being
    /// registered.
    pub trusted_issuers: Vec<Certificate>,
    /// The other services of this server: the port of each, and the audience of tokens for it.
    pub services: Vec<(u16, &'static str)>,
    /// Makes request ids, and what is opaque in tokens.
    pub seed: [u8; 32],
}

impl StsOptions {
    /// An hour, the shortest that Entra gives.
    pub const APPLICATION_TOKEN_LIFETIME: Seconds = Seconds(3_600);
}

/// The token service.
#[derive(Debug)]
pub struct Sts {
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    /// Mints for managed identities.
    managed: Arc<Issuer>,
    /// Mints for applications.
    applications: Issuer,
    /// Host and port of this listener, for those who do not say how they call it.
    authority: String,
    names: Vec<String>,
    max_assertion_lifetime: Option<Seconds>,
    trusted: Vec<Certificate>,
    services: Vec<(u16, &'static str)>,
    rng: Mutex<StdRng>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Document(Document),
    Token(Version),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Document {
    Configuration(Version),
    Instance,
    Keys(Version),
}

/// Of the endpoint; tokens are of version 1 at both, as they are for Azure's own services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// Whose sign-in the first segment of a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Realm {
    /// The accounts of one tenant.
    Tenant(TenantId),
    /// `common` and `organizations`: those of any tenant.
    AnyTenant,
    /// `consumers`: personal accounts, which are in a tenant of Microsoft's own.
    Personal,
}

/// The body of a request.
#[derive(Debug)]
enum Body {
    Read(Bytes),
    TooLarge,
}

impl Route {
    /// The segment of a path that names the realm, and where the rest leads. A slash too many at either end
    /// is ignored: clients join URLs with one (msal-node with a region sends `/oauth2/v2.0/token/`).
    fn of(path: &str) -> Option<(&str, Self)> {
        let (realm, rest) = path.trim_start_matches('/').split_once('/')?;
        let document = match rest.strip_suffix('/').unwrap_or(rest) {
            ".well-known/openid-configuration" => Document::Configuration(Version::V1),
            "v2.0/.well-known/openid-configuration" => Document::Configuration(Version::V2),
            "discovery/instance" => Document::Instance,
            "discovery/keys" => Document::Keys(Version::V1),
            "discovery/v2.0/keys" => Document::Keys(Version::V2),
            "oauth2/token" => return Some((realm, Self::Token(Version::V1))),
            "oauth2/v2.0/token" => return Some((realm, Self::Token(Version::V2))),
            _ => return None,
        };
        Some((realm, Self::Document(document)))
    }
}

impl Sts {
    /// A token service of `directory`, which mints for managed identities with `managed` and publishes its
    /// keys.
    pub fn new(
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
            services,
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
            authority,
            names,
            max_assertion_lifetime,
            trusted: trusted_issuers,
            services,
            rng: Mutex::new(StdRng::from_seed(seed)),
        }
    }

    /// Scheme and authority by which a request reached this listener, without a slash at the end.
    fn base_url(&self, scheme: Scheme, parts: &Parts) -> String {
        let authority = self.called(parts);
        format!("{scheme}://{authority}")
    }

    /// Host and port by which a client called, if that is a name of this listener; else the listener's
    /// own. What a client says it called is no proof that it meant this service.
    fn called<'a>(&'a self, parts: &'a Parts) -> &'a str {
        let is_own = |host: &&str| {
            let name = host_name(host);
            host_name(&self.authority).eq_ignore_ascii_case(name)
                || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
        };
        named_host(parts).filter(is_own).unwrap_or(&self.authority)
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

    /// The realm that a segment of a path names; domain names are not known here.
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

    /// Two ids that no other request has.
    fn ids(&self) -> [Uuid; 2] {
        let mut rng = self.rng.lock();
        [(); 2].map(|()| {
            let mut bytes = [0; 16];
            rng.fill_bytes(&mut bytes);
            uuid::Builder::from_random_bytes(bytes).into_uuid()
        })
    }
}

/// The name in `name[:port]`, without the brackets of an address of version 6.
fn host_name(authority: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = match authority.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => authority,
    };
    name.trim_start_matches('[').trim_end_matches(']')
}

/// The host and port that a request says it is for (RFC 9112 section 3.2), if it says so once and
/// in letters of a host name or an address.
fn named_host(parts: &Parts) -> Option<&str> {
    let host = sole_host_of(&parts.headers, &parts.uri)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    // A name has at most 253 letters (RFC 1035 section 2.3.4), a port five digits.
    let sane = host.len() <= 259 && host.bytes().all(plain) && host.parse::<Authority>().is_ok();
    sane.then_some(host)
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
            // Nobody is left to read the answer.
            Err(BodyError::Broken) => Body::Read(Bytes::new()),
        };
        self.answer(*scheme, &parts, &body)
    }
}

#[cfg(test)]
mod tests;
