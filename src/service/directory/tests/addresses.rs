//! Tests that each caller gets the right identity: over random histories, after a restart, and from a store
//! of an older format.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::disk::Disk;
use super::*;
use crate::service::store::{FolderOptions, RedbStore};
use crate::service::world::record::Assignment;

/// Number of addresses that callers come from. No machine ever has the last one.
const CALLERS: u8 = 4;

fn caller(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    RemoveVm(u8),
    /// Creates the machine of this number, or gives it another address.
    PutVm(u8, Option<Address>),
    /// Gives the machine a system-assigned identity, or removes it.
    SetOwn(u8, bool),
    Attach(u8, u8),
    Detach(u8, u8),
    /// Creates the identity of this number again, under a name that it may have had before.
    MakeIdentity(u8),
    DeleteIdentity(u8),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let address = prop_oneof![
        1 => Just(None),
        2 => Just(Some(Address::Any)),
        5 => (0..CALLERS - 1).prop_map(|number| Some(caller(number).into())),
    ];
    let (vm, identity) = (0..3_u8, 0..2_u8);
    prop_oneof![
        2 => vm.clone().prop_map(Step::RemoveVm),
        6 => (vm.clone(), address).prop_map(|(vm, address)| Step::PutVm(vm, address)),
        2 => (vm.clone(), any::<bool>()).prop_map(|(vm, own)| Step::SetOwn(vm, own)),
        4 => (vm.clone(), identity.clone()).prop_map(|(vm, one)| Step::Attach(vm, one)),
        1 => (vm, identity.clone()).prop_map(|(vm, one)| Step::Detach(vm, one)),
        2 => identity.clone().prop_map(Step::MakeIdentity),
        1 => identity.prop_map(Step::DeleteIdentity),
        1 => Just(Step::Restart),
    ]
}

#[derive(Clone, Debug)]
struct ModelVm {
    vm_id: VmId,
    address: Option<Address>,
    own: Option<PrincipalId>,
    /// For each attached identity, the principal that it had when it was attached.
    attached: BTreeMap<u8, PrincipalId>,
}

/// Model: the rules in their simplest form.
#[derive(Default)]
struct Model {
    vms: BTreeMap<u8, ModelVm>,
    identities: BTreeMap<u8, PrincipalId>,
    last: HashMap<IpAddr, VmId>,
}

/// Machine that answers a caller, and the subject of its token.
type Seen = Option<(VmId, Result<PrincipalId, SelectError>)>;

impl Model {
    fn leave(&mut self, vm: u8) {
        let Some(own) = self.vms.get_mut(&vm) else { return };
        if let Some(Address::Ip(address)) = own.address.take() {
            self.last.insert(address, own.vm_id);
        }
    }

    fn is_taken(&self, vm: u8, address: Address) -> bool {
        self.vms.iter().any(|(other, own)| *other != vm && own.address == Some(address))
    }

    fn answers(&self, from: IpAddr) -> Seen {
        let at = |address: Address| self.vms.values().find(|own| own.address == Some(address));
        let last = self.last.get(&from);
        let any = || at(Address::Any).filter(|own| last.is_none_or(|last| *last == own.vm_id));
        at(from.into()).or_else(any).map(|own| (own.vm_id, self.subject(own)))
    }

    fn subject(&self, vm: &ModelVm) -> Result<PrincipalId, SelectError> {
        let living = vm.attached.iter().filter(|(one, own)| self.identities.get(one) == Some(own));
        let living: Vec<PrincipalId> = living.map(|(_, own)| *own).collect();
        match (vm.own, &*living) {
            (Some(own), _) => Ok(own),
            (None, [only]) => Ok(*only),
            (None, []) => Err(SelectError::NotFound),
            (None, _) => Err(SelectError::Ambiguous),
        }
    }
}

/// A world in a folder on a disk.
struct World {
    folder: tempfile::TempDir,
    directory: Option<Directory>,
    starts: u8,
    templates: (VirtualMachine, UserAssigned),
    model: Model,
}

