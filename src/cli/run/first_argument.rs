//! First argument of `mintbench run`.

use std::str::FromStr;

use crate::cli::target::{TargetUrl, TargetUrlError};
use crate::harness::scenario::spec::{Scenario, UnknownScenario};

/// Meaning of the first argument.
#[derive(Clone, Debug)]
pub(super) enum FirstArgument {
    /// Scenario, by its name or file.
    Scenario(Scenario),
    /// Target, by its URL; the scenario is `steady`.
    Target(TargetUrl),
}

/// Reason why the first argument names nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum FirstArgumentError {
    #[error(transparent)]
    Scenario(#[from] UnknownScenario),
    #[error(transparent)]
    Target(#[from] TargetUrlError),
    #[error("`{0}` is not a scenario; to measure an endpoint, write http://{0} or https://{0}")]
    NoScheme(String),
}

impl FromStr for FirstArgument {
    type Err = FirstArgumentError;

    fn from_str(text: &str) -> Result<Self, FirstArgumentError> {
        if text.contains("://") {
            return Ok(Self::Target(TargetUrl::for_plain_gets(text)?));
        }
        let named = |unknown| {
            if is_address(text) {
                FirstArgumentError::NoScheme(text.to_owned())
            } else {
                FirstArgumentError::Scenario(unknown)
            }
        };
        Ok(Self::Scenario(text.parse().map_err(named)?))
    }
}

/// Returns true if the text looks like a URL without its scheme, as `localhost:8080/token`.
///
/// Returns false for a URL with a user, which may hold a password.
fn is_address(text: &str) -> bool {
    let host = text.split('/').next().unwrap_or_default();
    let port = host.rsplit_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
    let is_host = host == "localhost" || host.parse::<std::net::Ipv4Addr>().is_ok();
    !text.contains('@') && (is_host || port.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_scheme_is_told_what_it_lacks() {
        let refused = |text: &str| text.parse::<FirstArgument>().unwrap_err().to_string();
        for text in ["localhost:8080/token", "localhost", "10.0.0.4", "web:80", "[::1]:8080/"] {
            assert!(refused(text).contains(&format!("write http://{text} or")), "{text}");
        }
        for text in ["stedy", "u:secret@host:80", "a/b", "web:x"] {
            assert!(!refused(text).contains("http://"), "{text}");
        }
    }
}
