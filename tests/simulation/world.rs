//! Naive model of the world: which machines and identities there are, and who may have which token.

use std::collections::BTreeMap;
use std::net::IpAddr;

use mintbench::base::ids::{ArmId, PrincipalId, VmId};
use mintbench::base::synthetic::{IdentityIds, Synthetic};
use mintbench::service::directory::State;
use mintbench::service::world::record::{
    Assignment, Change, Key, Record, Tags, UserAssigned, VirtualMachine,
};
use mintbench::service::world::{Address, Selector};

/// Machines that a world can have.
pub(crate) const MACHINES: u8 = 4;
/// User-assigned identities that a world can have.
pub(crate) const IDENTITIES: u8 = 3;
/// Addresses from which requests come. The last one never belongs to a machine of its own.
pub(crate) const ADDRESSES: u8 = 6;

/// Shape of what is around the machines: a tenant and a subscription.
pub(crate) const AROUND: Synthetic = Synthetic { vms: 0, user_assigned: 0, seed: 1 };

/// Returns the address of this number.
pub(crate) fn address(number: u8) -> IpAddr {
    [127, 1, 0, number + 1].into()
}

fn resource_id(kind: &str, name: &str, number: u8) -> ArmId {
    let subscription = AROUND.subscription_id();
    let id = format!(
        "/subscriptions/{subscription}/resourceGroups/sim/providers/{kind}/{name}-{number}"
    );
    id.parse().unwrap()
}

pub(crate) fn machine_id(number: u8) -> ArmId {
    resource_id("Microsoft.Compute/virtualMachines", "vm", number)
}

pub(crate) fn identity_id(number: u8) -> ArmId {
    resource_id("Microsoft.ManagedIdentity/userAssignedIdentities", "id", number)
}

/// Returns the record of a machine without identities.
pub(crate) fn machine(number: u8, vm_id: VmId, address: Option<Address>) -> VirtualMachine {
    VirtualMachine {
        id: machine_id(number),
        vm_id,
        location: "local".into(),
        tags: Tags::new(),
        address,
        listener: None,
        throttle: None,
        system_assigned: None,
        user_assigned: Vec::new(),
        properties: serde_json::Map::new(),
    }
}

pub(crate) fn identity(number: u8, ids: IdentityIds) -> UserAssigned {
    UserAssigned {
        id: identity_id(number),
        ids,
        location: "local".to_owned(),
        tags: Tags::new(),
        isolation_scope: None,
        federated_credentials: Vec::new(),
    }
}

/// A world at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct World {
    pub(crate) machines: BTreeMap<String, VirtualMachine>,
    pub(crate) identities: BTreeMap<String, UserAssigned>,
    /// Last machine of each address that a machine has left.
    former: BTreeMap<IpAddr, VmId>,
}

/// The token that a caller must get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) ids: IdentityIds,
    /// Resource id of the identity or of its machine, in lower case.
    pub(crate) of: String,
    /// Resource id of the machine that asks, for a user-assigned identity.
    pub(crate) caller: Option<String>,
    pub(crate) vm_id: VmId,
}

/// Reason for which a caller must get none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Ambiguous,
    NotFound,
    UnknownCaller,
}

impl World {
    /// Returns the world of these records.
    pub(crate) fn of(records: impl IntoIterator<Item = Record>) -> Self {
        let mut world = Self::default();
        for record in records {
            match record {
                Record::FormerAddress(former) => {
                    world.former.insert(former.address, former.vm_id);
                }
                other => world.put(other),
            }
        }
        world
    }

    /// Returns the world that the directory shows. It does not show former addresses, so they are those of `like`.
    pub(crate) fn shown(state: &State, like: &Self) -> Self {
        let all = AROUND.subscription_id();
        let all: ArmId = format!("/subscriptions/{all}/resourceGroups/sim").parse().unwrap();
        let identities = state.user_assigned_below(&all, None).map(|entry| (*entry.record).clone());
        let machines = state.vms().map(|entry| entry.vm.record.clone());
        let records =
            identities.map(Record::UserAssigned).chain(machines.map(Record::VirtualMachine));
        Self { former: like.former.clone(), ..Self::of(records) }
    }