impl World {
    fn new() -> Self {
        // Uses a folder in memory if there is one: a thousand histories on a disk take minutes.
        let shared = std::path::Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::tempdir_in(parent).unwrap();
        let directory = started(&folder, 0, file::demo().unwrap());
        let vm = VirtualMachine::clone(&sole_vm(&directory).record);
        let attached = directory.read().user_assigned(&vm.user_assigned[0].id).unwrap().clone();
        change(&directory, Change::Remove(Key::VirtualMachine(vm.id.clone())));
        let mut model = Model::default();
        model.last.insert([127, 0, 0, 1].into(), vm.vm_id);
        let templates = (vm, UserAssigned::clone(&attached.record));
        Self { folder, directory: Some(directory), starts: 0, templates, model }
    }

    fn directory(&self) -> &Directory {
        self.directory.as_ref().unwrap()
    }

    fn restart(&mut self) {
        drop(self.directory.take());
        self.starts += 1;
        self.directory = Some(started(&self.folder, self.starts, Vec::new()));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::RemoveVm(vm) => {
                change(self.directory(), Change::Remove(Key::VirtualMachine(self.vm_id(vm))));
                self.model.leave(vm);
                self.model.vms.remove(&vm);
            }
            Step::PutVm(vm, address) => self.put_vm(vm, address),
            Step::SetOwn(vm, wanted) => {
                let own = wanted.then(|| self.fresh().1);
                self.alter(
                    vm,
                    |record| record.system_assigned = own,
                    |model| {
                        model.own = own.map(|ids| ids.principal_id);
                    },
                );
            }
            Step::Attach(vm, one) => {
                let Some(principal_id) = self.model.identities.get(&one).copied() else { return };
                let id = self.identity_id(one);
                let assigned = Assignment { id: id.clone(), principal_id };
                self.alter(
                    vm,
                    |record| {
                        record.user_assigned.retain(|held| held.id != id);
                        record.user_assigned.push(assigned);
                    },
                    |model| {
                        model.attached.insert(one, principal_id);
                    },
                );
            }
            Step::Detach(vm, one) => {
                let id = self.identity_id(one);
                self.alter(
                    vm,
                    |record| record.user_assigned.retain(|held| held.id != id),
                    |model| {
                        model.attached.remove(&one);
                    },
                );
            }
            Step::MakeIdentity(one) => {
                if !self.model.identities.contains_key(&one) {
                    let (id, ids) = (self.identity_id(one), self.fresh().1);
                    let record = UserAssigned { id, ids, ..self.templates.1.clone() };
                    put(self.directory(), Record::UserAssigned(record));
                    self.model.identities.insert(one, ids.principal_id);
                }
            }
            Step::DeleteIdentity(one) => {
                change(self.directory(), Change::Remove(Key::UserAssigned(self.identity_id(one))));
                self.model.identities.remove(&one);
            }
            Step::Restart => self.restart(),
        }
    }

    fn put_vm(&mut self, vm: u8, address: Option<Address>) {
        // The control plane refuses an address that another machine has.
        if address.is_some_and(|address| self.model.is_taken(vm, address)) {
            return;
        }
        if !self.model.vms.contains_key(&vm) {
            let (vm_id, ids) = self.fresh();
            let record = VirtualMachine {
                id: self.vm_id(vm),
                vm_id,
                address: None,
                system_assigned: Some(ids),
                user_assigned: Vec::new(),
                ..self.templates.0.clone()
            };
            put(self.directory(), Record::VirtualMachine(record));
            let own = Some(ids.principal_id);
            let made = ModelVm { vm_id, address: None, own, attached: BTreeMap::new() };
            self.model.vms.insert(vm, made);
        }
        if self.model.vms[&vm].address != address {
            self.model.leave(vm);
        }
        self.alter(vm, |record| record.address = address, |model| model.address = address);
    }

    /// Changes a machine, if it exists, in the directory and in the model.
    fn alter(
        &mut self,
        vm: u8,
        record: impl FnOnce(&mut VirtualMachine),
        model: impl FnOnce(&mut ModelVm),
    ) {
        let Some(thought) = self.model.vms.get_mut(&vm) else { return };
        model(thought);
        let id = self.vm_id(vm);
        let mut changed = self.directory().read().vm(&id).unwrap().vm.record.clone();
        record(&mut changed);
        put(self.directory(), Record::VirtualMachine(changed));
    }

    fn vm_id(&self, vm: u8) -> ArmId {
        format!("{}-{vm}", self.templates.0.id).parse().unwrap()
    }

    fn identity_id(&self, one: u8) -> ArmId {
        format!("{}-{one}", self.templates.1.id).parse().unwrap()
    }

    fn fresh(&self) -> (VmId, IdentityIds) {
        let fresh = self.directory().write(NOW, |_, fresh| {
            Ok::<_, StoreError>((Vec::new(), (fresh.vm_id(), fresh.identity_ids())))
        });
        fresh.unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        let callers = (0..CALLERS).map(|number| self.directory().caller(caller(number)));
        let seen = callers.map(|caller| {
            caller.with_vm(self.directory(), NOW, |vm| {
                let subject = vm.select(None, NOW).map(|held| held.identity.ids.principal_id);
                (vm.record.vm_id, subject)
            })
        });
        seen.collect()
    }

    fn expected(&self) -> Vec<Seen> {
        (0..CALLERS).map(|number| self.model.answers(caller(number))).collect()
    }
}

