//! Server certificates for a listener whose addresses come and go.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use super::{Authority, TlsError};
use crate::clock::Clock;

/// Returns the addresses at which a listener is called now.
type Addresses = Box<dyn Fn() -> Vec<IpAddr> + Send + Sync>;

/// Makes certificates that are valid for fixed names and for the addresses at which a listener is called. A
/// certificate names single addresses, not ranges, and clients that call an address do not say which.
pub struct AddressedTls {
    authority: Arc<Authority>,
    clock: Arc<dyn Clock>,
    names: Vec<String>,
    addresses: Addresses,
    /// The last configuration, and the addresses that it is for.
    last: Mutex<Option<(Vec<IpAddr>, Arc<ServerConfig>)>>,
}

impl fmt::Debug for AddressedTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressedTls").field("names", &self.names).finish_non_exhaustive()
    }
}

impl AddressedTls {
    /// Certificates for these names and for what `addresses` returns.
    pub fn new(
        authority: Arc<Authority>,
        clock: Arc<dyn Clock>,
        names: Vec<String>,
        addresses: impl Fn() -> Vec<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        let (addresses, last) = (Box::new(addresses), Mutex::default());
        Self { authority, clock, names, addresses, last }
    }

    /// The configuration for a connection to `called`, which the certificate is valid for as well. It is made
    /// anew when the addresses have changed.
    ///
    /// # Errors
    /// As [`Authority::server_config`].
    pub fn config(&self, called: IpAddr) -> Result<Arc<ServerConfig>, TlsError> {
        let (mut addresses, called) = ((self.addresses)(), called.to_canonical());
        if !addresses.contains(&called) && !self.names.contains(&called.to_string()) {
            addresses.push(called);
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, config)) = last.as_ref().filter(|(held, _)| *held == addresses) {
            return Ok(Arc::clone(config));
        }
        let texts = addresses.iter().map(IpAddr::to_string);
        let names: Vec<_> = self.names.iter().cloned().chain(texts).collect();
        let config = self.authority.server_config(&names, self.clock.now())?;
        *last = Some((addresses, Arc::clone(&config)));
        Ok(config)
    }
}
