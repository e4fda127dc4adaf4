//! Keys of requests: VM, identity and resource.

use crate::base::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};

/// The selected identity of a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selector {
    /// No selector is sent: the system-assigned identity, if there is one.
    Default,
    /// The `client_id` of this user-assigned identity of the VM is sent; numbered from 0.
    UserAssigned(u32),
}

/// The key of a request: VM, identity and resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestKey {
    /// The VM that asks.
    pub vm: u32,
    /// The selected identity.
    pub selector: Selector,
    /// The index of the resource in [`WELL_KNOWN_RESOURCES`].
    pub resource: u8,
}

impl RequestKey {
    /// Returns the audience for which the token is requested.
    pub fn resource(&self) -> &'static str {
        WELL_KNOWN_RESOURCES.get(usize::from(self.resource)).copied().unwrap_or_default()
    }
}

/// One identity of one VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Number of the VM.
    pub vm: u32,
    /// Identity of the VM.
    pub selector: Selector,
}

/// A key without its VM: identity number and resource.
pub(crate) type VmKey = (u32, u8);

/// Returns every key that a VM can have, ordered by resource, then by identity.
pub(super) fn all_vm_keys(world: &Synthetic) -> impl Iterator<Item = VmKey> {
    let slots = world.user_assigned + 1;
    let resources = u8::try_from(WELL_KNOWN_RESOURCES.len()).unwrap_or(u8::MAX);
    (0..resources).flat_map(move |resource| (0..slots).map(move |slot| (slot, resource)))
}

/// Returns key number `index` of `vm_keys`. VMs take turns first, then their keys; after the last key it
/// starts again.
pub(crate) fn nth_key(world: &Synthetic, vm_keys: &[VmKey], index: u64) -> RequestKey {
    let vms = u64::from(world.vms.max(1));
    let vm_key = usize::try_from(index / vms).unwrap_or(usize::MAX) % vm_keys.len().max(1);
    let (slot, resource) = vm_keys.get(vm_key).copied().unwrap_or_default();
    let vm = u32::try_from(index % vms).unwrap_or_default();
    RequestKey { vm, selector: selector(slot), resource }
}

/// Returns the selector of identity number `slot`.
pub(crate) const fn selector(slot: u32) -> Selector {
    match slot.checked_sub(1) {
        None => Selector::Default,
        Some(index) => Selector::UserAssigned(index),
    }
}
