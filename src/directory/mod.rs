//! The directory: the world as it is now, and the one way to change it.
//!
//! A write is planned on the state as it stands, committed to the [`store`](crate::store), applied, and
//! told to whoever keeps something that it ends, before it is answered. Reads take a lock that no write
//! holds while it waits for the disk; the identity endpoint takes not even that: each connection holds
//! the [`VmSlot`] of its caller.

mod addresses;
mod apply;
mod credentials;
mod keys;
mod slot;
mod state;
mod vaults;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::{Seconds, UnixSeconds};
use crate::ids::{ArmId, ClientId, PrincipalId, TenantId, VmId};
pub use crate::store::{Fault, StoreError};
use crate::store::{Format, Revision, Store};
use crate::token::KeyRing;
use crate::world::record::{Change, Record};
use crate::world::synthetic::IdentityIds;
use crate::world::{Held, HoldingIndex, Identity, Known, ResourceIndex, Resources};

pub use credentials::{CredentialError, CredentialOptions, Rolled};
pub use keys::{SigningKeyError, SigningOptions};
pub use slot::VmSlot;
pub use state::{Principal, Secret, State, UserAssignedEntry, VmEntry};
pub use vaults::secret_purge;

/// How the world is served.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// How long a change takes until the identity endpoint goes by it; zero is at once.
    pub propagation_delay: Seconds,
    /// Makes the ids of what is created here.
    pub seed: [u8; 32],
    /// How tokens are signed.
    pub signing: SigningOptions,
    /// How the certificates of service principals are made.
    pub credentials: CredentialOptions,
}

/// Why the world is not there.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store does not give it.
    #[error("cannot load the world")]
    Store(#[from] StoreError),
    /// There is no key to sign tokens with.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// A record names something that is not there.
    #[error(
        "the record `{key}` names the {what}, which is not there; restore the folder from a backup"
    )]
    Dangling {
        /// The record.
        key: String,
        /// What it names.
        what: String,
    },
}

/// When a change is made, and from when on the identity endpoint goes by it.
#[derive(Clone, Copy, Debug)]
struct When {
    now: UnixSeconds,
    effective: UnixSeconds,
}

impl When {
    /// Whether the identity endpoint does not go by it yet. A clock that was set to before the change is no
    /// reason to wait longer.
    fn is_pending(self, now: UnixSeconds) -> bool {
        now < self.effective && self.now <= now + LEEWAY
    }
}

/// A stored moment may be later than now by as much: clocks are set back by seconds all the time.
const LEEWAY: Seconds = Seconds(300);

/// What a change has ended: nobody gets a token of it again.
#[derive(Debug)]
pub enum Ended {
    /// An identity, whoever held it.
    Identity(Arc<Identity>),
    /// An identity in the hands of one VM; others may go on using it.
    Holding(Held),
    /// The key that signed: its tokens are refused, whoever they are of.
    SigningKey,
}

/// Is told what has ended.
type Subscriber = Box<dyn Fn(&Ended) + Send + Sync>;

/// A resource that a token can be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One of the list.
    Listed(ResourceIndex),
    /// One that is on no list, as its tokens name it: an application of the tenant, or the host of one
    /// account of a service.
    Unlisted(String),
}

/// The world as it is now.
pub struct Directory {
    store: Box<dyn Store>,
    state: RwLock<State>,
    resources: Resources,
    propagation_delay: Seconds,
    signing: SigningOptions,
    credentials: credentials::Credentials,
    ring: Arc<KeyRing>,
    /// Changes of signing keys take turns.
    key_turns: Mutex<()>,
    /// Signing keys revoked since the start.
    revocations: AtomicU64,
    subscribers: RwLock<Vec<Subscriber>>,
    /// Held for the whole of a write: writes happen one after the other.
    writer: Mutex<Writer>,
}

