//! Admission of requests.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};

use super::error::ImdsError;
use crate::base::http::{Host, HostRules, PlainRequest};

const METADATA_TEXT: &str = "metadata";
const METADATA: HeaderName = HeaderName::from_static(METADATA_TEXT);
const FORWARDED_FOR_TEXT: &str = "x-forwarded-for";
const FORWARDED_FOR: HeaderName = HeaderName::from_static(FORWARDED_FOR_TEXT);

/// The parts of a request that decide on its admission.
struct Evidence<'a, M> {
    /// The host, if the service accepts it.
    host: Option<Host<'a>>,
    /// The first `X-Forwarded-For`.
    forwarded_for: Option<&'a [u8]>,
    /// The values of all `Metadata` headers.
    metadata: M,
}

impl<'a, M: Iterator<Item = &'a [u8]>> Evidence<'a, M> {
    /// Admits requests that a program on the VM may have sent: those of [`direct`] with the header `Metadata`, which
    /// server-side request forgery cannot set.
    fn admit(mut self) -> Result<(), ImdsError> {
        direct(self.host, self.forwarded_for)?;
        match (self.metadata.next(), self.metadata.next()) {
            (Some(b"true"), None) => Ok(()),
            (None, _) => Err(ImdsError::MetadataHeader),
            // Clients react to the error for a missing header; another value gets an error that explains it.
            _ => Err(ImdsError::MetadataValue),
        }
    }
}

/// Admits requests that come directly from a program. Each check excludes one attack:
///
/// - `Host`: a web page whose name was rebound to this address (DNS rebinding)
/// - `X-Forwarded-For`: requests through a proxy
fn direct(host: Option<Host<'_>>, forwarded_for: Option<&[u8]>) -> Result<(), ImdsError> {
    match (host, forwarded_for) {
        (None, _) => Err(ImdsError::Host),
        (Some(_), Some(_)) => Err(ImdsError::ForwardedFor),
        (Some(_), None) => Ok(()),
    }
}

/// Admits requests that come directly from a program, without looking at `Metadata`.
pub(super) fn admit_direct<B>(request: &Request<B>, hosts: &HostRules) -> Result<(), ImdsError> {
    let headers = request.headers();
    let forwarded_for = headers.get(FORWARDED_FOR).map(HeaderValue::as_bytes);
    direct(hosts.check(headers, request.uri()), forwarded_for)
}

/// Admits a request, or returns the reason against it.
pub(super) fn admit(request: &Request<Incoming>, hosts: &HostRules) -> Result<(), ImdsError> {
    let headers = request.headers();
    Evidence {
        host: hosts.check(headers, request.uri()),
        forwarded_for: headers.get(FORWARDED_FOR).map(HeaderValue::as_bytes),
        metadata: headers.get_all(METADATA).iter().map(HeaderValue::as_bytes),
    }
    .admit()
}

/// Admits a plain request whose host is `host`, if the service accepts it.
pub(super) fn admit_plain(
    request: &PlainRequest<'_>,
    host: Option<Host<'_>>,
) -> Result<(), ImdsError> {
    let forwarded_for = request.values(FORWARDED_FOR_TEXT).next();
    Evidence { host, forwarded_for, metadata: request.values(METADATA_TEXT) }.admit()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::http::HostNames;

    #[test]
    fn without_the_header_metadata_a_request_still_comes_directly_and_for_this_host() {
        let hosts = HostRules::local(HostNames::default());
        let admitted = |host: &str, name: &str| {
            let request =
                Request::get("/").header("host", host).header(name, "a").body(()).unwrap();
            admit_direct(&request, &hosts)
        };
        assert!(admitted("127.0.0.1", "accept").is_ok());
        assert!(matches!(admitted("evil.example", "accept"), Err(ImdsError::Host)));
        let proxied = admitted("127.0.0.1", "X-Forwarded-For");
        assert!(matches!(proxied, Err(ImdsError::ForwardedFor)));
    }
}
