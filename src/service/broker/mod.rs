//! The broker: a virtual machine asks for a token of one of its identities.
//!
//! The broker selects the identity and looks the token up. On a miss it joins or starts the flight that mints
//! the token. A hit is a lookup in one cache shard, and takes no lock that a mint can hold for long. Tokens
//! are signed on mint lanes, never on the thread that asks.

mod error;
mod lanes;
mod secrets;
mod token_index;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::clock::{Clock, UnixSeconds};
use crate::base::wakes::gather;
use crate::service::cache::{CacheStats, Entry, Freshness, Joined, Key};
use crate::service::directory::{Audience, Caller, Directory, Ended};
use crate::service::token::{Token, TokenSource};
use crate::service::world::{
    Category, Held, HoldingIndex, Permit, SelectError, Selector, Throttled, Vm,
};

pub(crate) use error::TokenCache;
pub use error::TokenError;
pub use lanes::{BrokerOptions, Lane, LaneStats};
use lanes::{Job, Lanes, Purpose, Wanted};
pub(crate) use secrets::CallerSecrets;
use token_index::{Resource, TokenIndex};

/// Attempts of one request before it is refused. An attempt is lost if, while the caller waits, the VM's
/// identity changes or the clock leaves the token's lifetime.
const CHANGES_MAX: usize = 4;

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
    token_index: Arc<TokenIndex>,
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
        let (mut broker, lanes) = Self::with_lanes(directory, source, clock, options);
        broker.lanes.start(lanes)?;
        Ok(broker)
    }

    /// Creates a broker without threads: the caller steps its mint lanes.
    pub fn with_lanes(
        directory: Arc<Directory>,
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        options: &BrokerOptions,
    ) -> (Self, Vec<Lane>) {
        let cache = Arc::new(TokenCache::new(options.cache_entries.get()));
        let token_index = Arc::<TokenIndex>::default();
        let (lanes, of_lanes) =
            Lanes::new(&directory, (&cache, &token_index), source, clock, options);
        // The directory records the end before it calls this. So a mint that lands later sees the end.
        let (held, noted) = (Arc::clone(&cache), Arc::clone(&token_index));
        directory.on_end(move |ended| match ended {
            Ended::SigningKey => held.clear(),
            Ended::Identity(_) | Ended::Holding(_) => {
                noted.end(ended).into_iter().for_each(|key| held.remove(key));
            }
        });
        let [coalesced, misses, refused] = Default::default();
        (Self { directory, cache, token_index, lanes, coalesced, misses, refused }, of_lanes)
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

    /// Admits a request for something else than a token, and returns the virtual machine that calls, if it exists.
    ///
    /// # Errors
    /// Returns the limit that the machine has reached.
    pub fn admitted_vm(
        &self,
        caller: &Caller,
        category: Category,
        clock: &dyn Clock,
    ) -> Result<Option<Arc<Vm>>, Throttled> {
        let vm = self.vm(caller, clock.now());
        if let Some(vm) = &vm {
            admit(vm, category, clock)?;
        }
        Ok(vm)
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
        let vm = self.vm(caller, now).ok_or(TokenError::UnknownCaller)?;
        // Held until the answer is there, or the caller gone.
        let _permit = admit(&vm, Category::Identity, clock)?;
        let mut selected = Selected::of(&vm, request.selector, now)?;
        for _ in 0..CHANGES_MAX {
            let holding = selected.holding;
            let resource = self.resource(&selected, request.resource)?;
            let (is_lasting, key) = (resource.is_lasting(), selected.key(&resource));
            let given = self.give(selected, resource, request.freshness, now).await;
            if is_lasting && let Ok(answer @ Answer { via: Via::Hit, .. }) = given {
                return Ok(self.counted(key, answer));
            }
            // While the caller waited, its VM may have lost the identity or got another one, and the clock
            // may have been set.
            now = clock.now();
            selected = self.select(caller, request.selector, now)?;
            if selected.confirms(holding, given.as_ref().ok(), now) {
                return given.map(|answer| self.counted(key, Answer { at: now, ..answer }));
            }
        }
        Err(TokenError::Busy)
    }

    /// Returns what [`Self::token`] would return, if that is a cached token and nothing has changed meanwhile.
    /// Otherwise returns `None`, counts nothing, and [`Self::token`] decides.
    pub fn hit(
        &self,
        caller: &Caller,
        request: &TokenRequest<'_>,
        clock: &dyn Clock,
    ) -> Option<Answer> {
        if request.freshness != Freshness::Held {
            return None;
        }
        let now = clock.now();
        let selected = self.select(caller, request.selector, now).ok()?;
        let permit = admit(&selected.vm, Category::Identity, clock).ok()?;
        let answer = self.hit_of(caller, &selected, request, clock, now);
        if answer.is_none()
            && let Some(permit) = permit
        {
            permit.give_back();
        }
        answer
    }

    /// Returns the hit of a caller that was admitted at `now`.
    #[inline]
    fn hit_of(
        &self,
        caller: &Caller,
        selected: &Selected,
        request: &TokenRequest<'_>,
        clock: &dyn Clock,
        now: UnixSeconds,
    ) -> Option<Answer> {
        let resource = self.resource(selected, request.resource).ok()?;
        let answer = self.cached(selected, &resource, request.freshness, now).ok().flatten()?;
        let key = selected.key(&resource);
        if resource.is_lasting() {
            return Some(self.counted(key, answer));
        }
        let now = clock.now();
        let again = self.select(caller, request.selector, now).ok()?;
        let is_right = again.confirms(selected.holding, Some(&answer), now);
        is_right.then(|| self.counted(key, Answer { at: now, ..answer }))
    }

    /// Counts an answer from the cache, once it is certain.
    fn counted(&self, key: Key, answer: Answer) -> Answer {
        if answer.via == Via::Hit {
            self.cache.count_hit(key);
        }
        answer
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
                let numbered = self.token_index.number(selected.held()?, &name);
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
        if let Some(answer) = self.cached(&selected, &resource, freshness, now)? {
            return Ok(answer);
        }
        let (entry, via) = self.mint(selected.wants(resource)?, freshness, now).await?;
        Ok(Answer { entry, via, at: now })
    }

    /// Returns the cached token, if the caller accepts one, and queues its renewal if this caller has to.
    fn cached(
        &self,
        selected: &Selected,
        resource: &Resource,
        freshness: Freshness,
        now: UnixSeconds,
    ) -> Result<Option<Answer>, TokenError> {
        if freshness != Freshness::Held {
            return Ok(None);
        }
        let Some(hit) = self.cache.find(selected.key(resource), now) else { return Ok(None) };
        if let Some(refresh) = hit.refresh {
            let wanted = selected.clone().wants(resource.clone())?;
            self.lanes.renew(Job { wanted, purpose: Purpose::Renewal(refresh) });
        }
        Ok(Some(Answer { entry: hit.entry, via: Via::Hit, at: now }))
    }

    fn select(
        &self,
        caller: &Caller,
        selector: Option<&Selector>,
        now: UnixSeconds,
    ) -> Result<Selected, TokenError> {
        let selected = caller.with_vm(&self.directory, now, |vm| Selected::of(vm, selector, now));
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
            Joined::Follower(waiter) => {
                self.coalesced.fetch_add(1, Ordering::Relaxed);
                (Via::Coalesced, waiter)
            }
            Joined::Leader(lead, waiter) => {
                self.misses.fetch_add(1, Ordering::Relaxed);
                self.lanes.mint(Job { wanted, purpose: Purpose::Request(lead) });
                (Via::Miss, waiter)
            }
        };
        let result = gather(waiter).await;
        if let Err(TokenError::Busy) = result {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        result.map(|entry| (entry, via))
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

/// Admits a request of a VM, which is in flight until the permit is dropped. A VM without limits needs no permit.
#[inline]
fn admit<'a>(
    vm: &'a Vm,
    category: Category,
    clock: &dyn Clock,
) -> Result<Option<Permit<'a>>, Throttled> {
    let admitted = vm.meter.as_ref().map(|meter| meter.admit(category, clock.monotonic_ns()));
    admitted.transpose()
}

