//! What the requests of one run are put together from.

use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::oauth2::ASSERTION_SPAN;
use super::{Dialect, Header, OAuth2};
use crate::assertion::SignError;
use crate::clock::UnixSeconds;
use crate::load::target::{HttpUrl, Target};
use crate::secret::Redacted;
use crate::world::synthetic::WELL_KNOWN_RESOURCES;

/// When a run takes place.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Span {
    /// Not after its first request.
    pub(in crate::load) begins: UnixSeconds,
    /// Until after its last request.
    pub(in crate::load) length: Duration,
}

/// The parts of the requests of one run.
#[derive(Debug)]
pub(in crate::load) enum Recipe {
    /// They name a resource, and an identity where one is asked for.
    Selecting {
        /// One per resource: request line up to and including the resource.
        heads: Vec<Vec<u8>>,
        /// From the end of the query to the end of the head.
        tail: Redacted,
    },
    /// They are all the same.
    Fixed(Redacted),
    /// They are the same for a span of time, and then others.
    Timed {
        requests: Vec<Redacted>,
        /// Of each span, in nanoseconds.
        span_ns: u64,
    },
    /// They carry the secret of a session, which another request has opened.
    Session {
        /// The request that opens one.
        opening: Vec<u8>,
        /// Up to the secret.
        head: Vec<u8>,
        /// From the secret on.
        tail: Vec<u8>,
    },
}

/// What AWS grants at most, and its libraries ask for: six hours.
pub(in crate::load) const SESSION_SECONDS: u64 = 21_600;

impl Recipe {
    /// The recipe for `target`.
    ///
    /// # Errors
    /// When an assertion cannot be signed.
    pub(in crate::load) fn new(target: &Target, span: Span) -> Result<Self, SignError> {
        let url = &target.url;
        let host = format!("Host: {}\r\n", url.authority);
        Ok(match &*target.dialect {
            Dialect::Imds => {
                selecting(path(url, IMDS_PATH), "2018-02-01", &host, b"Metadata: true")
            }
            Dialect::AppService { secret } => {
                let header = [b"X-IDENTITY-HEADER: ", secret.expose()].concat();
                selecting(path(url, "/msi/token"), "2019-08-01", &host, &header)
            }
            Dialect::Gce => {
                let path = path(url, GCE_PATH);
                fixed(format!("GET {path} HTTP/1.1\r\n{host}Metadata-Flavor: Google\r\n\r\n"))
            }
            Dialect::Aws { role } => session(url, role.as_deref(), &host),
            Dialect::Get { headers, .. } => plain(path(url, "/"), &host, headers),
            Dialect::OAuth2(client) => posts(url, client, &host, span)?,
        })
    }
}

const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// The token of the service account that an instance has by default.
const GCE_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const AWS_PATH: &str = "/latest/meta-data/iam/security-credentials/";

fn path<'a>(url: &'a HttpUrl, default: &'a str) -> &'a str {
    if url.path.is_empty() { default } else { &url.path }
}

fn fixed(text: String) -> Recipe {
    Recipe::Fixed(Redacted::new(text.into_bytes()))
}

fn selecting(path: &str, version: &str, host: &str, header: &[u8]) -> Recipe {
    let joint = if path.contains('?') { '&' } else { '?' };
    let head = |resource: &&str| {
        let resource = utf8_percent_encode(resource, NON_ALPHANUMERIC);
        format!("GET {path}{joint}api-version={version}&resource={resource}").into_bytes()
    };
    let tail = [b" HTTP/1.1\r\n", host.as_bytes(), header, b"\r\n\r\n"].concat();
    Recipe::Selecting {
        heads: WELL_KNOWN_RESOURCES.iter().map(head).collect(),
        tail: Redacted::new(tail),
    }
}

fn session(url: &HttpUrl, role: Option<&str>, host: &str) -> Recipe {
    let of_role = format!("{AWS_PATH}{}", role.unwrap_or_default());
    let path = path(url, &of_role);
    let opening = format!(
        "PUT /latest/api/token HTTP/1.1\r\n{host}X-aws-ec2-metadata-token-ttl-seconds: {SESSION_SECONDS}\r\nContent-Length: 0\r\n\r\n"
    );
    let head = format!("GET {path} HTTP/1.1\r\n{host}X-aws-ec2-metadata-token: ");
    Recipe::Session {
        opening: opening.into_bytes(),
        head: head.into_bytes(),
        tail: b"\r\n\r\n".to_vec(),
    }
}

fn plain(path: &str, host: &str, headers: &[Header]) -> Recipe {
    let mut request = format!("GET {path} HTTP/1.1\r\n").into_bytes();
    if !headers.iter().any(|header| header.is("host")) {
        request.extend_from_slice(host.as_bytes());
    }
    for header in headers {
        request.extend_from_slice(header.name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(header.value.expose());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    Recipe::Fixed(Redacted::new(request))
}

fn posts(url: &HttpUrl, client: &OAuth2, host: &str, span: Span) -> Result<Recipe, SignError> {
    let path = path(url, "/");
    let request = |body: Redacted| {
        let head = format!(
            "POST {path} HTTP/1.1\r\n{host}Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n",
            body.expose().len()
        );
        Redacted::new([head.as_bytes(), body.expose()].concat())
    };
    let bodies = client.bodies(&url.whole(), span)?;
    let mut requests: Vec<Redacted> = bodies.into_iter().map(request).collect();
    Ok(match requests.pop() {
        Some(only) if requests.is_empty() => Recipe::Fixed(only),
        last => {
            requests.extend(last);
            Recipe::Timed { requests, span_ns: ASSERTION_SPAN * 1_000_000_000 }
        }
    })
}
