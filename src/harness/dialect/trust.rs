//! The certificates that targets must show.

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

use super::url::HttpUrl;
use crate::base::http::Scheme;
use crate::base::tls;
use crate::base::tls::{Fault, TlsError};

/// The trusted certificate authorities. Sessions are resumed if a server offers it, as clients do
/// that connect repeatedly.
#[derive(Clone, Debug)]
pub struct Trusted {
    config: Arc<ClientConfig>,
    checked: bool,
}

impl Trusted {
    /// Trusts the authorities whose certificates `pem` holds, and no other.
    ///
    /// # Errors
    /// Returns an error if `pem` holds none.
    pub fn authorities(pem: &[u8]) -> Result<Self, TlsError> {
        tls::client_config(pem).map(Self::checking)
    }

    /// Trusts the authorities that this machine trusts.
    ///
    /// # Errors
    /// Returns an error if there are none.
    pub fn system() -> Result<Self, TlsError> {
        tls::system_client_config().map(Self::checking)
    }

    /// Trusts every server: no certificate is checked.
    ///
    /// # Errors
    /// Returns an error if the TLS library cannot be set up.
    pub fn anybody() -> Result<Self, TlsError> {
        tls::unchecked_client_config().map(|config| Self { config, checked: false })
    }

    const fn checking(config: Arc<ClientConfig>) -> Self {
        Self { config, checked: true }
    }

    /// Returns the configuration of TLS clients.
    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// Returns true if certificates are checked.
    pub(crate) const fn is_checked(&self) -> bool {
        self.checked
    }
}

/// The settings to start TLS with one server.
#[derive(Clone, Debug)]
pub(crate) struct TlsConnector {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsConnector {
    /// Returns the settings for the server of `url`, or `None` if the URL is plain HTTP.
    ///
    /// # Errors
    /// Returns an error if a certificate cannot be for the host, or if no authority is known.
    pub(crate) fn of(url: &HttpUrl, trusted: Option<&Trusted>) -> io::Result<Option<Self>> {
        if url.scheme == Scheme::Http {
            return Ok(None);
        }
        let Trusted { config, .. } =
            trusted.ok_or_else(|| invalid("no certificate authority is known"))?;
        let name = ServerName::try_from(url.host()).map_err(|error| invalid(&error.to_string()))?;
        Ok(Some(Self { config: Arc::clone(config), name: name.to_owned() }))
    }

    pub(crate) fn connect(&self) -> io::Result<ClientConnection> {
        let connection = ClientConnection::new(Arc::clone(&self.config), self.name.clone());
        connection.map_err(io::Error::other)
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text.to_owned())
}

/// The flag that names the certificate of an authority.
const CA_FLAG: &str = "--ca";

/// Returns the remedy for `fault`.
pub(crate) fn remedy(fault: Fault) -> String {
    let remedy = fault.remedy(CA_FLAG);
    // A measurement is possible without knowing the server's identity.
    if fault.is_of_certificate() {
        format!("{remedy}; --insecure measures without a check of certificates")
    } else {
        remedy
    }
}
