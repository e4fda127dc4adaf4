//! The token service, as far as verifiers need it: the published keys and the discovery documents.
//!
//! Paths are those of Entra below any host; the documents name this listener as their own, in the
//! words of who asks: `https://localhost:8443` leads to more of the same.

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, HOST, HeaderValue};
use hyper::http::uri::Authority;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use crate::directory::Directory;
use crate::http::{Payload, Peer, Scheme, Surface, json_error, json_reply};
use crate::ids::TenantId;
use crate::token::{Issuer, JwkSet, SigningKey};

/// The token service.
#[derive(Debug)]
pub struct Sts {
    directory: Arc<Directory>,
    issuer: Arc<Issuer>,
    /// Host and port of this listener, for those who do not say how they call it.
    authority: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Discovery(Version),
    Keys,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

impl Route {
    /// The tenant segment of a path and where the rest of it leads.
    fn of(path: &str) -> Option<(&str, Self)> {
        let (tenant, rest) = path.strip_prefix('/')?.split_once('/')?;
        let route = match rest {
            ".well-known/openid-configuration" => Self::Discovery(Version::V1),
            "v2.0/.well-known/openid-configuration" => Self::Discovery(Version::V2),
            "discovery/keys" | "discovery/v2.0/keys" => Self::Keys,
            _ => return None,
        };
        Some((tenant, route))
    }
}

impl Sts {
    /// A token service that publishes the keys of `issuer` at `base_url`.
    pub fn new(directory: Arc<Directory>, issuer: Arc<Issuer>, base_url: String) -> Self {
        let authority = match base_url.split_once("://") {
            Some((_, authority)) => authority.to_owned(),
            None => base_url,
        };
        Self { directory, issuer, authority }
    }

    /// Scheme and authority by which `request` reached this listener, without a slash at the end.
    fn base_url<B>(&self, scheme: Scheme, request: &Request<B>) -> String {
        let authority = named_host(request).unwrap_or(&self.authority);
        format!("{scheme}://{authority}")
    }

