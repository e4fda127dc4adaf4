//! Identities, and which of them a virtual machine may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{Tenant, VirtualMachine};
use super::synthetic::IdentityIds;
use crate::clock::UnixSeconds;
use crate::ids::{ArmId, ClientId, PrincipalId};

/// Number of an identity in its world; never used again once the identity is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityIndex(pub u32);

/// How an identity came to be, and so when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// Made with a VM and gone with it.
    SystemAssigned,
    /// A resource of its own, assigned to any number of VMs.
    UserAssigned,
}

/// A managed identity and its service principal.
#[derive(Debug)]
pub struct Identity {
    /// Its number.
    pub index: IdentityIndex,
    /// System- or user-assigned.
    pub kind: IdentityKind,
    /// `appid` and `oid` of its tokens.
    pub ids: IdentityIds,
    /// The tenant that it lives in.
    pub tenant: Arc<Tenant>,
    /// The VM (system-assigned) or the identity itself (user-assigned), as in `xms_mirid`.
    pub resource_id: ArmId,
    gone_from: AtomicU64,
}

impl Identity {
    /// A living identity.
    pub const fn new(
        index: IdentityIndex,
        kind: IdentityKind,
        ids: IdentityIds,
        tenant: Arc<Tenant>,
        resource_id: ArmId,
    ) -> Self {
        Self { index, kind, ids, tenant, resource_id, gone_from: AtomicU64::new(u64::MAX) }
    }

    /// Ends the identity: from `moment` on it gets no token.
    pub fn end(&self, moment: UnixSeconds) {
        // `Release` pairs with the `Acquire` below: a mint lane that inserts a token and then finds the
        // identity alive knows that the removal, which ends it first, has yet to clear the cache.
        self.gone_from.fetch_min(moment.0, Ordering::AcqRel);
    }

    /// Whether it gets tokens at `now`.
    pub fn is_alive(&self, now: UnixSeconds) -> bool {
        now.0 < self.gone_from.load(Ordering::Acquire)
    }
}

/// Which of a VM's identities a token is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By `client_id`.
    ClientId(ClientId),
    /// By `object_id`.
    ObjectId(PrincipalId),
    /// By `msi_res_id` (or the older `mi_res_id`); user-assigned identities only.
    ResourceId(ArmId),
}

/// Why no identity is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The VM has no identity, or not the one that was named. Whether another VM has it is not said.
    #[error("identity not found on the calling virtual machine")]
    NotFound,
    /// No selector, no system-assigned identity, and more than one user-assigned.
    #[error("several user-assigned identities and no selector")]
    Ambiguous,
}

/// A virtual machine and the identities that it may use. Does not change: a changed machine is another `Vm`.
#[derive(Debug)]
pub struct Vm {
    /// What is stored of it.
    pub record: Arc<VirtualMachine>,
    /// The tenant that its subscription trusts.
    pub tenant: Arc<Tenant>,
    system_assigned: Option<Arc<Identity>>,
    /// Sorted by client id, so that the commonest selector is a binary search.
    user_assigned: Box<[Arc<Identity>]>,
}

impl Vm {
    /// A machine that may use these identities.
    pub fn new(
        record: Arc<VirtualMachine>,
        tenant: Arc<Tenant>,
        system_assigned: Option<Arc<Identity>>,
        mut user_assigned: Vec<Arc<Identity>>,
    ) -> Self {
        user_assigned.sort_unstable_by_key(|identity| identity.ids.client_id);
        Self { record, tenant, system_assigned, user_assigned: user_assigned.into() }
    }

    /// The identity that `selector` names, or the one that IMDS picks without a selector: the
    /// system-assigned one, else the only user-assigned one (Azure managed identities FAQ).
    ///
    /// # Errors
    /// `NotFound` when the VM does not hold it, or it is gone; `Ambiguous` when a selector is needed.
    pub fn select(
        &self,
        selector: Option<&Selector>,
        now: UnixSeconds,
    ) -> Result<&Arc<Identity>, SelectError> {
        let Some(selector) = selector else { return self.default_identity(now) };
        let named = self.named(selector).filter(|identity| identity.is_alive(now));
        named.ok_or(SelectError::NotFound)
    }

    fn default_identity(&self, now: UnixSeconds) -> Result<&Arc<Identity>, SelectError> {
        if let Some(own) = self.system_assigned.as_ref().filter(|own| own.is_alive(now)) {
            return Ok(own);
        }
        let mut living = self.user_assigned.iter().filter(|identity| identity.is_alive(now));
        match (living.next(), living.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(SelectError::NotFound),
            (Some(_), Some(_)) => Err(SelectError::Ambiguous),
        }
    }

    fn named(&self, selector: &Selector) -> Option<&Arc<Identity>> {
        match selector {
            Selector::ClientId(id) => {
                let held = &self.user_assigned;
                let position = held.binary_search_by(|identity| identity.ids.client_id.cmp(id));
                let user_assigned = position.ok().and_then(|at| held.get(at));
                let own = || self.system_assigned.as_ref().filter(|own| own.ids.client_id == *id);
                user_assigned.or_else(own)
            }
            Selector::ObjectId(id) => {
                self.identities().find(|identity| identity.ids.principal_id == *id)
            }
            Selector::ResourceId(id) => {
                self.user_assigned.iter().find(|identity| identity.resource_id == *id)
            }
        }
    }

    /// The identities that it may use, the system-assigned one first; also those that are gone.
    pub fn identities(&self) -> impl Iterator<Item = &Arc<Identity>> {
        self.system_assigned.iter().chain(&self.user_assigned)
    }

    /// Its system-assigned identity.
    pub const fn system_assigned(&self) -> Option<&Arc<Identity>> {
        self.system_assigned.as_ref()
    }
}
