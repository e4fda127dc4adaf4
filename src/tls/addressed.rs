//! Server certificates for a listener that is reached at many addresses.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::ServerConfig;

use super::{Authority, TlsError};
use crate::clock::Clock;

/// Makes a certificate for each address at which a listener is called: the subject alternative names of a
/// certificate are single addresses, not ranges, and clients that call an address send no name.
#[derive(Debug)]
pub struct AddressedTls {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    names: Vec<String>,
    common: Arc<ServerConfig>,
}

impl AddressedTls {
    /// Certificates for these names and the address that was called.
    ///
    /// # Errors
    /// As [`Authority::server_config`].
    pub fn new(
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
        names: Vec<String>,
    ) -> Result<Self, TlsError> {
        let common = authority.server_config(&names, clock.now())?;
        Ok(Self { authority, clock, names, common })
    }

    /// The configuration for connections to the names alone.
    pub fn common(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.common)
    }

    /// The configuration for a connection to `address`. One is made for each connection to an address that
    /// is not among the names, which takes less than the handshake.
    ///
    /// # Errors
    /// As [`Authority::server_config`].
    pub fn config(&self, address: IpAddr) -> Result<Arc<ServerConfig>, TlsError> {
        let name = address.to_canonical().to_string();
        if self.names.contains(&name) {
            return Ok(Arc::clone(&self.common));
        }
        let names: Vec<_> = self.names.iter().cloned().chain([name]).collect();
        self.authority.server_config(&names, self.clock.now())
    }
}
