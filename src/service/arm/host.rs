//! The host name that a client uses for this service. Links in answers begin with it.

use hyper::http::request::Parts;

use super::error::ArmError;
use super::{ArmAuth, ArmOptions};
use crate::base::http::sole_host_of;

/// Returns scheme and authority of the request, without a slash at the end.
///
/// If callers are not authenticated, the authority must be an address, `localhost` or a name that the
/// operator allows. Foreign DNS servers cannot answer for these names.
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
