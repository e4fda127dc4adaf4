//! The use case: a virtual machine asks for a token of one of its identities.
//!
//! Selects the identity, looks the token up, and on a miss joins or starts the one flight that
//! mints it. A hit takes no lock that a mint can hold for long: it is a lookup in one cache shard.
//! Signing happens on mint lanes, never on the thread that asks.

mod lanes;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{Abandoned, Cache, CacheStats, Entry, Freshness, Joined};
use crate::clock::{Clock, UnixSeconds};
use crate::ids::TenantId;
use crate::token::{MintError, Token, TokenSource};
use crate::world::{IdentityIndex, ResourceIndex, SelectError, Selector, VmIndex, World};

pub use lanes::LaneStats;
use lanes::{Job, Lanes, Purpose, Wanted};

/// What the broker keeps.
pub(crate) type TokenCache = Cache<Token, TokenError>;

/// How the broker is set up.
#[derive(Clone, Debug)]
pub struct BrokerOptions {
    /// Tokens held at most; a token takes about 2 kB.
    pub cache_entries: NonZeroUsize,
    /// Threads that sign.
    pub mint_lanes: NonZeroUsize,
    /// Mints that may wait for a lane; the next one is refused.
    pub mint_queue: NonZeroUsize,
    /// The part of its life after which a token is renewed in the background, 0 to 1. Each token
    /// draws its own moment from 10 % around it, so that tokens minted together part.
    pub refresh_fraction: f64,
    /// Seeds the opaque claims and the jitter.
    pub seed: [u8; 32],
}

/// One request for a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenRequest<'a> {
    /// Which of the VM's identities, if it says.
    pub selector: Option<&'a Selector>,
    /// The audience, in the caller's spelling.
    pub resource: &'a str,
    /// Whether a held token will do.
    pub freshness: Freshness,
}

/// How an answer came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// Another caller had started the mint.
    Coalesced,
    /// The token was held.
    Hit,
    /// A mint was started for this caller.
    Miss,
}

impl Via {
    /// The value of the `x-mintbench-cache` header, and the class of a measurement.
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
    /// Where it came from.
    pub via: Via,
}

impl Answer {
    /// The token.
    pub fn token(&self) -> &Token {
        self.entry.value()
    }
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The mint that was waited for ended without a result.
    #[error("the mint of the token was given up")]
    Abandoned,
    /// Too many mints are waiting.
    #[error("too many tokens are waiting to be minted")]
    Busy,
    /// Signing failed.
    #[error("the token could not be minted")]
    Mint(#[source] MintError),
    /// No identity of the caller answers the request.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The directory knows no such resource.
    #[error("the resource `{resource}` is not known in the tenant {tenant}")]
    UnknownResource {
        /// What was asked for.
        resource: String,
        /// Where it was looked for.
        tenant: TenantId,
    },
}

impl From<Abandoned> for TokenError {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}

/// What the broker has done since it started; a moving picture, not a snapshot.
///
/// Each request that names an identity and a resource which its VM may use is counted once, when it
/// is decided what becomes of it: `cache.hits + coalesced + misses` is their number, also when a
/// caller goes away before its answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BrokerStats {
    /// Of the cache; `hits` are answers from held tokens.
    pub cache: CacheStats,
    /// Requests whose mint another caller had started.
    pub coalesced: u64,
    /// Requests that started a mint.
    pub misses: u64,
    /// Of both, those that found the mint queue full.
    pub refused: u64,
    /// Of the mint lanes.
    pub lanes: LaneStats,
}

/// Tokens for the virtual machines of one world.
#[derive(Debug)]
pub struct Broker {
    world: Arc<World>,
    cache: Arc<TokenCache>,
    lanes: Lanes,
    coalesced: AtomicU64,
    misses: AtomicU64,
    refused: AtomicU64,
}

impl Broker {
    /// Starts the mint lanes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        world: Arc<World>,
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        options: &BrokerOptions,
    ) -> std::io::Result<Self> {
        let cache = Arc::new(TokenCache::new(options.cache_entries.get()));
        let lanes = Lanes::start(Arc::clone(&world), Arc::clone(&cache), source, clock, options)?;
        let [coalesced, misses, refused] = Default::default();
        Ok(Self { world, cache, lanes, coalesced, misses, refused })
    }

    /// What exists.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The virtual machine that calls from `peer`; asked once for each connection.
    pub fn caller(&self, peer: IpAddr) -> Option<VmIndex> {
        self.world.vm_at(peer)
    }

    /// A token for `vm`.
    ///
    /// # Errors
    /// See [`TokenError`]; what one VM may not have says nothing about what another has.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait only: a mint that it started goes on, for others that
    /// wait and for the cache.
    pub async fn token(
        &self,
        vm: VmIndex,
        request: &TokenRequest<'_>,
        now: UnixSeconds,
    ) -> Result<Answer, TokenError> {
        let identity = self.world.select(self.world.vm(vm), request.selector)?;
        let resource = self.resource(identity, request.resource)?;
        let wanted = Wanted { identity, resource };
        if request.freshness == Freshness::Held
            && let Some(hit) = self.cache.get(wanted.key(), now)
        {
            if let Some(refresh) = hit.refresh {
                self.lanes.renew(Job { wanted, purpose: Purpose::Renew(refresh) });
            }
            return Ok(Answer { entry: hit.entry, via: Via::Hit });
        }
        self.mint(wanted, request.freshness, now).await
    }

    fn resource(&self, identity: IdentityIndex, name: &str) -> Result<ResourceIndex, TokenError> {
        self.world.resource_named(name).ok_or_else(|| {
            let tenant = self.world.identity(identity).tenant;
            TokenError::UnknownResource {
                resource: name.to_owned(),
                tenant: self.world.tenant(tenant).id,
            }
        })
    }

    async fn mint(
        &self,
        wanted: Wanted,
        freshness: Freshness,
        now: UnixSeconds,
    ) -> Result<Answer, TokenError> {
        let (via, waiter) = match self.cache.join(wanted.key(), now, freshness) {
            Joined::Ready(entry) => {
                self.coalesced.fetch_add(1, Ordering::Relaxed);
                return Ok(Answer { entry, via: Via::Coalesced });
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
        landed.map(|entry| Answer { entry, via })
    }

    /// Counts since the start.
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

#[cfg(test)]
mod tests;
