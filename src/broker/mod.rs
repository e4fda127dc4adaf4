//! The use case: a virtual machine asks for a token of one of its identities.
//!
//! Selects the identity, looks the token up, and on a miss joins or starts the one flight that
//! mints it. A hit takes no lock that a mint can hold for long: it is a lookup in one cache shard.
//! Signing happens on mint lanes, never on the thread that asks.

mod lanes;
mod ledger;

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::cache::{Abandoned, Cache, CacheStats, Entry, Freshness, Joined, Key};
use crate::clock::{Clock, UnixSeconds};
use crate::directory::{Audience, Caller, Directory, Ended};
use crate::ids::TenantId;
use crate::token::{MintError, Token, TokenSource};
use crate::world::{Held, HoldingIndex, SelectError, Selector, Vm};

pub use lanes::LaneStats;
use lanes::{Job, Lanes, Purpose, Wanted};
use ledger::{Ledger, Resource};

/// What the broker keeps.
pub(crate) type TokenCache = Cache<Token, TokenError>;

/// How often the identity of a VM may change, or the clock leave the time of the token, while one caller
/// waits.
const CHANGES_MAX: usize = 4;

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
    /// When it was given: `expires_in` counts from here.
    pub at: UnixSeconds,
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
    /// No virtual machine calls from there.
    #[error("the caller is not a virtual machine of this world")]
    UnknownCaller,
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
    directory: Arc<Directory>,
    cache: Arc<TokenCache>,
    ledger: Arc<Ledger>,
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
        directory: Arc<Directory>,
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        options: &BrokerOptions,
    ) -> std::io::Result<Self> {
        let cache = Arc::new(TokenCache::new(options.cache_entries.get()));
        let ledger = Arc::<Ledger>::default();
        let lanes = Lanes::start(&directory, (&cache, &ledger), source, clock, options)?;
        // The end was noted before this is called: a mint that lands later sees it.
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

    /// What exists.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Who calls from `peer`; asked once for each connection.
    pub fn caller(&self, peer: IpAddr) -> Caller {
        self.directory.caller(peer)
    }

    /// The virtual machine that calls, if there is one at `now`.
    pub fn vm(&self, caller: &Caller, now: UnixSeconds) -> Option<Arc<Vm>> {
        caller.with_vm(&self.directory, now, Arc::clone)
    }

    /// A token for the virtual machine that calls.
    ///
    /// # Errors
    /// See [`TokenError`]; what one VM may not have says nothing about what another has.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait only: a mint that it started goes on, for others that
    /// wait and for the cache.
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
            // The ledger gives the number of an unlisted resource away again once the holding has ended.
            let is_lasting = matches!(resource, Resource::Listed(_));
            let given = self.give(selected, resource, request.freshness, now).await;
            if is_lasting && let Ok(Answer { via: Via::Hit, .. }) = given {
                return given;
            }
            // While the caller waited, its VM may have lost the identity, or been given another, and the
            // clock may have been set.
            now = clock.now();
            selected = self.select(caller, request.selector, now)?;
            let is_in_time = given.as_ref().map_or(true, |answer| answer.entry.is_usable(now));
            if selected.holding == holding && is_in_time {
                return given.map(|answer| Answer { at: now, ..answer });
            }
        }
        Err(TokenError::Busy)
    }

    /// The resource that is asked for, in the tenant of the VM.
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

    /// The held token, or a minted one.
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

/// A VM, and the one of its identities that a token is asked for.
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
