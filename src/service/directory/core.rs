//! The directory itself: opening, reading, and the four steps of a write.

use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::addresses;
use super::effective::{ChangeTime, Ended};
use super::error::{DirectoryError, SigningKeyError};
use super::key_cache::KeyCache;
use super::keys::KeyUse;
use super::options::{CredentialOptions, DirectoryOptions, SigningOptions};
use super::slot::{Called, VmSlot};
use super::state::State;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::{ArmId, ClientId, PrincipalId, TenantId, VmId};
use crate::base::synthetic::IdentityIds;
use crate::service::store::{Fault, Format, Revision, Store, StoreError};
use crate::service::token::{Algorithm, KeyRing, SigningKey};
use crate::service::world::record::{Change, Record};
use crate::service::world::{HoldingIndex, Known, OwnServices, ResourceIndex, Resources, Throttle};

/// A callback for each thing that ended.
pub(super) type Subscriber = Box<dyn Fn(&Ended) + Send + Sync>;

/// A resource that a token can be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// A resource of the list.
    Listed(ResourceIndex),
    /// An unlisted resource, named as in its tokens: an application of the tenant, or the host of one account
    /// of a service.
    Unlisted(String),
}

/// The world as it is now.
pub struct Directory {
    pub(super) store: Box<dyn Store>,
    pub(super) state: RwLock<State>,
    pub(super) resources: Resources,
    /// Set when the server of this world has its ports.
    pub(super) own_services: OnceLock<OwnServices>,
    pub(super) propagation_delay: Seconds,
    pub(super) signing: SigningOptions,
    pub(super) credential_options: CredentialOptions,
    pub(super) key_cache: KeyCache,
    pub(super) ring: Arc<KeyRing>,
    /// Serialises changes of the signing keys.
    pub(super) key_turns: Mutex<()>,
    pub(super) key_use: Mutex<KeyUse>,
    /// Count of signing keys revoked since the start.
    pub(super) revocations: AtomicU64,
    pub(super) subscribers: RwLock<Vec<Subscriber>>,
    /// Serialises writes: each holds it from its beginning to its end.
    pub(super) writer: Mutex<Writer>,
}

