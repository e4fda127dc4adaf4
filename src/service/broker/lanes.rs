//! Mint lanes: the threads that sign.
//!
//! A signature takes hundreds of microseconds, so it must not run on the threads that read requests. Lanes
//! take callers' mints before background renewals. Both queues are bounded. If its queue is full, a mint is
//! refused at once and a renewal is put off.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use parking_lot::{Condvar, Mutex};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::error::{TokenCache, TokenError};
use super::token_index::{Resource, TokenIndex};
use crate::base::clock::{Clock, Monotonic, Seconds, UnixSeconds};
use crate::service::cache::{Key, Lead, NewValue, Refresh};
use crate::service::directory::{Directory, Ended};
use crate::service::token::{ClientProof, Entropy, Issuer, MintError, Subject, Token, TokenSource};
use crate::service::world::{Held, IdentityKind, Vm};

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

/// The token that a job mints.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// The VM that asks.
    pub(super) vm: Arc<Vm>,
    /// The identity that the token is issued to.
    pub(super) held: Held,
    /// The resource that the token is for.
    pub(super) resource: Resource,
}

impl Wanted {
    /// Returns the cache key of the token.
    pub(super) fn key(&self) -> Key {
        Key::new(self.held.index.0, self.resource.number())
    }
}

/// A token to be minted.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) wanted: Wanted,
    pub(super) purpose: Purpose,
}

/// Reason for a mint.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Callers wait for the token.
    Request(Lead<Token, TokenError>),
    /// Nobody waits: the token replaces one that is still valid.
    Renewal(Refresh<Token>),
}

/// Counters of the lanes since they started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneStats {
    /// Mints that failed.
    pub failures: u64,
    /// Tokens minted, renewals included.
    pub mints: u64,
    /// Nanoseconds spent minting, summed over all lanes.
    pub mint_ns: u64,
    /// Mints and renewals that wait for a lane now.
    pub queued: u64,
    /// Tokens renewed in the background.
    pub refreshes: u64,
}

#[derive(Debug, Default)]
struct Counters {
    failures: AtomicU64,
    mints: AtomicU64,
    mint_ns: AtomicU64,
    refreshes: AtomicU64,
}