/// A VM, and the identity that the request selects.
#[derive(Clone, Debug)]
struct Selected {
    vm: Arc<Vm>,
    holding: HoldingIndex,
}

impl Selected {
    #[inline]
    fn of(
        vm: &Arc<Vm>,
        selector: Option<&Selector>,
        now: UnixSeconds,
    ) -> Result<Self, SelectError> {
        let holding = vm.select(selector, now)?.index;
        Ok(Self { vm: Arc::clone(vm), holding })
    }

    /// Returns the cache key of the token.
    fn key(&self, resource: &Resource) -> Key {
        Key::new(self.holding.0, resource.number())
    }

    fn held(&self) -> Result<&Held, TokenError> {
        self.vm.holding(self.holding).ok_or(TokenError::Select(SelectError::NotFound))
    }

    /// Returns true if what was given for `holding` is still right: the caller has this holding, and the token
    /// is usable.
    fn confirms(&self, holding: HoldingIndex, given: Option<&Answer>, now: UnixSeconds) -> bool {
        self.holding == holding && given.is_none_or(|answer| answer.entry.is_usable(now))
    }

    fn wants(self, resource: Resource) -> Result<Wanted, TokenError> {
        let held = self.held()?.clone();
        Ok(Wanted { vm: self.vm, held, resource })
    }
}

#[cfg(test)]
mod tests;