pub(super) struct Writer {
    pub(super) revision: Revision,
    pub(super) rng: StdRng,
    /// Changes of a failed commit: the store has all or none of them. Which is true shows once the store can
    /// be written again.
    pub(super) doubtful: Vec<Change>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Directory {
    /// Opens the world of `store`. An empty store is first filled with `seed`, all of it or nothing.
    ///
    /// # Errors
    /// Returns an error when the store fails, or holds contradictory records.
    pub fn open<E: From<DirectoryError>>(
        store: Box<dyn Store>,
        seed: impl FnOnce() -> Result<Vec<Record>, E>,
        now: UnixSeconds,
        options: &DirectoryOptions,
    ) -> Result<Self, E> {
        let mut records = Vec::new();
        let replayed = store.replay(&mut |record| records.push(record));
        let mut revision = replayed.map_err(DirectoryError::from)?;
        if revision == Revision(0) {
            let changes: Vec<Change> = seed()?.into_iter().map(Change::Put).collect();
            revision = store.commit(revision, &changes).map_err(DirectoryError::from)?;
            records.extend(changes.into_iter().filter_map(|change| match change {
                Change::Put(record) => Some(record),
                Change::Remove(_) => None,
            }));
        } else if store.format() < Format::ADDRESSES
            && let Some(change) = addresses::upgrade(&mut records)
        {
            revision = store.commit(revision, &[change]).map_err(DirectoryError::from)?;
        }
        let (state, resources) = State::load(records, options.throttle)?;
        let rng = StdRng::from_seed(options.seed);
        let directory = Self {
            store,
            state: RwLock::new(state),
            resources,
            own_services: OnceLock::new(),
            propagation_delay: options.propagation_delay,
            subscribers: RwLock::default(),
            signing: options.signing,
            credential_options: options.credentials.clone(),
            key_cache: KeyCache::default(),
            ring: empty_ring(now)?,
            key_turns: Mutex::default(),
            key_use: Mutex::new(KeyUse::new(now)),
            revocations: AtomicU64::default(),
            writer: Mutex::new(Writer { revision, rng, doubtful: Vec::new() }),
        };
        directory.begin_signing(now).map_err(DirectoryError::from)?;
        Ok(directory)
    }

    /// Checks that everything that the records name exists.
    ///
    /// # Errors
    /// Returns `Dangling` with the first missing thing.
    pub fn verify(records: Vec<Record>) -> Result<(), DirectoryError> {
        State::load(records, Throttle::Off).map(drop)
    }

    /// Returns the current state. Holding it delays writes.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// Returns the list of resources that tokens may be for.
    pub const fn resources(&self) -> &Resources {
        &self.resources
    }

    /// Sets the services of the server of this world. Later calls have no effect.
    pub(crate) fn serve(&self, own: OwnServices) {
        self.own_services.get_or_init(|| own);
    }

    /// Returns the resource that `name` stands for in a tenant. That is a resource of the list, in any case, or the URL of
    /// a service of this server. It may also be an application's client id, with `api://` before it or not, or the host of
    /// an account.
    pub fn audience(&self, name: &str, tenant: TenantId) -> Option<Audience> {
        let own = || self.resources.find(self.own_services.get()?.audience(name)?);
        match self.resources.find(name).or_else(own) {
            Some(Known::Listed(index)) => Some(Audience::Listed(index)),
            Some(Known::Host(host)) => Some(Audience::Unlisted(host)),
            None => self.read().application(name, tenant).map(Audience::Unlisted),
        }
    }

    /// Returns the resource that `name` stands for in a tenant, named as in its tokens.
    pub fn audience_name(&self, name: &str, tenant: TenantId) -> Option<String> {
        Some(match self.audience(name, tenant)? {
            Audience::Listed(index) => self.resources.name(index).to_owned(),
            Audience::Unlisted(name) => name,
        })
    }

    /// Returns true if the VM still has this holding. With a propagation delay the result is always true,
    /// because the identity endpoint may still follow the old state.
    pub fn holds(&self, vm: &ArmId, holding: HoldingIndex) -> bool {
        let held = || self.read().vm(vm).is_some_and(|entry| entry.vm.holding(holding).is_some());
        self.propagation_delay > Seconds(0) || held()
    }

    /// Returns the caller behind `address`, with the VM that has this address.
    ///
    /// A VM that answers any address is not stored in the caller: the address may become another VM's while
    /// the connection lasts.
    pub fn caller(&self, address: IpAddr) -> Caller {
        let address = address.to_canonical();
        Caller { slot: self.read().slot_at(address), address, called: None, named: None }
    }

    /// Returns the caller behind `address` at the listener of a VM: the VM, whatever the address.
    pub fn caller_at(&self, called: &Arc<Called>, address: IpAddr) -> Caller {
        let slot = self.read().slot_called(called);
        Caller {
            slot,
            address: address.to_canonical(),
            called: Some(Arc::clone(called)),
            named: None,
        }
    }

    /// Registers a callback for everything that ends. It runs before the write that ends it returns.
    pub fn on_end(&self, subscriber: impl Fn(&Ended) + Send + Sync + 'static) {
        self.subscribers.write().push(Box::new(subscriber));
    }

    /// Changes the world. `plan` returns the changes; no other write changes the state meanwhile. When this
    /// function returns, the change is durable and in effect.
    ///
    /// # Errors
    /// Returns the error of `plan`; then nothing has changed. Returns the error of the store; then the change
    /// may still take effect later, when the store can be written again.
    pub fn write<T, E: From<StoreError>>(
        &self,
        now: UnixSeconds,
        plan: impl FnOnce(&State, &mut IdSource<'_>) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        self.write_exactly(now, |state, fresh| {
            let (mut changes, outcome) = plan(state, fresh)?;
            changes.extend([state.orphans(&changes), state.vacated(&changes)].concat());
            Ok((changes, outcome))
        })
    }

