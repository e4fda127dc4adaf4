//! Slot of one virtual machine: its present state for the identity endpoint, and pending changes.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::effective::ChangeTime;
use crate::base::clock::UnixSeconds;
use crate::base::ids::{ArmId, VmId};
use crate::base::keyed_set::Keyed;
use crate::base::sync::RwLock;
use crate::service::world::{Address, Vm};

/// VM that has a listener of its own. A VM that is created again under the same name is another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Called {
    /// Resource id of the VM.
    pub vm: ArmId,
    /// Id that the VM keeps for its whole life.
    pub vm_id: VmId,
}

/// State of the VM at an address. Connections keep a reference to the slot, and so see each change of the VM.
#[derive(Debug)]
pub struct VmSlot {
    vm_id: VmId,
    views: RwLock<Views>,
}

/// State of a VM. A slot is small, because there may be millions.
#[derive(Debug)]
enum Views {
    /// No change is pending.
    Settled(Option<Arc<Vm>>),
    /// Changes are pending. There are none without a propagation delay.
    Changing(Box<Changing>),
}

#[derive(Debug)]
struct Changing {
    now: Option<Arc<Vm>>,
    /// Pending states and their times.
    later: VecDeque<(ChangeTime, Option<Arc<Vm>>)>,
}

impl Views {
    /// Returns the state at `now`.
    fn at(&self, now: UnixSeconds) -> Option<&Arc<Vm>> {
        match self {
            Self::Settled(vm) => vm.as_ref(),
            Self::Changing(changing) => {
                let due = changing.later.iter().rfind(|(when, _)| !when.is_pending(now));
                due.map_or(&changing.now, |(_, vm)| vm).as_ref()
            }
        }
    }
}

impl Changing {
    /// Adds a pending state, and drops those that are no longer needed.
    fn push(&mut self, when: ChangeTime, vm: Option<Arc<Vm>>) {
        let due = self.later.iter().rposition(|(earlier, _)| !earlier.is_pending(when.now));
        if let Some((_, due)) = due.and_then(|due| self.later.drain(..=due).next_back()) {
            self.now = due;
        }
        self.later.push_back((when, vm));
    }
}

impl Keyed<VmId> for Arc<VmSlot> {
    fn key(&self) -> &VmId {
        &self.vm_id
    }
}

/// Slots by the addresses of their VMs.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    /// IPv4 addresses are mapped to IPv6: the keys are shorter than an [`Address`], and there may be millions.
    by_ip: HashMap<Ipv6Addr, Arc<VmSlot>, RandomState>,
    any: Option<Arc<VmSlot>>,
}

impl Addresses {
    /// Makes room for so many more addresses.
    pub(super) fn reserve(&mut self, more: usize) {
        self.by_ip.reserve(more);
    }

    pub(super) fn get(&self, address: Address) -> Option<&Arc<VmSlot>> {
        match address {
            Address::Ip(ip) => self.by_ip.get(&mapped(ip)),
            Address::Any => self.any.as_ref(),
        }
    }

    pub(super) fn put(&mut self, address: Address, slot: Arc<VmSlot>) {
        match address {
            Address::Ip(ip) => drop(self.by_ip.insert(mapped(ip), slot)),
            Address::Any => self.any = Some(slot),
        }
    }

    pub(super) fn remove(&mut self, address: Address) {
        match address {
            Address::Ip(ip) => drop(self.by_ip.remove(&mapped(ip))),
            Address::Any => self.any = None,
        }
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

impl VmSlot {
    /// Creates the slot of the VM with this id. The VM does not exist until [`Self::publish`].
    pub(super) fn new(vm_id: VmId) -> Self {
        Self { vm_id, views: RwLock::new(Views::Settled(None)) }
    }

    /// Returns the id of the VM, even after the VM was removed.
    pub(super) const fn vm_id(&self) -> VmId {
        self.vm_id
    }

    /// Calls `with` with the VM as the identity endpoint sees it at `now`. Returns `None` if there is none.
    #[inline]
    pub fn with<T>(&self, now: UnixSeconds, with: impl Fn(&Arc<Vm>) -> T) -> Option<T> {
        self.views.read().at(now).map(with)
    }

    /// Makes `vm` the state of the slot once the change is effective, or at once if it already is.
    pub(super) fn publish(&self, vm: Option<Arc<Vm>>, when: ChangeTime) {
        let mut views = self.views.write();
        if when.effective <= when.now {
            *views = Views::Settled(vm);
            return;
        }
        if let Views::Settled(now) = &mut *views {
            let now = now.take();
            *views = Views::Changing(Box::new(Changing { now, later: VecDeque::new() }));
        }
        if let Views::Changing(changing) = &mut *views {
            changing.push(when, vm);
        }
    }
}