/// Width of the window around the refresh fraction in which renewals are spread, as a fraction of a token's
/// life.
const JITTER: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Lanes {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    directory: Arc<Directory>,
    cache: Arc<TokenCache>,
    token_index: Arc<TokenIndex>,
    source: Arc<dyn TokenSource>,
    clock: Arc<dyn Clock>,
    refresh_fraction: f64,
    queue_max: usize,
    queues: Mutex<Queues>,
    work: Condvar,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Queues {
    mints: VecDeque<Job>,
    renewals: VecDeque<Job>,
    closed: bool,
}

/// A mint lane. A thread of the broker runs it. A simulation performs its jobs one by one instead, on a thread of its own.
#[derive(Debug)]
pub struct Lane {
    shared: Arc<Shared>,
    rng: StdRng,
}

impl Lane {
    /// Returns true if a mint or a renewal waits for a lane.
    pub fn has_work(&self) -> bool {
        let queues = self.shared.queues.lock();
        !(queues.mints.is_empty() && queues.renewals.is_empty())
    }

    /// Performs the next mint or renewal on this thread, if one waits. Returns false if none does.
    pub fn step(&mut self) -> bool {
        let job = self.shared.queues.lock().take();
        let Some(job) = job else { return false };
        self.shared.perform_guarded(job, &mut self.rng);
        true
    }

    fn run(mut self) {
        let stopwatch = Monotonic::start();
        while let Some(job) = self.shared.next() {
            let started_ns = stopwatch.now_ns();
            self.shared.perform_guarded(job, &mut self.rng);
            let spent_ns = stopwatch.now_ns() - started_ns;
            self.shared.counters.mint_ns.fetch_add(spent_ns, Ordering::Relaxed);
        }
    }
}

impl Queues {
    /// Takes the next job: callers' mints come before renewals.
    fn take(&mut self) -> Option<Job> {
        self.mints.pop_front().or_else(|| self.renewals.pop_front())
    }
}

impl Lanes {
    /// Creates the queues, and the lanes that take from them. No thread runs them yet.
    pub(super) fn new(
        directory: &Arc<Directory>,
        (cache, token_index): (&Arc<TokenCache>, &Arc<TokenIndex>),
        source: Arc<dyn TokenSource>,
        clock: Arc<dyn Clock>,
        options: &BrokerOptions,
    ) -> (Self, Vec<Lane>) {
        let shared = Arc::new(Shared {
            directory: Arc::clone(directory),
            cache: Arc::clone(cache),
            token_index: Arc::clone(token_index),
            source,
            clock,
            refresh_fraction: options.refresh_fraction,
            queue_max: options.mint_queue.get(),
            queues: Mutex::default(),
            work: Condvar::new(),
            counters: Counters::default(),
        });
        let mut seeds = StdRng::from_seed(options.seed);
        let lane = |_| Lane { shared: Arc::clone(&shared), rng: StdRng::from_rng(&mut seeds) };
        let lanes = (0..options.mint_lanes.get()).map(lane).collect();
        (Self { shared, threads: Vec::new() }, lanes)
    }

    /// Starts a thread for each lane.
    ///
    /// # Errors
    /// Returns the system's error when a thread cannot be started.
    pub(super) fn start(&mut self, lanes: Vec<Lane>) -> std::io::Result<()> {
        for (number, lane) in lanes.into_iter().enumerate() {
            let thread = std::thread::Builder::new().name(format!("mint-{number}"));
            self.threads.push(thread.spawn(move || lane.run())?);
        }
        Ok(())
    }

    /// Queues a mint that callers wait for. Refuses it at once when the queue is full.
    pub(super) fn mint(&self, job: Job) {
        if let Err(job) = self.enqueue(job, |queues| &mut queues.mints)
            && let Purpose::Request(lead) = job.purpose
        {
            lead.complete(Err(TokenError::Busy), self.shared.clock.now());
        }
    }

    /// Queues a renewal. When the queue is full, the renewal is dropped, which puts it off.
    pub(super) fn renew(&self, job: Job) {
        drop(self.enqueue(job, |queues| &mut queues.renewals));
    }

    fn enqueue(
        &self,
        job: Job,
        queue: impl FnOnce(&mut Queues) -> &mut VecDeque<Job>,
    ) -> Result<(), Job> {
        let mut queues = self.shared.queues.lock();
        let queue = queue(&mut queues);
        if queue.len() >= self.shared.queue_max {
            return Err(job);
        }
        queue.push_back(job);
        drop(queues);
        self.shared.work.notify_one();
        Ok(())
    }

    pub(super) fn stats(&self) -> LaneStats {
        let counters = &self.shared.counters;
        let queues = self.shared.queues.lock();
        LaneStats {
            failures: counters.failures.load(Ordering::Relaxed),
            mints: counters.mints.load(Ordering::Relaxed),
            mint_ns: counters.mint_ns.load(Ordering::Relaxed),
            queued: (queues.mints.len() + queues.renewals.len()) as u64,
            refreshes: counters.refreshes.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Lanes {
    /// Stops each lane after its current mint. Callers that still wait get an error at once.
    fn drop(&mut self) {
        let abandoned = {
            let mut queues = self.shared.queues.lock();
            queues.closed = true;
            (std::mem::take(&mut queues.mints), std::mem::take(&mut queues.renewals))
        };
        drop(abandoned);
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// Performs a job. If a lane died, its callers would wait for ever. Unwinding drops the job, which lands its
    /// flight, and the lane goes on.
    fn perform_guarded(&self, job: Job, rng: &mut StdRng) {
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| self.perform(job, rng)));
        if result.is_err() {
            self.counters.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!("a mint panicked; its callers were told, the lane goes on");
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queues = self.queues.lock();
        loop {
            if queues.closed {
                return None;
            }
            let job = queues.take();
            if job.is_some() {
                return job;
            }
            self.work.wait(&mut queues);
        }
    }

    fn perform(&self, job: Job, rng: &mut StdRng) {
        let Job { wanted, purpose } = job;
        match purpose {
            Purpose::Request(lead) => {
                let now = self.clock.now();
                let (minted, revocations) = self.mint_unrevoked(&wanted, now, rng);
                self.token_index.note(&wanted.held, &wanted.resource);
                lead.complete(minted.map_err(TokenError::Mint), now);
                self.forget_if_ended(&wanted, revocations);
            }
            // While the renewal waited behind mints, its token may have expired and been minted anew.
            Purpose::Renewal(refresh) if !self.cache.is_current(wanted.key(), &refresh) => {
                refresh.done();
            }
            Purpose::Renewal(refresh) => {
                let revocations = self.renew(&wanted, refresh, rng);
                self.forget_if_ended(&wanted, revocations);
            }
        }
    }

    /// Removes the new token from the cache if its identity ended, left the VM, or its key was revoked during
    /// the mint. The thread that ends an identity clears the cached tokens; a token that came in at that
    /// moment is found here. Until then, no caller can select an ended identity.
    fn forget_if_ended(&self, wanted: &Wanted, revocations: u64) {
        let Wanted { vm, held, resource } = wanted;
        if !held.identity.is_alive(self.clock.now()) {
            self.token_index.end(&Ended::Identity(Arc::clone(&held.identity)));
        } else if !self.directory.holds(&vm.record.id, held.index) {
            self.token_index.end(&Ended::Holding(held.clone()));
        } else if self.token_index.has(held, resource)
            && self.directory.revocations() == revocations
        {
            return;
        }
        self.cache.remove(wanted.key());
    }

    /// Renews a token. Returns the number of keys that were revoked before the new token was signed.
    fn renew(&self, wanted: &Wanted, refresh: Refresh<Token>, rng: &mut StdRng) -> u64 {
        let now = self.clock.now();
        let (minted, revocations) = self.mint_unrevoked(wanted, now, rng);
        match minted {
            Ok(fresh) => {
                self.cache.insert(wanted.key(), fresh, now);
                self.counters.refreshes.fetch_add(1, Ordering::Relaxed);
                refresh.done();
            }
            Err(error) => {
                tracing::warn!(%error, "a token was not renewed; the old one is served on");
            }
        }
        revocations
    }

    /// Mints a token, and mints again if a key was revoked meanwhile, because verifiers refuse tokens of that
    /// key. Also returns the number of keys that were revoked before the last mint.
    fn mint_unrevoked(
        &self,
        wanted: &Wanted,
        now: UnixSeconds,
        rng: &mut StdRng,
    ) -> (Result<NewValue<Token>, MintError>, u64) {
        let before = self.directory.revocations();
        let minted = self.mint(wanted, now, rng);
        let revocations = self.directory.revocations();
        let minted = if revocations == before { minted } else { self.mint(wanted, now, rng) };
        (minted, revocations)
    }

    fn mint(
        &self,
        wanted: &Wanted,
        now: UnixSeconds,
        rng: &mut StdRng,
    ) -> Result<NewValue<Token>, MintError> {
        let Wanted { vm, held: Held { identity, .. }, resource } = wanted;
        let subject = Subject {
            tenant_id: identity.tenant.id,
            tenant_created: identity.tenant.created,
            client_id: identity.ids.client_id,
            principal_id: identity.ids.principal_id,
            resource_id: Some(&identity.resource_id),
            caller_id: (identity.kind == IdentityKind::UserAssigned).then_some(&vm.record.id),
            proof: ClientProof::Certificate,
        };
        let mut entropy: Entropy = [0; 48];
        rng.fill_bytes(&mut entropy);
        let resource = match resource {
            Resource::Listed(index) => self.directory.resources().name(*index),
            Resource::Unlisted(_, name) => name,
        };
        let minted = self.source.mint(&subject, resource, now, &entropy);
        let counter = if minted.is_ok() { &self.counters.mints } else { &self.counters.failures };
        counter.fetch_add(1, Ordering::Relaxed);
        let value = minted?;
        let expires_at = value.expires_on();
        let refresh_at = self.refresh_at(now, expires_at, rng);
        // Verifiers' clocks may lag by this much. So a clock that steps back a second does not discard a
        // valid token.
        let usable_from = now - Issuer::BACKDATED;
        Ok(NewValue { value, usable_from, refresh_at, expires_at })
    }

    /// Draws a renewal time for each token, so that tokens minted together are not renewed together.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a token's life in seconds is far below 2^52, and the fraction is clamped"
    )]
    fn refresh_at(
        &self,
        now: UnixSeconds,
        expires_at: UnixSeconds,
        rng: &mut StdRng,
    ) -> UnixSeconds {
        let life = expires_at.since(now).0 as f64;
        let spread = (rng.random::<f64>() - 0.5) * JITTER;
        let fraction = (self.refresh_fraction + spread).clamp(0.0, 1.0);
        now + Seconds(((life * fraction) as u64).max(1))
    }
}
