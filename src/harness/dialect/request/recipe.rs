//! The constant parts of the requests of one run.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::base::assertion::SignError;
use crate::base::secret::Redacted;
use crate::base::synthetic::WELL_KNOWN_RESOURCES;
use crate::harness::dialect::protocol::{
    ASSERTION_SPAN, Dialect, OAuth2, Plain, RunSpan, SESSION_SECONDS,
};
use crate::harness::dialect::target::Target;
use crate::harness::dialect::url::HttpUrl;
use crate::harness::nanos::Nanos;

/// The constant parts of the requests of one run.
#[derive(Debug)]
pub(crate) enum Recipe {
    /// Requests that name a resource, and an identity if one is selected.
    Selecting {
        /// The request line up to and including the resource, one for each resource.
        heads: Vec<Vec<u8>>,
        /// The text from the end of the query to the end of the head.
        tail: Redacted,
    },
    /// Requests that are all the same.
    Fixed(Redacted),
    /// Requests that are the same for a span of time, after which the next one is used.
    Timed {
        requests: Vec<Redacted>,
        /// The length of each span.
        span: Nanos,
    },
    /// Requests that carry the secret of a session, which another request has opened.
    Session {
        /// The request that opens a session.
        opening: Vec<u8>,
        /// The text before the secret.
        head: Vec<u8>,
        /// The text after the secret.
        tail: Vec<u8>,
    },
}

impl Recipe {
    /// Returns the recipe for `target`.
    ///
    /// # Errors
    /// Returns an error if an assertion cannot be signed.
    pub(crate) fn new(target: &Target, span: RunSpan) -> Result<Self, SignError> {
        let url = &target.url;
        let host = format!("Host: {}\r\n", url.authority);
        let path = target.path();
        Ok(match &*target.dialect {
            Dialect::Imds => selecting(&path, "2018-02-01", &host, b"Metadata: true"),
            Dialect::AppService { secret } => {
                let header = [b"X-IDENTITY-HEADER: ", secret.expose()].concat();
                selecting(&path, "2019-08-01", &host, &header)
            }
            Dialect::Gce => {
                fixed(format!("GET {path} HTTP/1.1\r\n{host}Metadata-Flavor: Google\r\n\r\n"))
            }
            Dialect::Aws { .. } => session(&path, &host),
            Dialect::Get(request) => plain(&path, &host, request),
            Dialect::OAuth2(client) => posts(url, &path, client, &host, span)?,
        })
    }
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

fn session(path: &str, host: &str) -> Recipe {
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

/// Media type of a body for which none is named, as curl has it.
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

fn plain(path: &str, host: &str, plain: &Plain) -> Recipe {
    let Plain { method, headers, body, .. } = plain;
    let mut request = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    if !plain.has_header("host") {
        request.extend_from_slice(host.as_bytes());
    }
    for header in headers {
        request.extend_from_slice(header.name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(header.value.expose());
        request.extend_from_slice(b"\r\n");
    }
    if body.is_some() && !plain.has_header("content-type") {
        request.extend_from_slice(FORM.as_bytes());
    }
    if let Some(length) = plain.content_length() {
        request.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(body.as_ref().map_or(&[], Redacted::expose));
    Recipe::Fixed(Redacted::new(request))
}

fn posts(
    url: &HttpUrl,
    path: &str,
    client: &OAuth2,
    host: &str,
    span: RunSpan,
) -> Result<Recipe, SignError> {
    let authorization = client
        .authorization()
        .map(|value| Redacted::new([b"Authorization: ", value.expose(), b"\r\n"].concat()));
    let request = |body: Redacted| {
        let head = format!(
            "POST {path} HTTP/1.1\r\n{host}Accept: application/json\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.expose().len()
        );
        let authorization = authorization.as_ref().map_or(&[][..], Redacted::expose);
        Redacted::new([head.as_bytes(), authorization, b"\r\n", body.expose()].concat())
    };
    let bodies = client.bodies(&url.whole(), span)?;
    let mut requests: Vec<Redacted> = bodies.into_iter().map(request).collect();
    Ok(match requests.pop() {
        Some(only) if requests.is_empty() => Recipe::Fixed(only),
        last => {
            requests.extend(last);
            Recipe::Timed { requests, span: Nanos::from_secs(ASSERTION_SPAN) }
        }
    })
}