    /// Returns true if the changes are about machines or identities.
    pub(crate) fn is_touched_by(changes: &[Change]) -> bool {
        let mut keys = changes.iter().map(Change::key);
        keys.any(|key| matches!(key, Key::VirtualMachine(_) | Key::UserAssigned(_)))
    }

    /// Returns the world after these changes. What follows from them is worked out anew.
    pub(crate) fn after(&self, changes: &[Change]) -> Self {
        let mut world = self.clone();
        for change in changes {
            match change {
                Change::Put(record) => world.put(record.clone()),
                Change::Remove(Key::VirtualMachine(id)) => {
                    if let Some(gone) = world.machines.remove(&id.to_string()) {
                        world.left(&gone, None);
                    }
                }
                Change::Remove(Key::UserAssigned(id)) => {
                    world.identities.remove(&id.to_string());
                }
                Change::Remove(_) => {}
            }
        }
        world
    }

    fn put(&mut self, record: Record) {
        match record {
            Record::VirtualMachine(own) => {
                let next = own.address;
                if let Some(before) = self.machines.insert(own.id.to_string(), own) {
                    self.left(&before, next);
                }
            }
            Record::UserAssigned(own) => {
                self.identities.insert(own.id.to_string(), own);
            }
            _ => {}
        }
    }

    fn left(&mut self, before: &VirtualMachine, next: Option<Address>) {
        if let Some(Address::Ip(ip)) = before.address.filter(|own| next != Some(*own)) {
            self.former.insert(ip, before.vm_id);
        }
    }

    /// Returns the machine that calls from this address.
    pub(crate) fn caller(&self, address: IpAddr) -> Option<&VirtualMachine> {
        let at = |wanted| self.machines.values().find(move |own| own.address == Some(wanted));
        at(Address::Ip(address)).or_else(|| {
            let last = self.former.get(&address);
            at(Address::Any).filter(|any| last.is_none_or(|last| *last == any.vm_id))
        })
    }

    fn holds(&self, assignment: &Assignment) -> Option<&UserAssigned> {
        let identity = self.identities.get(&assignment.id.to_string());
        identity.filter(|identity| identity.ids.principal_id == assignment.principal_id)
    }

    /// Returns what a caller must get.
    pub(crate) fn expected(
        &self,
        address: IpAddr,
        selector: Option<&Selector>,
    ) -> Result<Expected, Refusal> {
        let vm = self.caller(address).ok_or(Refusal::UnknownCaller)?;
        let expected = |ids, of: &ArmId, caller| Expected {
            ids,
            of: of.to_string().to_lowercase(),
            caller,
            vm_id: vm.vm_id,
        };
        let own = vm.system_assigned.map(|ids| expected(ids, &vm.id, None));
        let caller = Some(vm.id.to_string().to_lowercase());
        let assigned = vm.user_assigned.iter().filter_map(|assignment| self.holds(assignment));
        let assigned: Vec<_> =
            assigned.map(|own| expected(own.ids, &own.id, caller.clone())).collect();
        let is_client = |own: &Expected, id| own.ids.client_id == id;
        let is_principal = |own: &Expected, id: PrincipalId| own.ids.principal_id == id;
        let found = match selector {
            None if own.is_some() => own,
            None if assigned.len() > 1 => return Err(Refusal::Ambiguous),
            None => assigned.into_iter().next(),
            Some(Selector::ClientId(id)) => {
                own.into_iter().chain(assigned).find(|own| is_client(own, *id))
            }
            Some(Selector::ObjectId(id)) => {
                own.into_iter().chain(assigned).find(|own| is_principal(own, *id))
            }
            Some(Selector::ResourceId(id)) => {
                let id = id.to_string().to_lowercase();
                assigned.into_iter().find(|own| own.of == id)
            }
        };
        found.ok_or(Refusal::NotFound)
    }
}
