//! The protocols by which tokens are requested.
//!
//! A [`Dialect`] is a protocol with its settings. A `Recipe` is derived from it once the target and
//! the length of the run are known. It holds every constant part of a request, encoded once.
//! Nothing here signs, or sends a request, while the load runs.

mod expect;
mod lease;
mod oauth2;
mod recipe;

use std::fmt;

use crate::base::secret::Redacted;
use crate::harness::record::cause::Cause;

pub use self::expect::Expect;
use self::expect::{fault_of_plain, fault_of_token};
pub(crate) use self::lease::Lease;
pub use self::oauth2::{ClientAuth, OAuth2, Proof};
pub(crate) use self::recipe::{Recipe, Span, asked};

/// How a token is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The managed-identity endpoint of Azure App Service, version 2019-08-01
    AppService,
    /// The EC2 instance metadata service, version 2: a session by PUT, then the credentials of a role
    Aws,
    /// The Compute Engine metadata server
    Gce,
    /// A plain GET of the URL as it stands; any 2xx is a success, unless --expect says more
    Get,
    /// The Azure Instance Metadata Service
    Imds,
    /// OAuth 2.0 client credentials with a secret or a certificate (RFC 6749 section 4.4, RFC 7523)
    #[serde(rename = "oauth2")]
    OAuth2,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Self; 6] =
        [Self::AppService, Self::Aws, Self::Gce, Self::Get, Self::Imds, Self::OAuth2];

    /// Returns the name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AppService => "app-service",
            Self::Aws => "aws",
            Self::Gce => "gce",
            Self::Get => "get",
            Self::Imds => "imds",
            Self::OAuth2 => "oauth2",
        }
    }

    /// Returns true if an answer holds a JSON Web Token in `access_token`.
    pub const fn has_jwt(self) -> bool {
        matches!(self, Self::AppService | Self::Imds | Self::OAuth2)
    }

    /// Returns true if a request names the resource and the identity in its query.
    pub const fn selects(self) -> bool {
        matches!(self, Self::AppService | Self::Imds)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A protocol and the settings it needs beside a URL.
#[derive(Debug)]
pub enum Dialect {
    /// App Service.
    AppService {
        /// The value of `X-IDENTITY-HEADER`, which the environment variable `IDENTITY_HEADER`
        /// holds.
        secret: Redacted,
    },
    /// EC2.
    Aws {
        /// The role whose credentials are requested; none if the path of the URL names it.
        role: Option<String>,
    },
    /// Compute Engine.
    Gce,
    /// A plain GET.
    Get {
        /// Header fields sent with every request.
        headers: Vec<Header>,
        /// Conditions on the answers.
        expect: Vec<Expect>,
    },
    /// IMDS.
    Imds,
    /// OAuth 2.0.
    OAuth2(OAuth2),
}

impl Dialect {
    /// Returns the protocol of the dialect.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::AppService { .. } => Protocol::AppService,
            Self::Aws { .. } => Protocol::Aws,
            Self::Gce => Protocol::Gce,
            Self::Get { .. } => Protocol::Get,
            Self::Imds => Protocol::Imds,
            Self::OAuth2(_) => Protocol::OAuth2,
        }
    }

    /// Returns the fault of an answer, if there is one.
    pub(crate) fn fault(&self, status: u16, body: &[u8]) -> Option<Cause> {
        match self {
            Self::Get { expect, .. } => fault_of_plain(expect, status, body),
            Self::Aws { .. } => {
                fault_of_token(&["AccessKeyId", "SecretAccessKey", "Token"], status, body)
            }
            Self::AppService { .. } | Self::Gce | Self::Imds | Self::OAuth2(_) => {
                fault_of_token(&["access_token"], status, body)
            }
        }
    }
}

/// A header field of a request.
#[derive(Clone)]
pub struct Header {
    name: String,
    value: Redacted,
}

/// The reason why a text is not a header field.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The text does not have the form of a header field.
    #[error("a header is `Name: value`, on one line")]
    Form,
    /// The field would change where the request ends.
    #[error("the header `{0}` is the generator's to set; leave it out")]
    Reserved(String),
}

impl std::str::FromStr for Header {
    type Err = HeaderError;

    fn from_str(text: &str) -> Result<Self, HeaderError> {
        let (name, value) = text.split_once(':').ok_or(HeaderError::Form)?;
        // RFC 9110 section 5.1 and 5.5.
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let value = value.trim_matches([' ', '\t']);
        let visible = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if name.is_empty() || !name.bytes().all(token) || !value.bytes().all(visible) {
            return Err(HeaderError::Form);
        }
        let reserved = ["content-length", "expect", "transfer-encoding", "upgrade"];
        if reserved.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(HeaderError::Reserved(name.to_owned()));
        }
        Ok(Self { name: name.to_owned(), value: Redacted::new(value.as_bytes().to_vec()) })
    }
}

impl Header {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

impl fmt::Debug for Header {
    /// Formats the field without its value, which may be a credential.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_one_line_and_does_not_show_its_value() {
        let header: Header = "Authorization: \tBearer x ".parse().unwrap();
        assert_eq!(
            (header.name.as_str(), header.value.expose()),
            ("Authorization", &b"Bearer x"[..])
        );
        assert!(!format!("{header:?}").contains("Bearer"));
        for text in ["", "x", ": y", "a b: c", "a: b\r\nc: d", "a: \u{1}", "Content-Length: 3"] {
            assert!(text.parse::<Header>().is_err(), "{text:?}");
        }
    }
}
