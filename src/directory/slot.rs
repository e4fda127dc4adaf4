//! The place of one virtual machine: what the identity endpoint goes by, now and next.

use std::collections::VecDeque;
use std::sync::Arc;

use super::When;
use crate::clock::UnixSeconds;
use crate::ids::VmId;
use crate::sync::RwLock;
use crate::world::Vm;

/// The place of a VM at its address; connections hold on to it, and see each change of the VM.
#[derive(Debug)]
pub struct VmSlot {
    vm_id: VmId,
    views: RwLock<Views>,
}

#[derive(Debug, Default)]
struct Views {
    now: Option<Arc<Vm>>,
    /// What takes its place, and when; only a propagation delay puts anything here.
    later: VecDeque<(When, Option<Arc<Vm>>)>,
}

impl VmSlot {
    /// The place of the VM of this id, which is not there yet.
    pub(super) fn new(vm_id: VmId) -> Self {
        Self { vm_id, views: RwLock::new(Views::default()) }
    }

    /// The id of the VM, also once it is gone.
    pub(super) const fn vm_id(&self) -> VmId {
        self.vm_id
    }

    /// Does `with` to the VM as the identity endpoint sees it at `now`; `None` when there is none.
    #[inline]
    pub fn with<T>(&self, now: UnixSeconds, with: impl Fn(&Arc<Vm>) -> T) -> Option<T> {
        let views = self.views.read();
        let due = views.later.iter().rfind(|(when, _)| !when.is_pending(now));
        let vm = due.map_or(&views.now, |(_, vm)| vm);
        vm.as_ref().map(with)
    }

    /// Puts `vm` in place once the change is effective; when that is no later than now, at once.
    pub(super) fn publish(&self, vm: Option<Arc<Vm>>, when: When) {
        let mut views = self.views.write();
        if when.effective <= when.now {
            *views = Views { now: vm, later: VecDeque::new() };
            return;
        }
        let due = views.later.iter().rposition(|(earlier, _)| !earlier.is_pending(when.now));
        if let Some((_, due)) = due.and_then(|due| views.later.drain(..=due).next_back()) {
            views.now = due;
        }
        views.later.push_back((when, vm));
    }
}
