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

use crate::base::client::{Client, ClientError, ClientLimits, Origin};
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
    /// The document says that the keys are at another host.
    #[error(
        "the discovery document of `{issuer}` says that the keys are at {place}, which is not the host and port of the issuer; if they belong to it, start with --issuer-keys-host {place}"
    )]
    Elsewhere {
        /// The issuer.
        issuer: String,
        /// Host and port of the keys.
        place: String,
    },
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
    /// Hosts that hold keys of issuers at other hosts.
    key_hosts: Vec<Origin>,
    /// Made for the first issuer, because reading the authorities of the machine takes some milliseconds.
    client: OnceLock<Client>,
}

impl Fetcher {
    /// Creates a fetcher that trusts these authorities (PEM), or those of this machine.
    ///
    /// # Errors
    /// Returns an error when the text has no certificate of an authority.
    pub(super) fn new(
        ca_pem: Option<&[u8]>,
        plain_http: PlainHttp,
        key_hosts: Vec<Origin>,
    ) -> Result<Self, TlsError> {
        let tls = ca_pem.map(client_config).transpose()?;
        Ok(Self { tls, plain_http, key_hosts, client: OnceLock::new() })
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
        self.require_own(&jwks_uri, issuer)?;
        let keys = self.get(&jwks_uri, issuer).await?;
        ForeignKeys::parse(&keys).ok_or(FetchError::Keys(jwks_uri))
    }

    /// Refuses keys at another host than that of the issuer. The document of an issuer cannot make this server
    /// call a host that nobody here has named.
    fn require_own(&self, jwks_uri: &str, issuer: &str) -> Result<(), FetchError> {
        let origin = |url: &str| {
            let parsed = url.parse().ok().and_then(|uri| Origin::of(&uri));
            parsed.ok_or_else(|| FetchError::Url(url.to_owned()))
        };
        let (own, keys) = (origin(issuer)?, origin(jwks_uri)?);
        if own.is_at(&keys) || self.key_hosts.iter().any(|host| host.is_at(&keys)) {
            return Ok(());
        }
        let place = keys.authority().to_owned();
        Err(FetchError::Elsewhere { issuer: issuer.to_owned(), place })
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
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use serde_json::json;

    use super::*;

    /// Serves an issuer that gives this answer at `path`, and returns its URL. `URL` in the body stands for it.
    fn issuer(path: &'static str, status: u16, body: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let good = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") }).to_string();
        let body = body.replace("URL", &url);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {}
                let is_meant = head.split(' ').nth(1) == Some(path);
                let (status, body) = if is_meant { (status, &body) } else { (200, &good) };
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {}\r\nLocation: /keys\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = stream.get_mut().write_all(answer.as_bytes());
            }
        });
        url
    }

    #[tokio::test]
    async fn an_issuer_that_gives_no_keys_is_named_with_the_reason() {
        let elsewhere = r#"{"issuer":"URL","jwks_uri":"https://keys.example/"}"#;
        let other = r#"{"issuer":"https://other","jwks_uri":"URL/keys"}"#;
        for (path, status, body, reason) in [
            (DISCOVERY, 404, "", "answers 404"),
            // Redirects are not followed.
            (DISCOVERY, 302, "", "answers 302"),
            (DISCOVERY, 200, "{}", "is no discovery document"),
            (DISCOVERY, 200, other, "names the issuer `https://other`"),
            (DISCOVERY, 200, elsewhere, "--issuer-keys-host keys.example"),
            ("/keys", 500, "", "answers 500"),
            ("/keys", 200, r#"{"keys":[]}"#, "is no key set"),
            ("/keys", 200, &"x".repeat(300_000), "is larger than"),
        ] {
            let url = issuer(path, status, body);
            let fetcher = Fetcher::new(None, PlainHttp::Loopback, Vec::new()).unwrap();
            let said = fetcher.keys(&url).await.unwrap_err().in_a_line();
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn plain_http_goes_to_this_machine_alone_unless_it_is_allowed() {
        let admits = |plain_http, url: &str, issuer: &str| {
            let fetcher = Fetcher::new(None, plain_http, Vec::new()).unwrap();
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
    fn keys_are_at_the_host_of_the_issuer_or_at_one_that_was_named() {
        let named = Origin::of(&"https://keys.example".parse().unwrap()).unwrap();
        let fetcher = Fetcher::new(None, PlainHttp::Any, vec![named]).unwrap();
        let said = |url: &str, issuer: &str| {
            fetcher.require_own(url, issuer).map_err(|error| error.to_string()).err()
        };
        for (url, issuer) in [
            ("https://a/keys", "https://a"),
            ("https://A:443/keys", "https://a/tenant/v2.0"),
            ("https://keys.example/a", "https://a"),
            ("http://127.0.0.1:8080/keys", "http://127.0.0.1:8080"),
        ] {
            assert_eq!(said(url, issuer), None, "{url} {issuer}");
        }
        for (url, place) in [
            ("https://169.254.169.254/metadata", "169.254.169.254"),
            ("https://a:8443/keys", "a:8443"),
            ("https://b.a/keys", "b.a"),
            ("https://keys.example:8443/a", "keys.example:8443"),
        ] {
            let said = said(url, "https://a").unwrap();
            assert!(said.ends_with(&format!("start with --issuer-keys-host {place}")), "{said}");
        }
        for url in ["/keys", "file:///etc/passwd", "https://a@b/keys", ""] {
            assert!(said(url, "https://a").unwrap().contains("is no URL"), "{url}");
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