    fn answer(&self, method: &Method, path: &str, base_url: &str) -> Response<Payload> {
        let Some((tenant, route)) = Route::of(path) else {
            return json_error(StatusCode::NOT_FOUND, "not_found", "there is no such path");
        };
        if method != Method::GET {
            let text = "only GET is allowed here";
            let mut refused = json_error(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", text);
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return refused;
        }
        match (self.tenant(tenant), route) {
            (Some(_), Route::Keys) => published(self.keys()),
            (None, Route::Keys) if tenant == "common" => published(self.keys()),
            (Some(tenant), Route::Discovery(version)) => {
                published(self.discovery(tenant, version, base_url))
            }
            (None, _) => unknown_tenant(tenant),
        }
    }

    fn tenant(&self, segment: &str) -> Option<TenantId> {
        let id: TenantId = segment.parse().ok()?;
        self.directory.read().tenant(id).map(|tenant| tenant.id)
    }

    fn keys(&self) -> String {
        let keys = self.issuer.keys();
        json!(JwkSet { keys: keys.published().map(SigningKey::jwk).collect() }).to_string()
    }

    /// OpenID Connect Discovery 1.0 section 3, with the issuers of Entra.
    fn discovery(&self, tenant: TenantId, version: Version, base_url: &str) -> String {
        let algorithms = [self.issuer.keys().current.jwk().alg];
        let (issuer, keys) = match version {
            Version::V1 => (Issuer::url(tenant), "discovery/keys"),
            Version::V2 => {
                (format!("https://login.microsoftonline.com/{tenant}/v2.0"), "discovery/v2.0/keys")
            }
        };
        json!({
            "issuer": issuer,
            "jwks_uri": format!("{base_url}/{tenant}/{keys}"),
            "id_token_signing_alg_values_supported": algorithms,
            "response_types_supported": ["token"],
            "subject_types_supported": ["pairwise"],
        })
        .to_string()
    }
}

/// The host and port that `request` says it is for (RFC 9112 section 3.2), if it says so once and
/// in letters of a host name or an address.
fn named_host<B>(request: &Request<B>) -> Option<&str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = match (request.uri().authority(), hosts.next(), hosts.next()) {
        (Some(authority), _, None) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        _ => return None,
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    // A name has at most 253 letters (RFC 1035 section 2.3.4), a port five digits.
    let sane = host.len() <= 259 && host.bytes().all(plain) && host.parse::<Authority>().is_ok();
    sane.then_some(host)
}

fn published(document: String) -> Response<Payload> {
    let mut response = json_reply(StatusCode::OK, document);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400, private"));
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn unknown_tenant(name: &str) -> Response<Payload> {
    let text = format!(
        "AADSTS90002: Tenant '{name}' not found. Check to make sure you have the correct tenant ID and are signing into the correct cloud."
    );
    json_error(StatusCode::BAD_REQUEST, "invalid_tenant", &text)
}

impl Surface for Sts {
    type Caller = Scheme;

    fn caller(&self, peer: &Peer) -> Scheme {
        peer.scheme
    }

    async fn respond(&self, scheme: &Scheme, request: Request<Incoming>) -> Response<Payload> {
        let base_url = self.base_url(*scheme, &request);
        self.answer(request.method(), request.uri().path(), &base_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Seconds;

    const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";
    const BASE_URL: &str = "http://127.0.0.1:1";

    fn sts() -> Sts {
        let directory = Arc::new(crate::directory::tests::demo());
        let issuer = Arc::new(Issuer::new(directory.ring(), Seconds(1)));
        Sts::new(directory, issuer, BASE_URL.to_owned())
    }

    fn status(path: &str) -> u16 {
        sts().answer(&Method::GET, path, BASE_URL).status().as_u16()
    }

    #[test]
    fn keys_and_documents_are_published_for_every_tenant_of_the_world() {
        for path in [
            ".well-known/openid-configuration",
            "v2.0/.well-known/openid-configuration",
            "discovery/keys",
            "discovery/v2.0/keys",
        ] {
            assert_eq!(status(&format!("/{TENANT}/{path}")), 200);
            assert_eq!(status(&format!("/00000000-0000-0000-0000-000000000000/{path}")), 400);
        }
        assert_eq!(status("/common/discovery/keys"), 200);
        assert_eq!(status(&format!("/{TENANT}/oauth2/unknown")), 404);
        assert_eq!(sts().answer(&Method::POST, "/common/discovery/keys", BASE_URL).status(), 405);
    }

    #[test]
    fn the_document_leads_to_the_keys_of_this_listener() {
        let document: serde_json::Value =
            serde_json::from_str(&sts().discovery(TENANT.parse().unwrap(), Version::V1, BASE_URL))
                .unwrap();
        assert_eq!(document["issuer"], format!("https://sts.windows.net/{TENANT}/"));
        assert_eq!(document["jwks_uri"], format!("http://127.0.0.1:1/{TENANT}/discovery/keys"));
    }

    fn base_url(scheme: Scheme, uri: &str, hosts: &[&str]) -> String {
        let mut request = Request::get(uri).body(()).unwrap();
        for host in hosts {
            request.headers_mut().append(HOST, HeaderValue::from_str(host).unwrap());
        }
        sts().base_url(scheme, &request)
    }

    #[test]
    fn documents_name_the_listener_as_their_reader_does() {
        let url = base_url(Scheme::Https, "/", &["localhost:8443"]);
        assert_eq!(url, "https://localhost:8443");
        assert_eq!(base_url(Scheme::Http, "/", &["[::1]:80"]), "http://[::1]:80");
        let absolute = base_url(Scheme::Http, "http://login.localhost/x", &["other"]);
        assert_eq!(absolute, "http://login.localhost");
    }

    #[test]
    fn a_host_that_makes_no_sense_gives_way_to_the_listeners_own() {
        let long = "a".repeat(300);
        for hosts in [&[][..], &["a", "b"], &["me@host"], &["a/b"], &[""], &["a b"], &[&long]] {
            assert_eq!(base_url(Scheme::Https, "/", hosts), "https://127.0.0.1:1", "{hosts:?}");
        }
    }
}
