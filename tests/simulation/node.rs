//! One process: directory, broker and source over the disk. And what administrators do to it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use mintbench::base::clock::{Seconds, UnixSeconds};
use mintbench::base::ids::VmId;
use mintbench::base::synthetic::IdentityIds;
use mintbench::service::broker::{Broker, BrokerOptions, Lane};
use mintbench::service::directory::{
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, IdSource, SigningKeyError,
    SigningOptions, State, StoreError,
};
use mintbench::service::token::{Algorithm, Issuer};
use mintbench::service::world::Address;
use mintbench::service::world::record::{Assignment, Change, Record, VirtualMachine};
use parking_lot::Mutex;

use crate::actors::{self, Stop};
use crate::clock::{Dice, VirtualClock};
use crate::disk::{Disk, Handle};
use crate::history::{ANY, Settings, Write};
use crate::source::{Source, SourceMode};
use crate::world::{self, AROUND, IDENTITIES};

/// A running process.
pub(crate) struct Node {
    pub(crate) directory: Arc<Directory>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) lanes: Vec<Arc<Mutex<Lane>>>,
    pub(crate) source: Arc<Source>,
}

/// Parts that all processes of a history share.
#[derive(Clone)]
pub(crate) struct Machine {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) dice: Arc<Dice>,
    pub(crate) disk: Arc<Disk>,
    pub(crate) settings: Settings,
}

impl Machine {
    /// Starts a process.
    pub(crate) fn start(&self, number: u8, mode: SourceMode) -> Result<Node, DirectoryError> {
        let Self { clock, dice, disk, settings } = self;
        let options = DirectoryOptions {
            propagation_delay: Seconds(0),
            seed: [number; 32],
            signing: SigningOptions {
                algorithm: Algorithm::EdDsa,
                token_lifetime: Seconds(settings.lifetime),
                min_distance: Seconds(settings.min_distance),
            },
            credentials: CredentialOptions::default(),
            throttle: settings.throttle,
        };
        let store = Box::new(Handle(Arc::clone(disk)));
        let now = UnixSeconds(clock.wall());
        let directory = Directory::open::<DirectoryError>(store, || Ok(seed()), now, &options)?;
        let directory = Arc::new(directory);
        // Between the end of an identity and the removal of its tokens, other threads may run.
        let tellers_dice = Arc::clone(dice);
        directory.on_end(move |_| {
            if actors::can_stop() && tellers_dice.one_in(2) {
                actors::stop(Stop::Ready);
            }
        });
        let issuer = Issuer::new(directory.ring(), Seconds(settings.lifetime));
        let source = Arc::new(Source::new(issuer, settings.lifetime, mode, clock, dice));
        let options = BrokerOptions {
            cache_entries: NonZeroUsize::new(settings.cache_entries).unwrap(),
            mint_lanes: NonZeroUsize::new(settings.lanes).unwrap(),
            mint_queue: NonZeroUsize::new(settings.mint_queue).unwrap(),
            refresh_fraction: f64::from(settings.refresh_percent) / 100.0,
            seed: [number; 32],
        };
        let (broker, lanes) = Broker::with_lanes(
            Arc::clone(&directory),
            Arc::<Source>::clone(&source),
            Arc::<VirtualClock>::clone(clock),
            &options,
        );
        let lanes = lanes.into_iter().map(|lane| Arc::new(Mutex::new(lane))).collect();
        Ok(Node { directory, broker: Arc::new(broker), lanes, source })
    }
}

/// Returns the records of a new world: three machines with an own identity, and two identities of which all
/// have one.
pub(crate) fn seed() -> Vec<Record> {
    let ids = |number: u8| IdentityIds {
        client_id: mintbench::base::ids::ClientId::from_bytes([0x10 + number; 16]),
        principal_id: mintbench::base::ids::PrincipalId::from_bytes([0x20 + number; 16]),
    };
    let mut records = AROUND.build().unwrap();
    records.extend((0..2).map(|number| Record::UserAssigned(world::identity(number, ids(number)))));
    records.extend((0..3).map(|number| {
        let vm_id = VmId::from_bytes([0x30 + number; 16]);
        let bare = world::machine(number, vm_id, Some(Address::Ip(world::address(number))));
        let assignment =
            Assignment { id: world::identity_id(0), principal_id: ids(0).principal_id };
        Record::VirtualMachine(VirtualMachine {
            system_assigned: Some(ids(8 + number)),
            user_assigned: vec![assignment],
            ..bare
        })
    }));
    records
}