    /// Like [`write`](Self::write), for a plan that has every change: what follows from others is not added.
    pub(super) fn write_exactly<T, E: From<StoreError>>(
        &self,
        now: UnixSeconds,
        plan: impl FnOnce(&State, &mut IdSource<'_>) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        let mut writer = self.writer.lock();
        if !writer.doubtful.is_empty() {
            self.settle(&mut writer, now)?;
        }
        let state = self.state.read();
        let (changes, outcome) = plan(&state, &mut IdSource(&mut writer.rng))?;
        drop(state);
        if changes.is_empty() {
            return Ok(outcome);
        }
        match self.store.commit(writer.revision, &changes) {
            Ok(revision) => writer.revision = revision,
            Err(error) => {
                writer.doubtful = changes;
                return Err(error.into());
            }
        }
        self.apply(changes, now);
        Ok(outcome)
    }

    /// Checks whether changes can be stored, as far as is known.
    ///
    /// # Errors
    /// Returns the fault of the store.
    pub fn store_health(&self) -> Result<(), Fault> {
        self.store.health()
    }

    /// Tries to write to a store that failed. Call it periodically; otherwise only the next write tries.
    ///
    /// # Errors
    /// Returns the error that remains.
    pub fn recover_store(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if writer.doubtful.is_empty() && self.store.health().is_ok() {
            return Ok(());
        }
        self.settle(&mut writer, now)
    }

    /// Finds out whether the failed commit is stored, and if so, applies it. Its caller got an error and may
    /// repeat the change.
    fn settle(&self, writer: &mut Writer, now: UnixSeconds) -> Result<(), StoreError> {
        let found = self.store.recover()?;
        let doubtful = std::mem::take(&mut writer.doubtful);
        if found == Revision(writer.revision.0 + doubtful.len() as u64) {
            writer.revision = found;
            self.apply(doubtful, now);
            if let Err(error) = self.load_ring(now) {
                tracing::error!(%error, "the signing keys cannot be read; start again");
            }
        }
        Ok(())
    }

    /// Applies stored changes to the state, and tells subscribers what they ended.
    fn apply(&self, changes: Vec<Change>, now: UnixSeconds) {
        // Without a delay, a change is effective from the beginning of time: a clock that steps back does not
        // undo it.
        let effective = match self.propagation_delay {
            Seconds(0) => UnixSeconds(0),
            delay => now + delay,
        };
        let when = ChangeTime { now, effective };
        let ended = {
            let mut state = self.state.write();
            let ended = changes.into_iter().flat_map(|change| state.apply(change, when));
            ended.collect::<Vec<_>>()
        };
        if self.propagation_delay == Seconds(0) {
            self.tell(&ended);
        }
    }

    pub(super) fn tell(&self, ended: &[Ended]) {
        let subscribers = self.subscribers.read();
        for one in ended {
            subscribers.iter().for_each(|tell| tell(one));
        }
    }
}

/// Source of ids for new resources.
#[derive(Debug)]
pub struct IdSource<'a>(&'a mut StdRng);

impl IdSource<'_> {
    /// Returns 16 bytes that make a version 4 GUID (RFC 9562).
    pub fn guid(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()
    }

    /// Returns the ids of a new service principal.
    pub fn identity_ids(&mut self) -> IdentityIds {
        IdentityIds {
            client_id: ClientId::from_bytes(self.guid()),
            principal_id: PrincipalId::from_bytes(self.guid()),
        }
    }

    /// Returns the id of a new virtual machine.
    pub fn vm_id(&mut self) -> VmId {
        VmId::from_bytes(self.guid())
    }
}

/// A caller of the identity endpoint, which lives as long as its connection, or of the App Service endpoint.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) address: IpAddr,
    pub(crate) slot: Option<Arc<VmSlot>>,
    /// VM whose own listener was called, if it was one. The address then means nothing.
    pub(crate) called: Option<Arc<Called>>,
    /// The VM that the caller proved to be; `None` if its address decides.
    named: Option<VmId>,
}

impl Caller {
    /// Creates the caller that proved to be the VM `vm_id`, whatever its address. Each request looks the VM up.
    pub const fn of_vm(vm_id: VmId, address: IpAddr) -> Self {
        Self { address, slot: None, called: None, named: Some(vm_id) }
    }

    /// Calls `with` with the VM that calls. Returns `None` if no VM calls from this address at `now`.
    pub fn with_vm<T>(
        &self,
        directory: &Directory,
        now: UnixSeconds,
        with: impl Fn(&Arc<crate::service::world::Vm>) -> T,
    ) -> Option<T> {
        if let Some(vm_id) = self.named {
            return directory.read().slot_of(vm_id)?.with(now, with);
        }
        let held = self.slot.as_ref().and_then(|slot| slot.with(now, &with));
        // Since the connection began, the VM may have been created, or removed and created again.
        held.or_else(|| self.present_slot(directory)?.with(now, &with))
    }

    fn present_slot(&self, directory: &Directory) -> Option<Arc<VmSlot>> {
        let state = directory.read();
        match &self.called {
            Some(called) => state.slot_called(called),
            None => state.reachable_from(self.address),
        }
    }
}

/// Returns a first ring with a key that nobody else knows. It is replaced before the directory is used.
fn empty_ring(now: UnixSeconds) -> Result<Arc<KeyRing>, DirectoryError> {
    let key = SigningKey::generate(Algorithm::EdDsa, now);
    Ok(Arc::new(KeyRing::of(key.map_err(SigningKeyError::from)?)))
}
