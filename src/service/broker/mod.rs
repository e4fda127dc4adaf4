//! The broker: a virtual machine asks for a token of one of its identities.
//!
//! The broker selects the identity and looks the token up. On a miss it joins or starts the flight that mints
//! the token. A hit is a lookup in one cache shard, and takes no lock that a mint can hold for long. Tokens
//! are signed on mint lanes, never on the thread that asks.

mod lanes;
mod ledger;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::clock::{Clock, UnixSeconds};
use crate::base::ids::TenantId;
use crate::service::cache::{Abandoned, Cache, CacheStats, Entry, Freshness, Joined, Key};
use crate::service::directory::{Audience, Caller, Directory, Ended};
use crate::service::token::{MintError, Token, TokenSource};
use crate::service::world::{Held, HoldingIndex, SelectError, Selector, Vm};

pub use lanes::LaneStats;
use lanes::{Job, Lanes, Purpose, Wanted};
use ledger::{Ledger, Resource};

/// The cache of the broker.
pub(crate) type TokenCache = Cache<Token, TokenError>;

/// Attempts of one request before it is refused. An attempt is lost if, while the caller waits, the VM's
/// identity changes or the clock leaves the token's lifetime.
const CHANGES_MAX: usize = 4;

/// Settings of the broker.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Greatest number of cached tokens; a token takes about 2 kB.
    pub cache_entries: NonZeroUsize,
    /// Number of threads that sign.
    pub mint_lanes: NonZeroUsize,
    /// Mints that may wait for a lane; further ones are refused.
    pub mint_queue: NonZeroUsize,
    /// Fraction of its life, 0 to 1, after which a token is renewed in the background. Each token draws its
    /// moment from a window of 10 % of its life around this fraction, so that tokens minted together are not
    /// renewed together.
    pub refresh_fraction: f64,
    /// Seed of the opaque claims and the jitter.
    pub seed: [u8; 32],
}

/// One request for a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// The identity that the request asks for, if it names one.
    pub selector: Option<&'a Selector>,
    /// Audience, in the caller's spelling.
    pub resource: &'a str,
    /// Values that the caller accepts.
    pub freshness: Freshness,
}

/// Origin of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A mint that another caller had started.
    Coalesced,
    /// The cache.
    Hit,
    /// A mint that was started for this caller.
    Miss,
}

impl Via {
    /// Returns the value of the `x-mintbench-cache` header, which is also the class of a measurement.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Coalesced => "coalesced",
            Self::Hit => "hit",
            Self::Miss => "miss",
        }
    }
}

/// A token for a caller.
#[derive(Clone, Debug)]
pub struct Answer {
    entry: Arc<Entry<Token>>,
    /// Origin of the token.
    pub via: Via,
    /// Time of the answer: `expires_in` counts from here.
    pub at: UnixSeconds,
}

impl Answer {
    /// Returns the token.
    pub fn token(&self) -> &Token {
        self.entry.value()
    }
}

/// Reasons why a request gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The mint that the caller waited for ended without a result.
    #[error("the mint of the token was given up")]
    Abandoned,
    /// Too many mints wait for a lane.
    #[error("too many tokens are waiting to be minted")]
    Busy,
    /// The token source failed.
    #[error("the token could not be minted")]
    Mint(#[source] MintError),
    /// No virtual machine has the caller's address.
    #[error("the caller is not a virtual machine of this world")]
    UnknownCaller,
    /// The request selects no identity of the caller.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The tenant has no such resource.
    #[error("the resource `{resource}` is not known in the tenant {tenant}")]
    UnknownResource {
        /// Resource in the request.
        resource: String,
        /// Tenant in which it was looked up.
        tenant: TenantId,
    },
}

impl From<Abandoned> for TokenError {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}

/// Counters of the broker since it started. They are read one after the other, so they are no snapshot.
///
/// A request counts if it names an identity and a resource that its VM may use. It counts once, when its
/// cache lookup is decided, even if the caller goes away before its answer. So the number of such requests is
/// `cache.hits + coalesced + misses`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Counters of the cache; `hits` are answers from cached tokens.
    pub cache: CacheStats,
    /// Requests whose mint another caller had started.
    pub coalesced: u64,
    /// Requests that started a mint.
    pub misses: u64,
    /// Requests among the coalesced and the misses that found the mint queue full.
    pub refused: u64,
    /// Counters of the mint lanes.
    pub lanes: LaneStats,
}

/// Issues tokens to the virtual machines of one world.
#[derive(Debug)]
pub struct Broker {
    directory: Arc<Directory>,
    cache: Arc<TokenCache>,
    ledger: Arc<Ledger>,
    lanes: Lanes,
    coalesced: AtomicU64,
    misses: AtomicU64,
    refused: AtomicU64,
}

impl Broker {
    /// Starts the mint lanes and creates the broker.
    ///
    /// # Errors
    /// Returns the system's error when a thread cannot be started.
    pub fn start(
        directory: Arc<Directory>,
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        options: &BrokerOptions,
    ) -> std::io::Result<Self> {
        let cache = Arc::new(TokenCache::new(options.cache_entries.get()));
        let ledger = Arc::<Ledger>::default();
        let lanes = Lanes::start(&directory, (&cache, &ledger), source, clock, options)?;
        // The directory records the end before it calls this. So a mint that lands later sees the end.
        let (held, noted) = (Arc::clone(&cache), Arc::clone(&ledger));
        directory.on_end(move |ended| match ended {
            Ended::SigningKey => held.clear(),
            Ended::Identity(_) | Ended::Holding(_) => {
                noted.end(ended).into_iter().for_each(|key| held.remove(key));
            }
        });
        let [coalesced, misses, refused] = Default::default();
        Ok(Self { directory, cache, ledger, lanes, coalesced, misses, refused })
    }