/// Something that an administrator does, on a thread of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    Change(Write),
    Recover,
    Revoke,
    Rotate,
}

/// Outcome of a job.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    /// The keys may not be rotated yet.
    Early,
    NotStored,
}

impl Job {
    /// Does it.
    pub(crate) fn run(self, directory: &Directory, clock: &VirtualClock) -> Outcome {
        let now = UnixSeconds(clock.wall());
        match self {
            Self::Change(write) => of_store(directory.write(now, |state, fresh| {
                Ok::<_, StoreError>((changes(write, state, fresh), ()))
            })),
            Self::Recover => of_store(directory.recover_store(now)),
            Self::Revoke => of_keys(directory.revoke_signing_key(now)),
            Self::Rotate => of_keys(directory.rotate_signing_keys(now)),
        }
    }
}

fn of_store(done: Result<(), StoreError>) -> Outcome {
    match done {
        Ok(()) => Outcome::Done,
        Err(StoreError::Unwritable(_)) => Outcome::NotStored,
        Err(error) => panic!("a store that works as a store should: {error}"),
    }
}

fn of_keys(done: Result<(), SigningKeyError>) -> Outcome {
    match done {
        Err(SigningKeyError::TooSoon { .. } | SigningKeyError::TooMany { .. }) => Outcome::Early,
        Err(SigningKeyError::Store(error)) => of_store(Err(error)),
        Ok(()) => Outcome::Done,
        Err(error) => panic!("keys that are as they were written: {error}"),
    }
}

/// Returns the changes of a write, as the control plane would plan them.
fn changes(write: Write, state: &State, fresh: &mut IdSource<'_>) -> Vec<Change> {
    let present = |machine| state.vm(&world::machine_id(machine)).map(|own| own.vm.record.clone());
    let put = |record| vec![Change::Put(Record::VirtualMachine(record))];
    match write {
        Write::Create { machine, address, has_own, identities } => {
            if present(machine).is_some() {
                return Vec::new();
            }
            let system_assigned = has_own.then(|| fresh.identity_ids());
            let bare = world::machine(machine, fresh.vm_id(), free(state, machine, address));
            put(VirtualMachine {
                system_assigned,
                user_assigned: assignments(state, identities),
                ..bare
            })
        }
        Write::Assign { machine, identities } => present(machine).map_or_else(Vec::new, |own| {
            put(VirtualMachine { user_assigned: assignments(state, identities), ..own })
        }),
        Write::Own { machine, has_own } => present(machine).map_or_else(Vec::new, |own| {
            let kept = own.system_assigned.filter(|_| has_own);
            let ids = kept.or_else(|| has_own.then(|| fresh.identity_ids()));
            put(VirtualMachine { system_assigned: ids, ..own })
        }),
        Write::Move { machine, address } => present(machine).map_or_else(Vec::new, |own| {
            put(VirtualMachine { address: free(state, machine, address), ..own })
        }),
        Write::Remove(machine) => present(machine)
            .map_or_else(Vec::new, |own| vec![Change::Remove(Record::VirtualMachine(own).key())]),
        Write::CreateIdentity(number) => {
            if state.user_assigned(&world::identity_id(number)).is_some() {
                return Vec::new();
            }
            let record = world::identity(number, fresh.identity_ids());
            vec![Change::Put(Record::UserAssigned(record))]
        }
        Write::RemoveIdentity(number) => {
            let held = state.user_assigned(&world::identity_id(number));

            held.map_or_else(Vec::new, |own| {
                vec![Change::Remove(Record::UserAssigned((*own.record).clone()).key())]
            })
        }
    }
}

/// Returns the address, unless another machine has it.
fn free(state: &State, machine: u8, number: u8) -> Option<Address> {
    let address = match number {
        ANY => Address::Any,
        number => Address::Ip(world::address(number)),
    };
    Some(address).filter(|address| !state.address_taken(*address, &world::machine_id(machine)))
}

fn assignments(state: &State, identities: u8) -> Vec<Assignment> {
    let chosen = (0..IDENTITIES).filter(|number| identities & (1 << number) != 0);
    let held = chosen.filter_map(|number| state.user_assigned(&world::identity_id(number)));
    let assignment = |ids: IdentityIds, id| Assignment { id, principal_id: ids.principal_id };
    held.map(|own| assignment(own.record.ids, own.record.id.clone())).collect()
}
