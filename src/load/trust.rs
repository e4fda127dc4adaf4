//! Whose certificates count.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, ClientConnection};

use super::target::{HttpUrl, Scheme};
use crate::tls::{self, TlsError};

/// The authorities whose certificates count. Sessions are resumed where a server offers it, as
/// clients do that connect again and again.
#[derive(Clone, Debug)]
pub struct Trusted(Arc<ClientConfig>);

impl Trusted {
    /// Those whose certificates `pem` holds, and no other.
    ///
    /// # Errors
    /// When it holds none.
    pub fn authorities(pem: &[u8]) -> Result<Self, TlsError> {
        tls::client_config(pem).map(Self)
    }

    /// Those that this machine trusts.
    ///
    /// # Errors
    /// When there are none.
    pub fn system() -> Result<Self, TlsError> {
        tls::system_client_config().map(Self)
    }
}

/// How TLS with one server is begun.
#[derive(Clone, Debug)]
pub(super) struct Greeting {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl Greeting {
    /// With the server of `url`; `None` where it is spoken to without TLS.
    ///
    /// # Errors
    /// When the host is no name that a certificate can be for, or nobody is trusted.
    pub(super) fn of(url: &HttpUrl, trusted: Option<&Trusted>) -> io::Result<Option<Self>> {
        if url.scheme == Scheme::Http {
            return Ok(None);
        }
        let Trusted(config) =
            trusted.ok_or_else(|| invalid("no certificate authority is known"))?;
        let name = ServerName::try_from(url.host()).map_err(|error| invalid(&error.to_string()))?;
        Ok(Some(Self { config: Arc::clone(config), name: name.to_owned() }))
    }

    pub(super) fn begin(&self) -> io::Result<ClientConnection> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        connection.map_err(io::Error::other)
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_owned())
}

/// What of a certificate is refused, if that is what `error` is about.
pub(super) fn refusal(error: &io::Error) -> Option<Refusal> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(reason) = error else { return None };
    Some(match reason {
        CertificateError::UnknownIssuer => Refusal::Issuer,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Refusal::Name
        }
        _ => Refusal::Other,
    })
}

/// Why a certificate does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody who is trusted has issued it.
    Issuer,
    /// It is for another name.
    Name,
    /// It is too old, or else wrong.
    Other,
}

impl Refusal {
    /// What to do about it.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Issuer => {
                "no trusted authority has issued it: name its authority's certificate with --ca"
            }
            Self::Name => {
                "it is for another name: write the name in the URL that the certificate is for"
            }
            Self::Other => "have the server present one that counts",
        }
    }
}