/// Starts a directory. Each start uses another seed, and so creates other ids, as each process does.
fn started(folder: &tempfile::TempDir, start: u8, records: Vec<Record>) -> Directory {
    let options = DirectoryOptions { seed: [start; 32], ..DirectoryOptions::for_tests(Seconds(0)) };
    let store = Box::new(RedbStore::open(folder.path(), FolderOptions::default()).unwrap());
    Directory::open::<DirectoryError>(store, || Ok(records), NOW, &options).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn an_address_gets_the_same_identity_after_a_restart_and_never_one_of_another_machines_address(
        steps in proptest::collection::vec(step(), 1..24),
    ) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        prop_assert_eq!(world.seen(), world.expected());
        world.restart();
        prop_assert_eq!(world.seen(), world.expected());
    }
}

/// Returns the world of `demo.toml` as a build of format 1 stored it: its machine has no address.
fn of_format_1(more: impl FnOnce(&VirtualMachine) -> Vec<Record>) -> Disk {
    let disk = Disk::new(Format::OLDEST);
    let mut records = file::demo().unwrap();
    let mut vms = records.iter_mut().filter_map(|record| match record {
        Record::VirtualMachine(vm) => Some(vm),
        _ => None,
    });
    let vm = vms.next().unwrap();
    vm.address = None;
    let more = more(vm);
    records.extend(more);
    let changes: Vec<Change> = records.into_iter().map(Change::Put).collect();
    disk.commit(Revision(0), &changes).unwrap();
    disk
}

#[test]
fn the_only_vm_of_an_older_store_goes_on_answering_127_0_0_1_and_nobody_else() {
    let disk = of_format_1(|_| Vec::new());
    let directory = disk.open(Vec::new());
    let from = |address: [u8; 4]| answers(&directory, &directory.caller(address.into()));
    assert_eq!(from([127, 0, 0, 1]).as_deref(), Some("demo-vm"));
    assert_eq!((from([127, 0, 0, 2]), from([127, 9, 9, 9])), (None, None));
    let stored = disk.records().into_iter().find_map(|record| match record {
        Record::VirtualMachine(vm) => vm.address,
        _ => None,
    });
    assert_eq!(stored, Some(address("127.0.0.1")));
}

#[test]
fn a_vm_without_an_address_gets_none_where_others_are_or_this_build_has_written() {
    let second = |vm: &VirtualMachine| {
        let id = format!("{}-2", vm.id).parse().unwrap();
        let address = Some(address("127.0.0.2"));
        vec![Record::VirtualMachine(VirtualMachine {
            id,
            address,
            system_assigned: None,
            ..vm.clone()
        })]
    };
    let several = of_format_1(second).open(Vec::new());
    let current = Disk { format: Format::CURRENT, ..of_format_1(|_| Vec::new()) }.open(Vec::new());
    for directory in [several, current] {
        assert_eq!(answers(&directory, &directory.caller([127, 0, 0, 1].into())), None);
    }
}
