//! Admission of requests.

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderName;

use super::error::ImdsError;
use crate::base::http::HostRules;

const METADATA: HeaderName = HeaderName::from_static("metadata");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Admits requests that a program on the VM may have sent: those of [`admit_direct`] with the header
/// `Metadata`, which server-side request forgery cannot set.
pub(super) fn admit(request: &Request<Incoming>, hosts: &HostRules) -> Result<(), ImdsError> {
    admit_direct(request, hosts)?;
    let mut values = request.headers().get_all(METADATA).iter();
    match (values.next(), values.next()) {
        (Some(value), None) if value == "true" => Ok(()),
        (None, _) => Err(ImdsError::MetadataHeader),
        // Clients react to the error for a missing header; another value gets an error that explains it.
        _ => Err(ImdsError::MetadataValue),
    }
}

/// Admits requests that come directly from a program. Each check excludes one attack:
///
/// - `Host`: a web page whose name was rebound to this address (DNS rebinding)
/// - `X-Forwarded-For`: requests through a proxy
pub(super) fn admit_direct<B>(request: &Request<B>, hosts: &HostRules) -> Result<(), ImdsError> {
    let headers = request.headers();
    if hosts.check(headers, request.uri()).is_none() {
        return Err(ImdsError::Host);
    }
    if headers.contains_key(FORWARDED_FOR) {
        return Err(ImdsError::ForwardedFor);
    }
    Ok(())
}
