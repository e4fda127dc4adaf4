//! Assignment of callers to virtual machines by address.
//!
//! The machine with the caller's address answers. If there is none, the machine that answers any address
//! does, unless the address last belonged to another machine. All of this is stored, so a restart changes
//! nothing.

use std::net::IpAddr;
use std::sync::Arc;

use super::slot::{Called, VmSlot};
use super::state::{State, VmEntry};
use crate::base::ids::ArmId;
use crate::service::world::Address;
use crate::service::world::record::{Change, FormerAddress, Key, Record, VirtualMachine};

/// Address that the only machine of a format 1 store gets if it has none.
const LOOPBACK: Address = Address::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

impl State {
    /// Returns the VM that has this address itself.
    pub(super) fn slot_at(&self, address: IpAddr) -> Option<Arc<VmSlot>> {
        self.by_address.get(address.into()).cloned()
    }

    /// Returns the VM that answers callers from `address`.
    pub(super) fn reachable_from(&self, address: IpAddr) -> Option<Arc<VmSlot>> {
        self.slot_at(address).or_else(|| {
            let any = self.by_address.get(Address::Any)?;
            let last = self.former_addresses.get(&address);
            last.is_none_or(|last| *last == any.vm_id()).then(|| Arc::clone(any))
        })
    }

    /// Returns true if a VM answers callers from `address`.
    pub fn answers(&self, address: IpAddr) -> bool {
        self.reachable_from(address).is_some()
    }

    /// Returns the slot of the VM whose listener was called, unless the VM was removed.
    pub(super) fn slot_called(&self, called: &Called) -> Option<Arc<VmSlot>> {
        let entry = self.vms.get(&called.vm)?;
        (entry.vm.record.vm_id == called.vm_id).then(|| Arc::clone(&entry.slot))
    }

    /// Returns the VMs that have a listener of their own, with its port.
    pub fn own_listeners(&self) -> impl Iterator<Item = (Called, u16)> {
        self.own_listeners.iter().filter_map(|id| {
            let record = &self.vms.get(id)?.vm.record;
            Some((Called { vm: id.clone(), vm_id: record.vm_id }, record.listener?))
        })
    }

    /// Returns the VMs of this name, or the one with this resource id.
    pub fn vms_called(&self, name: &str) -> Vec<&VmEntry> {
        if name.starts_with('/') {
            let id = name.parse::<ArmId>().ok();
            return id.and_then(|id| self.vms.get(&id)).into_iter().collect();
        }
        let is_named = |entry: &&VmEntry| entry.vm.record.id.name().eq_ignore_ascii_case(name);
        self.vms.values().filter(is_named).collect()
    }

    /// Returns true if a VM other than `vm` has this address.
    pub fn address_taken(&self, address: Address, vm: &ArmId) -> bool {
        let own = self.vms.get(vm).and_then(|entry| entry.vm.record.address);
        self.by_address.get(address).is_some() && own != Some(address)
    }

    /// Returns the records that remember the addresses which `changes` take from their VMs.
    pub(super) fn vacated(&self, changes: &[Change]) -> Vec<Change> {
        let left = changes.iter().filter_map(|change| {
            let (id, next) = match change {
                Change::Remove(Key::VirtualMachine(id)) => (id, None),
                Change::Put(Record::VirtualMachine(vm)) => (&vm.id, vm.address),
                _ => return None,
            };
            let VirtualMachine { address, vm_id, .. } = &self.vms.get(id)?.vm.record;
            let address = address.filter(|own| next != Some(*own))?.ip()?;
            Some(Change::Put(Record::FormerAddress(FormerAddress { address, vm_id: *vm_id })))
        });
        left.collect()
    }
}

/// Upgrades a store of format 1: gives an address to a VM that needs one since format 2.
///
/// In format 1, the only VM of a world answered every loopback caller when it had no address. It now answers
/// 127.0.0.1, from which programs call by default.
pub(super) fn upgrade(records: &mut [Record]) -> Option<Change> {
    let mut vms = records.iter_mut().filter_map(|record| match record {
        Record::VirtualMachine(vm) => Some(vm),
        _ => None,
    });
    let (Some(vm), None) = (vms.next(), vms.next()) else { return None };
    if vm.address.is_some() {
        return None;
    }
    vm.address = Some(LOOPBACK);
    tracing::warn!(
        "the virtual machine `{0}` had no address and answered every loopback caller; it now answers {LOOPBACK}; to answer others too: mintbench vm update {0} --address any",
        vm.id.name()
    );
    Some(Change::Put(Record::VirtualMachine(vm.clone())))
}
