//! Which caller gets which identity: over random histories, after a restart, and from an older store.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;

use proptest::prelude::*;

use super::*;
use crate::store::Format;

/// A store that outlives its directory, and holds records as text.
#[derive(Clone, Debug)]
struct Disk {
    format: Format,
    kept: Arc<Mutex<(Revision, Kept)>>,
}

/// By key text, the revision that wrote the record, and its JSON.
type Kept = BTreeMap<String, (Revision, String)>;

impl Disk {
    fn new(format: Format) -> Self {
        Self { format, kept: Arc::default() }
    }

    fn open(&self, seed: Vec<Record>) -> Directory {
        open(Box::new(self.clone()), seed, Seconds(0))
    }

    fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        self.replay(&mut |record| records.push(record)).unwrap();
        records
    }
}

impl Store for Disk {
    fn commit(&self, expected: Revision, changes: &[Change]) -> Result<Revision, StoreError> {
        let mut kept = self.kept.lock();
        assert_eq!(kept.0, expected);
        for change in changes {
            kept.0.0 += 1;
            let (revision, key) = (kept.0, change.key().to_string());
            match change {
                Change::Put(record) => {
                    let text = serde_json::to_string(record).unwrap();
                    kept.1.insert(key, (revision, text));
                }
                Change::Remove(_) => drop(kept.1.remove(&key)),
            }
        }
        Ok(kept.0)
    }

    fn replay(&self, each: &mut dyn FnMut(Record)) -> Result<Revision, StoreError> {
        let kept = self.kept.lock();
        let mut records: Vec<_> = kept.1.values().collect();
        records.sort();
        for (_, text) in records {
            each(serde_json::from_str(text).unwrap());
        }
        Ok(kept.0)
    }

    fn format(&self) -> Format {
        self.format
    }
}

/// The addresses that callers come from; no machine ever has the last.
const CALLERS: u8 = 4;

fn caller(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, number).into()
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Remove(u8),
    /// Makes the machine of this number, or gives it another address.
    Put(u8, Option<Address>),
}

fn step() -> impl Strategy<Value = Step> {
    let address = prop_oneof![
        1 => Just(None),
        2 => Just(Some(Address::Any)),
        5 => (0..CALLERS - 1).prop_map(|number| Some(caller(number).into())),
    ];
    prop_oneof![
        1 => (0..3_u8).prop_map(Step::Remove),
        3 => (0..3_u8, address).prop_map(|(vm, address)| Step::Put(vm, address)),
    ]
}

/// The rule in its simplest form.
#[derive(Default)]
struct Model {
    vms: HashMap<u8, (VmId, Option<Address>)>,
    last: HashMap<IpAddr, VmId>,
}

impl Model {
    fn leave(&mut self, vm: u8) {
        if let Some((id, Some(Address::Ip(address)))) = self.vms.remove(&vm) {
            self.last.insert(address, id);
        }
    }

    fn is_taken(&self, vm: u8, address: Address) -> bool {
        self.vms.iter().any(|(other, (_, own))| *other != vm && *own == Some(address))
    }

    fn answers(&self, from: IpAddr) -> Option<VmId> {
        let at = |address: Address| self.vms.values().find(|(_, own)| *own == Some(address));
        let any = || {
            at(Address::Any).filter(|(id, _)| self.last.get(&from).is_none_or(|last| last == id))
        };
        at(from.into()).or_else(any).map(|(id, _)| *id)
    }
}

struct World {
    directory: Directory,
    template: VirtualMachine,
    model: Model,
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Remove(vm) => {
                change(&self.directory, Change::Remove(Key::VirtualMachine(self.id(vm))));
                self.model.leave(vm);
            }
            Step::Put(vm, address) => {
                // The control plane refuses an address that another machine has.
                if address.is_some_and(|address| self.model.is_taken(vm, address)) {
                    return;
                }
                let before =
                    self.directory.read().vm(&self.id(vm)).map(|own| Arc::clone(&own.vm.record));
                let record = before.map_or_else(|| self.made(vm), |own| (*own).clone());
                let vm_id = record.vm_id;
                put(&self.directory, Record::VirtualMachine(VirtualMachine { address, ..record }));
                if self.model.vms.get(&vm).is_some_and(|(_, own)| *own != address) {
                    self.model.leave(vm);
                }
                self.model.vms.insert(vm, (vm_id, address));
            }
        }
    }

    fn id(&self, vm: u8) -> ArmId {
        format!("{}-{vm}", self.template.id).parse().unwrap()
    }

    fn made(&self, vm: u8) -> VirtualMachine {
        let fresh = self.directory.write(NOW, |_, fresh| {
            Ok::<_, StoreError>((Vec::new(), (fresh.vm_id(), fresh.identity_ids())))
        });
        let (vm_id, ids) = fresh.unwrap();
        VirtualMachine {
            id: self.id(vm),
            vm_id,
            system_assigned: Some(ids),
            user_assigned: Vec::new(),
            ..self.template.clone()
        }
    }
}

/// For each caller the machine that answers it, and the identity that it gets.
fn seen(directory: &Directory) -> Vec<Option<(VmId, ClientId)>> {
    let callers = (0..CALLERS).map(|number| directory.caller(caller(number)));
    let seen = callers.map(|caller| {
        caller.with_vm(directory, NOW, |vm| {
            (vm.record.vm_id, vm.select(None, NOW).unwrap().identity.ids.client_id)
        })
    });
    seen.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_caller_gets_the_same_identity_after_a_restart_and_never_one_of_another_machines_address(
        steps in proptest::collection::vec(step(), 1..16),
    ) {
        let disk = Disk::new(Format::CURRENT);
        let directory = disk.open(file::demo().unwrap());
        let template = VirtualMachine::clone(&sole_vm(&directory).record);
        change(&directory, Change::Remove(Key::VirtualMachine(template.id.clone())));
        let mut world = World { directory, template, model: Model::default() };
        world.model.last.insert([127, 0, 0, 1].into(), world.template.vm_id);
        for step in steps {
            world.take(step);
        }
        let before = seen(&world.directory);
        let expected: Vec<_> =
            (0..CALLERS).map(|number| world.model.answers(caller(number))).collect();
        prop_assert_eq!(before.iter().map(|one| one.map(|(vm, _)| vm)).collect::<Vec<_>>(), expected);
        drop(world);
        prop_assert_eq!(seen(&disk.open(Vec::new())), before);
    }
}

/// The world of `demo.toml` as a build of format 1 left it: its machine without an address.
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
