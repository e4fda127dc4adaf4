//! The certificates of a server, for its names and for the addresses that clients call. They are renewed
//! while the server runs.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;

use super::authority::Authority;
use super::error::TlsError;
use crate::base::clock::{Clock, UnixSeconds};

/// Function that returns the current addresses of a listener.
type Addresses = Box<dyn Fn() -> Vec<IpAddr> + Send + Sync>;

/// Largest number of certificates held at once: one for all addresses, and one for each additional address.
const HELD_MAX: usize = 64;

/// Issues certificates that are valid for fixed names and, if requested, for the addresses of a listener. A
/// certificate names single addresses, not ranges, and clients that call an address do not name it. Each
/// certificate is renewed when half its lifetime is over.
pub struct ServerTls {
    authority: Arc<Authority>,
    /// Its machine's time decides, because clients check certificates by their own clocks.
    clock: Arc<dyn Clock>,
    names: Vec<String>,
    addresses: Option<Addresses>,
    made: Mutex<Made>,
}

/// Configurations in use.
#[derive(Default)]
struct Made {
    addresses: Vec<IpAddr>,
    /// Configurations, the oldest first.
    held: VecDeque<Certified>,
}

struct Certified {
    /// Additional address that the certificate is valid for.
    extra_address: Option<IpAddr>,
    made: UnixSeconds,
    config: Arc<ServerConfig>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("names", &self.names).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Creates certificates for these names.
    pub fn new(authority: Arc<Authority>, clock: Arc<dyn Clock>, names: Vec<String>) -> Self {
        Self { authority, clock, names, addresses: None, made: Mutex::default() }
    }

    /// Adds the addresses that `addresses` returns, and each address that a client calls.
    #[must_use]
    pub fn with_addresses(
        self,
        addresses: impl Fn() -> Vec<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self { addresses: Some(Box::new(addresses)), ..self }
    }

    /// Returns the configuration for a connection to `called`. A new one is created when there is none, when
    /// the addresses have changed, or when the old one is due.
    ///
    /// # Errors
    /// Returns the same errors as [`Authority::server_config`], and `Expired` when the authority has expired.
    pub fn config(&self, called: IpAddr) -> Result<Arc<ServerConfig>, TlsError> {
        let (called, now) = (called.to_canonical(), self.clock.machine_now());
        let addresses = self.addresses.as_ref().map(|addresses| addresses());
        let is_named = addresses.as_ref().is_none_or(|addresses| {
            addresses.contains(&called) || self.names.contains(&called.to_string())
        });
        let (addresses, extra_address) =
            (addresses.unwrap_or_default(), (!is_named).then_some(called));
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if made.addresses != addresses {
            *made = Made { addresses, held: VecDeque::new() };
        }
        made.held.retain(|held| !self.is_due(held.made, now));
        if let Some(held) = made.held.iter().find(|held| held.extra_address == extra_address) {
            return Ok(Arc::clone(&held.config));
        }
        let config = self.certify(&made.addresses, extra_address, now)?;
        if made.held.len() >= HELD_MAX {
            made.held.pop_front();
        }
        made.held.push_back(Certified { extra_address, made: now, config: Arc::clone(&config) });
        Ok(config)
    }

    /// Returns true if half the lifetime of a certificate is over, or if it is not valid yet after the clock
    /// was set back.
    fn is_due(&self, made: UnixSeconds, now: UnixSeconds) -> bool {
        let life = self.authority.server_end(made).since(made);
        now.since(made).0 > life.0 / 2 || now + Authority::BACKDATING < made
    }

    fn certify(
        &self,
        addresses: &[IpAddr],
        extra_address: Option<IpAddr>,
        now: UnixSeconds,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let not_after = self.authority.not_after();
        if not_after < now {
            return Err(TlsError::Expired { not_after });
        }
        let texts = addresses.iter().chain(&extra_address).map(IpAddr::to_string);
        let names: Vec<_> = self.names.iter().cloned().chain(texts).collect();
        self.authority.server_config(&names, now)
    }
}