struct Writer {
    revision: Revision,
    rng: StdRng,
    /// The changes of a commit that failed: they are stored, all or none. Which of the two the store tells
    /// once it can be written again.
    doubtful: Vec<Change>,
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Directory").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Directory {
    /// The world of `store`; an empty store is filled with `seed` first, all of it or nothing.
    ///
    /// # Errors
    /// When the store fails, or holds what cannot be.
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
        } else if store.format() < Format::CURRENT
            && let Some(change) = addresses::upgrade(&mut records)
        {
            revision = store.commit(revision, &[change]).map_err(DirectoryError::from)?;
        }
        let (state, resources) = State::load(records)?;
        let rng = StdRng::from_seed(options.seed);
        let directory = Self {
            store,
            state: RwLock::new(state),
            resources,
            propagation_delay: options.propagation_delay,
            subscribers: RwLock::default(),
            signing: options.signing,
            credentials: credentials::Credentials::new(options.credentials.clone()),
            ring: keys::empty_ring(now)?,
            key_turns: Mutex::default(),
            revocations: AtomicU64::default(),
            writer: Mutex::new(Writer { revision, rng, doubtful: Vec::new() }),
        };
        directory.begin_signing(now).map_err(DirectoryError::from)?;
        Ok(directory)
    }

    /// Checks that whatever the records name is there.
    ///
    /// # Errors
    /// `Dangling` names the first that is not.
    pub fn verify(records: Vec<Record>) -> Result<(), DirectoryError> {
        State::load(records).map(drop)
    }

    /// The state as it stands; whoever holds on to it holds up writes.
    pub fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read()
    }

    /// The resources that tokens may be asked for.
    pub const fn resources(&self) -> &Resources {
        &self.resources
    }

    /// The resource that `name` stands for in a tenant: one of the list in any case, an application by
    /// its client id or `api://` and that id, or the host of an account.
    pub fn audience(&self, name: &str, tenant: TenantId) -> Option<Audience> {
        match self.resources.find(name) {
            Some(Known::Listed(index)) => Some(Audience::Listed(index)),
            Some(Known::Host(host)) => Some(Audience::Unlisted(host)),
            None => self.read().application(name, tenant).map(Audience::Unlisted),
        }
    }

    /// The resource that `name` stands for in a tenant, as its tokens name it.
    pub fn audience_name(&self, name: &str, tenant: TenantId) -> Option<String> {
        Some(match self.audience(name, tenant)? {
            Audience::Listed(index) => self.resources.name(index).to_owned(),
            Audience::Unlisted(name) => name,
        })
    }

    /// Whether the VM still has this holding, as far as the identity endpoint goes by it.
    pub fn holds(&self, vm: &ArmId, holding: HoldingIndex) -> bool {
        let held = || self.read().vm(vm).is_some_and(|entry| entry.vm.holding(holding).is_some());
        self.propagation_delay > Seconds(0) || held()
    }

    /// The VM whose requests come from `address`.
    ///
    /// Callers of a VM that answers any address hold no slot: the address may become another VM's while
    /// the connection lasts.
    pub fn caller(&self, address: IpAddr) -> Caller {
        let address = address.to_canonical();
        Caller { slot: self.read().slot_at(address), address }
    }

    /// Makes `subscriber` hear of all that ends, before the write that ends it is answered.
    pub fn on_end(&self, subscriber: impl Fn(&Ended) + Send + Sync + 'static) {
        self.subscribers.write().push(Box::new(subscriber));
    }

    /// Changes the world: `plan` says how, on a state that no other write changes meanwhile. When this
    /// returns, the change is durable and in effect.
    ///
    /// # Errors
    /// What `plan` refuses with; then nothing has changed. What the store fails with: then the change may take
    /// effect later, when the store can be written again.
    pub fn write<T, E: From<StoreError>>(
        &self,
        now: UnixSeconds,
        plan: impl FnOnce(&State, &mut Fresh<'_>) -> Result<(Vec<Change>, T), E>,
    ) -> Result<T, E> {
        let mut writer = self.writer.lock();
        if !writer.doubtful.is_empty() {
            self.settle(&mut writer, now)?;
        }
        let state = self.state.read();
        let (mut changes, outcome) = plan(&state, &mut Fresh(&mut writer.rng))?;
        changes.extend([state.orphans(&changes), state.vacated(&changes)].concat());
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

    /// Whether changes can be stored, as far as is known.
    ///
    /// # Errors
    /// What is wrong.
    pub fn store_health(&self) -> Result<(), Fault> {
        self.store.health()
    }

    /// Tries to write to a store that failed. Call it now and then: until then only the next write tries.
    ///
    /// # Errors
    /// What is wrong still.
    pub fn recover_store(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let mut writer = self.writer.lock();
        if writer.doubtful.is_empty() && self.store.health().is_ok() {
            return Ok(());
        }
        self.settle(&mut writer, now)
    }

    /// Finds out whether the commit that failed is stored, and if so, goes by it. Whoever asked for it was
    /// told that it failed, and may repeat it.
    fn settle(&self, writer: &mut Writer, now: UnixSeconds) -> Result<(), StoreError> {
        let found = self.store.recover()?;
        let doubtful = std::mem::take(&mut writer.doubtful);
        if found == Revision(writer.revision.0 + doubtful.len() as u64) {
            writer.revision = found;
            self.apply(doubtful, now);
            if let Err(error) = self.load_ring() {
                tracing::error!(%error, "the signing keys cannot be read; start again");
            }
        }
        Ok(())
    }

    /// Puts stored changes into effect, and tells of what they end.
    fn apply(&self, changes: Vec<Change>, now: UnixSeconds) {
        // Without a delay a change holds from the beginning of time: a clock that steps back does not
        // undo it.
        let effective = match self.propagation_delay {
            Seconds(0) => UnixSeconds(0),
            delay => now + delay,
        };
        let when = When { now, effective };
        let ended = {
            let mut state = self.state.write();
            let ended = changes.into_iter().flat_map(|change| state.apply(change, when));
            ended.collect::<Vec<_>>()
        };
        if self.propagation_delay == Seconds(0) {
            self.tell(&ended);
        }
    }

    fn tell(&self, ended: &[Ended]) {
        let subscribers = self.subscribers.read();
        for one in ended {
            subscribers.iter().for_each(|tell| tell(one));
        }
    }
}

/// Ids for what is being made.
#[derive(Debug)]
pub struct Fresh<'a>(&'a mut StdRng);

