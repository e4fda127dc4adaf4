//! The protocols, and their settings.

use std::fmt;

use super::expect::{fault_of_plain, fault_of_token};
use super::oauth2::OAuth2;
use super::plain::Plain;
use crate::base::secret::Redacted;
use crate::harness::dialect::outcome::Cause;

/// Protocol by which a token is requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The managed-identity endpoint of Azure App Service, version 2019-08-01.
    AppService,
    /// The EC2 instance metadata service, version 2: a session by PUT, then the credentials of a role.
    Aws,
    /// The Compute Engine metadata server.
    Gce,
    /// A plain request of the URL as it stands, a GET unless another is asked for. Any 2xx is a success, unless there are conditions on the
    /// answers.
    Get,
    /// The Azure Instance Metadata Service.
    Imds,
    /// OAuth 2.0 client credentials with a secret or a certificate (RFC 6749 section 4.4, RFC 7523).
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
    /// A plain request.
    Get(Plain),
    /// IMDS.
    Imds,
    /// OAuth 2.0.
    OAuth2(OAuth2),
}

const IMDS_PATH: &str = "/metadata/identity/oauth2/token";
/// The path of the token of an instance's default service account.
const GCE_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";
const AWS_PATH: &str = "/latest/meta-data/iam/security-credentials/";

impl Dialect {
    /// Returns the protocol of the dialect.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::AppService { .. } => Protocol::AppService,
            Self::Aws { .. } => Protocol::Aws,
            Self::Gce => Protocol::Gce,
            Self::Get(_) => Protocol::Get,
            Self::Imds => Protocol::Imds,
            Self::OAuth2(_) => Protocol::OAuth2,
        }
    }

    /// Returns the path of requests if the URL has none.
    pub(in crate::harness::dialect) fn default_path(&self) -> String {
        match self {
            Self::Imds => IMDS_PATH.to_owned(),
            Self::AppService { .. } => "/msi/token".to_owned(),
            Self::Gce => GCE_PATH.to_owned(),
            Self::Aws { role } => format!("{AWS_PATH}{}", role.as_deref().unwrap_or_default()),
            Self::Get(_) | Self::OAuth2(_) => "/".to_owned(),
        }
    }

    /// Returns true if answers have no body.
    pub(crate) fn is_head(&self) -> bool {
        matches!(self, Self::Get(plain) if plain.method.is_head())
    }

    /// Returns the fault of an answer, if there is one.
    pub(crate) fn fault(&self, status: u16, body: &[u8]) -> Option<Cause> {
        match self {
            Self::Get(plain) => fault_of_plain(&plain.expect, status, body),
            Self::Aws { .. } => {
                fault_of_token(&["AccessKeyId", "SecretAccessKey", "Token"], status, body)
            }
            Self::AppService { .. } | Self::Gce | Self::Imds | Self::OAuth2(_) => {
                fault_of_token(&["access_token"], status, body)
            }
        }
    }
}
