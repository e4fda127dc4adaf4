//! Keys of other issuers, for workload identity federation.
//!
//! They come from a file or from the issuer's discovery document. They are fetched before a request is answered, on
//! the runtime of the token service, so no thread waits for an issuer.

mod fetch;
mod issuers;

use std::sync::Arc;

use self::fetch::Fetcher;
pub(crate) use self::fetch::PlainHttp;
use self::issuers::{Issuers, Step};
use crate::base::client::Origin;
use crate::base::clock::{Clock, UnixSeconds};
use crate::base::tls::TlsError;
use crate::service::token::{ForeignKeys, ForeignToken};

/// Settings for the keys of other issuers.
#[derive(Clone, Debug, Default)]
pub(crate) struct FederationOptions {
    /// Issuers whose keys are given here, and are not fetched.
    pub key_sets: Vec<(String, ForeignKeys)>,
    /// Certificate authorities (PEM) of the issuers; if `None`, those of this machine.
    pub ca_pem: Option<Vec<u8>>,
    /// Issuers that may be asked over plain HTTP.
    pub plain_http: PlainHttp,
    /// Hosts, besides its own, at which an issuer may have its keys.
    pub key_hosts: Vec<Origin>,
}

/// The keys of other issuers.
#[derive(Debug)]
pub(crate) struct Federation {
    issuers: Issuers,
    fetcher: Fetcher,
}

/// Keys that a request needs: those of `issuer`, with the one of this name if the token has one.
#[derive(Debug)]
pub(super) struct Needed {
    pub(super) issuer: String,
    pub(super) kid: Option<String>,
}

impl Federation {
    /// Creates an empty cache of keys.
    ///
    /// # Errors
    /// Returns an error when the certificate authorities cannot be used.
    pub(crate) fn new(options: FederationOptions) -> Result<Self, TlsError> {
        let FederationOptions { key_sets, ca_pem, plain_http, key_hosts } = options;
        let fetcher = Fetcher::new(ca_pem.as_deref(), plain_http, key_hosts)?;
        Ok(Self { issuers: Issuers::new(key_sets), fetcher })
    }

    /// Makes sure that the keys for a token are there, as far as the issuer allows. The fetch runs on the runtime
    /// of the caller, which waits for it only if the token needs it.
    ///
    /// # Cancel safety
    /// Dropping the future ends the wait. The fetch goes on, for other requests.
    pub(super) async fn provide(self: &Arc<Self>, needed: Needed, clock: &Arc<dyn Clock>) {
        let Needed { issuer, kid } = needed;
        match self.issuers.step(&issuer, kid.as_deref(), clock.now()) {
            Step::Use => {}
            Step::Wait(mut flight) => {
                let _ = flight.changed().await;
            }
            Step::Fetch { landed, mut flight, is_needed } => {
                let (federation, clock) = (Arc::clone(self), Arc::clone(clock));
                tokio::spawn(async move {
                    let fetched = federation.fetcher.keys(&issuer).await;
                    federation.issuers.land(&issuer, fetched, clock.now());
                    drop(landed);
                });
                if is_needed {
                    let _ = flight.changed().await;
                }
            }
        }
    }

    /// Returns the keys of an issuer that may be used at `now`, or nothing if they were not fetched. The log then
    /// has the reason.
    pub(super) fn keys(&self, issuer: &str, now: UnixSeconds) -> Option<Arc<ForeignKeys>> {
        self.issuers.keys(issuer, now)
    }
}

/// Returns the token of another issuer in an assertion. Its `iss` is a URL. A client that signs its assertion itself
/// writes its id there.
pub(super) fn of_other_issuer(jwt: &str) -> Option<ForeignToken<'_>> {
    let token = ForeignToken::parse(jwt).ok()?;
    let issuer = &token.unverified().issuer;
    let is_url = ["https://", "http://"].iter().any(|scheme| issuer.starts_with(scheme));
    is_url.then_some(token)
}
