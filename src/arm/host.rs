//! The name under which a client knows this service: links in answers begin with it.

use hyper::http::request::Parts;

use super::error::ArmError;
use super::{ArmAuth, ArmOptions};
use crate::http::sole_host_of;

/// Scheme and authority of the request, without a slash at the end.
///
/// When nobody is asked who they are, the authority must be an address, `localhost` or a name that the
/// operator has given: names that no foreign DNS server answers for.
pub(super) fn base_url(
    parts: &Parts,
    scheme: &str,
    options: &ArmOptions,
) -> Result<String, ArmError> {
    let host = sole_host_of(&parts.headers, &parts.uri).ok_or(ArmError::Host)?;
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let is_plain = (1..=255).contains(&host.len()) && host.bytes().all(is_byte);
    if is_plain && (options.auth == ArmAuth::Bearer || options.names.admit(host)) {
        Ok(format!("{scheme}://{host}"))
    } else {
        Err(ArmError::Host)
    }
}