    /// Returns the directory of the world.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Returns the caller behind `peer`; called once per connection.
    pub fn caller(&self, peer: IpAddr) -> Caller {
        self.directory.caller(peer)
    }

    /// Returns the virtual machine that calls, if it exists at `now`.
    pub fn vm(&self, caller: &Caller, now: UnixSeconds) -> Option<Arc<Vm>> {
        caller.with_vm(&self.directory, now, Arc::clone)
    }

    /// Returns a token for the virtual machine that calls.
    ///
    /// # Errors
    /// Returns a [`TokenError`]. An error for one VM reveals nothing about other VMs.
    ///
    /// # Cancel safety
    /// Dropping the future only ends the wait. A mint that it started goes on, for other waiters and for the
    /// cache.
    pub async fn token(
        &self,
        caller: &Caller,
        request: &TokenRequest<'_>,
        clock: &dyn Clock,
    ) -> Result<Answer, TokenError> {
        let mut now = clock.now();
        let mut selected = self.select(caller, request.selector, now)?;
        for _ in 0..CHANGES_MAX {
            let holding = selected.holding;
            let resource = self.resource(&selected, request.resource)?;
            // Once the holding has ended, the ledger may give the number of an unlisted resource to another
            // one.
            let is_lasting = matches!(resource, Resource::Listed(_));
            let given = self.give(selected, resource, request.freshness, now).await;
            if is_lasting && let Ok(Answer { via: Via::Hit, .. }) = given {
                return given;
            }
            // While the caller waited, its VM may have lost the identity or got another one, and the clock
            // may have been set.
            now = clock.now();
            selected = self.select(caller, request.selector, now)?;
            let is_in_time = given.as_ref().map_or(true, |answer| answer.entry.is_usable(now));
            if selected.holding == holding && is_in_time {
                return given.map(|answer| Answer { at: now, ..answer });
            }
        }
        Err(TokenError::Busy)
    }

    /// Returns the requested resource, in the tenant of the VM.
    fn resource(&self, selected: &Selected, name: &str) -> Result<Resource, TokenError> {
        if let Some(index) = self.directory.resources().named(name) {
            return Ok(Resource::Listed(index));
        }
        let tenant = selected.vm.tenant.id;
        match self.directory.audience(name, tenant) {
            Some(Audience::Listed(index)) => Ok(Resource::Listed(index)),
            Some(Audience::Unlisted(name)) => {
                let numbered = self.ledger.number(selected.held()?, &name);
                let (resource, displaced) = numbered.ok_or(TokenError::Busy)?;
                if let Some(key) = displaced {
                    self.cache.remove(key);
                }
                Ok(resource)
            }
            None => Err(TokenError::UnknownResource { resource: name.to_owned(), tenant }),
        }
    }

    /// Returns the cached token, or mints one.
    async fn give(
        &self,
        selected: Selected,
        resource: Resource,
        freshness: Freshness,
        now: UnixSeconds,
    ) -> Result<Answer, TokenError> {
        if freshness == Freshness::Held
            && let Some(hit) = self.cache.get(Key::new(selected.holding.0, resource.number()), now)
        {
            if let Some(refresh) = hit.refresh {
                let wanted = selected.wants(resource)?;
                self.lanes.renew(Job { wanted, purpose: Purpose::Renew(refresh) });
            }
            return Ok(Answer { entry: hit.entry, via: Via::Hit, at: now });
        }
        let (entry, via) = self.mint(selected.wants(resource)?, freshness, now).await?;
        Ok(Answer { entry, via, at: now })
    }

    fn select(
        &self,
        caller: &Caller,
        selector: Option<&Selector>,
        now: UnixSeconds,
    ) -> Result<Selected, TokenError> {
        let selected = caller.with_vm(&self.directory, now, |vm| {
            let holding = vm.select(selector, now)?.index;
            Ok(Selected { vm: Arc::clone(vm), holding })
        });
        selected.ok_or(TokenError::UnknownCaller)?.map_err(TokenError::Select)
    }

    async fn mint(
        &self,
        wanted: Wanted,
        freshness: Freshness,
        now: UnixSeconds,
    ) -> Result<(Arc<Entry<Token>>, Via), TokenError> {
        let (via, waiter) = match self.cache.join(wanted.key(), now, freshness) {
            Joined::Ready(entry) => {
                self.coalesced.fetch_add(1, Ordering::Relaxed);
                return Ok((entry, Via::Coalesced));
            }
            Joined::Follow(waiter) => {
                self.coalesced.fetch_add(1, Ordering::Relaxed);
                (Via::Coalesced, waiter)
            }
            Joined::Lead(lead, waiter) => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                self.lanes.mint(Job { wanted, purpose: Purpose::Land(lead) });
                (Via::Miss, waiter)
            }
        };
        let landed = waiter.await;
        if let Err(TokenError::Busy) = landed {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        landed.map(|entry| (entry, via))
    }

    /// Returns the counters since the start.
    pub fn stats(&self) -> BrokerStats {
        BrokerStats {
            cache: self.cache.stats(),
            coalesced: self.coalesced.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            lanes: self.lanes.stats(),
        }
    }
}

/// A VM, and the identity that the request selects.
#[derive(Debug)]
struct Selected {
    vm: Arc<Vm>,
    holding: HoldingIndex,
}

impl Selected {
    fn held(&self) -> Result<&Held, TokenError> {
        self.vm.holding(self.holding).ok_or(TokenError::Select(SelectError::NotFound))
    }

    fn wants(self, resource: Resource) -> Result<Wanted, TokenError> {
        let held = self.held()?.clone();
        Ok(Wanted { vm: self.vm, held, resource })
    }
}

#[cfg(test)]
mod tests;
