//! The keys of an issuer, from its discovery document (OpenID Connect Discovery 1.0 section 4).

use std::error::Error as _;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{ACCEPT, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use rustls::ClientConfig;
use serde::Deserialize;

use crate::base::client::{Client, ClientError, ClientLimits};
use crate::base::tls::{TlsError, client_config, system_client_config};
use crate::service::token::ForeignKeys;

/// Limits of one of the two requests. Key sets have less than 50 kB.
const LIMITS: ClientLimits = ClientLimits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(5),
    response_bytes_max: 256 * 1024,
    idle_max: 1,
};

/// Path of the document below the issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";

/// Issuers that may be asked over plain HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum PlainHttp {
    /// Every issuer.
    Any,
    /// Those at loopback addresses: no other machine can answer in their place.
    #[default]
    Loopback,
}

/// Reasons why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// The issuer gives no answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The answer is no discovery document.
    #[error("{0} is no discovery document with `issuer` and `jwks_uri`")]
    Document(String),
    /// The document is that of another issuer.
    #[error("the discovery document names the issuer `{0}`")]
    Issuer(String),
    /// The answer is no key set, or has no key for signatures.
    #[error("{0} is no key set with a public key for signatures")]
    Keys(String),
    /// The URL has plain HTTP where only HTTPS is allowed.
    #[error(
        "{0} is plain HTTP to another machine, which could be answered by anybody; use https, or start with --issuer-http any"
    )]
    PlainHttp(String),
    /// The answer has no 200. Redirects are not followed.
    #[error("{url} answers {status}")]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
    },
    /// The URL cannot be used.
    #[error("`{0}` is no URL of the form http://HOST or https://HOST")]
    Url(String),
}

impl FetchError {
    /// Returns the error with its causes.
    pub(super) fn in_a_line(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Fetches keys. Follows no redirects and uses no proxy.
#[derive(Debug)]
pub(super) struct Fetcher {
    tls: Option<Arc<ClientConfig>>,
    plain_http: PlainHttp,
    /// Made for the first issuer, because reading the authorities of the machine takes some milliseconds.
    client: OnceLock<Client>,
}

impl Fetcher {
    /// Creates a fetcher that trusts these authorities (PEM), or those of this machine.
    ///
    /// # Errors
    /// Returns an error when the text has no certificate of an authority.
    pub(super) fn new(ca_pem: Option<&[u8]>, plain_http: PlainHttp) -> Result<Self, TlsError> {
        let tls = ca_pem.map(client_config).transpose()?;
        Ok(Self { tls, plain_http, client: OnceLock::new() })
    }

    /// Fetches the keys of an issuer.
    ///
    /// # Errors
    /// See [`FetchError`].
    pub(super) async fn keys(&self, issuer: &str) -> Result<ForeignKeys, FetchError> {
        let url = format!("{}{DISCOVERY}", issuer.strip_suffix('/').unwrap_or(issuer));
        let document = self.get(&url, issuer).await?;
        let Discovery { issuer: own, jwks_uri } =
            serde_json::from_slice(&document).map_err(|_| FetchError::Document(url))?;
        // Otherwise one issuer could speak for another (section 4.3).
        if own != issuer {
            return Err(FetchError::Issuer(own));
        }
        let keys = self.get(&jwks_uri, issuer).await?;
        ForeignKeys::parse(&keys).ok_or(FetchError::Keys(jwks_uri))
    }

    async fn get(&self, url: &str, issuer: &str) -> Result<Bytes, FetchError> {
        let uri: Uri = url.parse().map_err(|_| FetchError::Url(url.to_owned()))?;
        if !self.admits(&uri, issuer) {
            return Err(FetchError::PlainHttp(url.to_owned()));
        }
        let request =
            Request::get(uri).header(ACCEPT, HeaderValue::from_static("application/json"));
        let request = request.body(Bytes::new()).map_err(|_| FetchError::Url(url.to_owned()))?;
        let answer = self.client().send(request).await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            status => Err(FetchError::Status { url: url.to_owned(), status: status.as_u16() }),
        }
    }

    /// Returns true for HTTPS, and for plain HTTP where it is allowed. An issuer with HTTPS has no keys at plain
    /// HTTP.
    fn admits(&self, uri: &Uri, issuer: &str) -> bool {
        if uri.scheme_str() == Some("https") {
            return true;
        }
        let is_allowed = match self.plain_http {
            PlainHttp::Any => true,
            PlainHttp::Loopback => uri.host().is_some_and(is_loopback),
        };
        is_allowed && issuer.starts_with("http://")
    }

    fn client(&self) -> &Client {
        self.client.get_or_init(|| {
            // Without any authority, issuers with HTTPS fail, and each failure says why.
            let tls = self.tls.clone().or_else(|| system_client_config().ok());
            Client::new(tls, LIMITS)
        })
    }
}

/// Returns true for a host that is this machine: a loopback address, or a name in `localhost` (RFC 6761 section 6.3).
fn is_loopback(host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let name = host.to_ascii_lowercase();
    match address.unwrap_or(host).parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name == "localhost" || name.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_goes_to_this_machine_alone_unless_it_is_allowed() {
        let admits = |plain_http, url: &str, issuer: &str| {
            let fetcher = Fetcher::new(None, plain_http).unwrap();
            fetcher.admits(&url.parse().unwrap(), issuer)
        };
        for (url, issuer, by_default, allowed) in [
            ("https://a/keys", "https://a", true, true),
            ("https://a/keys", "http://127.0.0.1", true, true),
            ("http://127.0.0.1:1/keys", "http://127.0.0.1:1", true, true),
            ("http://[::1]:1/keys", "http://[::1]:1", true, true),
            ("http://LOCALHOST/keys", "http://localhost", true, true),
            ("http://a.localhost/keys", "http://a.localhost", true, true),
            ("http://a/keys", "http://a", false, true),
            ("http://10.0.0.1/keys", "http://10.0.0.1", false, true),
            ("http://localhost.a/keys", "http://localhost.a", false, true),
            // No way down from HTTPS.
            ("http://127.0.0.1/keys", "https://a", false, false),
            ("http://a/keys", "https://a", false, false),
        ] {
            assert_eq!(admits(PlainHttp::Loopback, url, issuer), by_default, "{url} {issuer}");
            assert_eq!(admits(PlainHttp::Any, url, issuer), allowed, "{url} {issuer}");
        }
    }

    #[test]
    fn an_error_is_one_line_with_its_causes() {
        let error = FetchError::Client(ClientError::Connect {
            origin: "https://a".to_owned(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        });
        assert_eq!(error.in_a_line(), "cannot connect to https://a: connection refused");
    }
}
