//! The name under which a client knows this service: links in answers begin with it.

use hyper::header::{HOST, HeaderValue};
use hyper::http::request::Parts;

use super::ArmAuth;
use super::error::ArmError;
use crate::http::is_local_name;

/// Scheme and authority of the request, without a slash at the end.
///
/// When nobody is asked who they are, the authority must be an address or `localhost`: names that no
/// foreign DNS server answers for.
pub(super) fn base_url(parts: &Parts, scheme: &str, auth: ArmAuth) -> Result<String, ArmError> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let host = hosts.next().map(HeaderValue::as_bytes).ok_or(ArmError::Host)?;
    let host = std::str::from_utf8(host).map_err(|_| ArmError::Host)?;
    let target = parts.uri.authority().map(hyper::http::uri::Authority::as_str);
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_plain = (1..=255).contains(&host.len()) && host.bytes().all(is_byte);
    let is_sole = hosts.next().is_none() && target.is_none_or(|target| target == host);
    if is_plain && is_sole && (auth == ArmAuth::Bearer || is_local_name(host.as_bytes())) {
        Ok(format!("{scheme}://{host}"))
    } else {
        Err(ArmError::Host)
    }
}
