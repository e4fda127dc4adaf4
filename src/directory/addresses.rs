//! Which virtual machine answers a caller.
//!
//! One rule: the machine that has the caller's address, else the machine that answers any address, unless
//! the address was last another machine's. All of it is stored, so it holds after a restart too.

use std::net::IpAddr;
use std::sync::Arc;

use super::slot::VmSlot;
use super::state::State;
use crate::ids::ArmId;
use crate::world::Address;
use crate::world::record::{Change, FormerAddress, Key, Record, VirtualMachine};

/// The address of the only machine of a format 1 store, when it has none.
const LOOPBACK: Address = Address::Ip(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

impl State {
    /// The VM whose own address this is.
    pub(super) fn slot_at(&self, address: IpAddr) -> Option<Arc<VmSlot>> {
        self.by_address.get(&Address::from(address)).cloned()
    }

    /// The VM that answers callers from `address`.
    pub(super) fn reachable_from(&self, address: IpAddr) -> Option<Arc<VmSlot>> {
        self.slot_at(address).or_else(|| {
            let any = self.by_address.get(&Address::Any)?;
            let last = self.former_addresses.get(&address);
            last.is_none_or(|last| *last == any.vm_id()).then(|| Arc::clone(any))
        })
    }

    /// Whether a VM other than `vm` has this address.
    pub fn address_taken(&self, address: Address, vm: &ArmId) -> bool {
        let own = self.vms.get(vm).and_then(|entry| entry.vm.record.address);
        self.by_address.contains_key(&address) && own != Some(address)
    }

    /// What is to be remembered of the addresses that `changes` take from their VMs.
    pub(super) fn vacated(&self, changes: &[Change]) -> Vec<Change> {
        let left = changes.iter().filter_map(|change| {
            let (id, next) = match change {
                Change::Remove(Key::VirtualMachine(id)) => (id, None),
                Change::Put(Record::VirtualMachine(vm)) => (&vm.id, vm.address),
                _ => return None,
            };
            let VirtualMachine { address, vm_id, .. } = *self.vms.get(id)?.vm.record;
            let address = address.filter(|own| next != Some(*own))?.ip()?;
            Some(Change::Put(Record::FormerAddress(FormerAddress { address, vm_id })))
        });
        left.collect()
    }
}

/// Gives an address to a VM that needs one since format 2 of the store.
///
/// In format 1, the only VM of a world answered every loopback caller when it had no address. It goes on
/// answering the caller that programs are unless they choose: 127.0.0.1.
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