impl Fresh<'_> {
    /// 16 bytes that make a version 4 GUID (RFC 9562).
    pub fn guid(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        uuid::Builder::from_random_bytes(bytes).into_uuid().into_bytes()
    }

    /// The ids of a new service principal.
    pub fn identity_ids(&mut self) -> IdentityIds {
        IdentityIds {
            client_id: ClientId::from_bytes(self.guid()),
            principal_id: PrincipalId::from_bytes(self.guid()),
        }
    }

    /// The id of a new virtual machine.
    pub fn vm_id(&mut self) -> VmId {
        VmId::from_bytes(self.guid())
    }
}

/// Who calls the identity endpoint; held for as long as the connection lasts.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(crate) address: IpAddr,
    pub(crate) slot: Option<Arc<VmSlot>>,
}

impl Caller {
    /// Does `with` to the VM that calls; `None` when no VM calls from there at `now`.
    pub fn with_vm<T>(
        &self,
        directory: &Directory,
        now: UnixSeconds,
        with: impl Fn(&Arc<crate::world::Vm>) -> T,
    ) -> Option<T> {
        let held = self.slot.as_ref().and_then(|slot| slot.with(now, &with));
        // The VM may have come, or gone and come again, since the connection was made.
        held.or_else(|| directory.read().reachable_from(self.address)?.with(now, &with))
    }
}

#[cfg(test)]
pub(crate) mod tests;
