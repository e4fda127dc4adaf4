//! Identities, and which of them a virtual machine may use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{Tenant, VirtualMachine};
use super::synthetic::IdentityIds;
use crate::clock::{Seconds, UnixSeconds};
use crate::ids::{ArmId, ClientId, PrincipalId};

/// Number of an identity in its world; never used again once the identity is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityIndex(pub u32);

/// Number of an identity in the hands of one VM; never used again once the VM has lost it. The tokens
/// of an identity name the VM that asked, so each VM has its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldingIndex(pub u32);

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
    ended_at: AtomicU64,
    gone_from: AtomicU64,
}

/// A clock that is set back by less does not bring the end of an identity forward.
const LEEWAY: Seconds = Seconds(300);

impl Identity {
    /// A living identity.
    pub const fn new(
        index: IdentityIndex,
        kind: IdentityKind,
        ids: IdentityIds,
        tenant: Arc<Tenant>,
        resource_id: ArmId,
    ) -> Self {
        let [ended_at, gone_from] = [AtomicU64::new(0), AtomicU64::new(u64::MAX)];
        Self { index, kind, ids, tenant, resource_id, ended_at, gone_from }
    }

    /// Ends the identity at `now`: from `moment` on it gets no token, nor when the clock is set to before
    /// its end.
    pub fn end(&self, now: UnixSeconds, moment: UnixSeconds) {
        self.ended_at.store(now.0, Ordering::Relaxed);
        // `Release` pairs with the `Acquire` below: a mint lane that inserts a token and then finds the
        // identity alive knows that the removal, which ends it first, has yet to clear the cache.
        self.gone_from.fetch_min(moment.0, Ordering::AcqRel);
    }

    /// Whether it gets tokens at `now`.
    pub fn is_alive(&self, now: UnixSeconds) -> bool {
        let gone_from = self.gone_from.load(Ordering::Acquire);
        let is_after_end =
            || self.ended_at.load(Ordering::Relaxed) <= now.0.saturating_add(LEEWAY.0);
        now.0 < gone_from && (gone_from == u64::MAX || is_after_end())
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

/// An identity in the hands of one VM.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its number.
    pub index: HoldingIndex,
    /// The identity.
    pub identity: Arc<Identity>,
}

impl Held {
    fn is_alive(&self, now: UnixSeconds) -> bool {
        self.identity.is_alive(now)
    }
}

/// A virtual machine and the identities that it may use. Does not change: a changed machine is another `Vm`.
#[derive(Debug)]
pub struct Vm {
    /// What is stored of it.
    pub record: Arc<VirtualMachine>,
    /// The tenant that its subscription trusts.
    pub tenant: Arc<Tenant>,
    system_assigned: Option<Held>,
    /// Sorted by client id, so that the commonest selector is a binary search.
    user_assigned: Box<[Held]>,
}

impl Vm {
    /// A machine that may use these identities.
    pub fn new(
        record: Arc<VirtualMachine>,
        tenant: Arc<Tenant>,
        system_assigned: Option<Held>,
        mut user_assigned: Vec<Held>,
    ) -> Self {
        user_assigned.sort_unstable_by_key(|held| held.identity.ids.client_id);
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
    ) -> Result<&Held, SelectError> {
        let Some(selector) = selector else { return self.default_identity(now) };
        let named = self.named(selector).filter(|held| held.is_alive(now));
        named.ok_or(SelectError::NotFound)
    }

    fn default_identity(&self, now: UnixSeconds) -> Result<&Held, SelectError> {
        if let Some(own) = self.system_assigned.as_ref().filter(|own| own.is_alive(now)) {
            return Ok(own);
        }
        let mut living = self.user_assigned.iter().filter(|held| held.is_alive(now));
        match (living.next(), living.next()) {
            (Some(only), None) => Ok(only),
            (None, _) => Err(SelectError::NotFound),
            (Some(_), Some(_)) => Err(SelectError::Ambiguous),
        }
    }

    fn named(&self, selector: &Selector) -> Option<&Held> {
        match selector {
            Selector::ClientId(id) => self.of_client(*id),
            Selector::ObjectId(id) => {
                self.held().find(|held| held.identity.ids.principal_id == *id)
            }
            Selector::ResourceId(id) => {
                self.user_assigned.iter().find(|held| held.identity.resource_id == *id)
            }
        }
    }

    fn of_client(&self, id: ClientId) -> Option<&Held> {
        let client_id = |held: &Held| held.identity.ids.client_id;
        let position = self.user_assigned.binary_search_by_key(&id, client_id);
        let user_assigned = position.ok().and_then(|at| self.user_assigned.get(at));
        let own = || self.system_assigned.as_ref().filter(|own| client_id(own) == id);
        user_assigned.or_else(own)
    }

    /// The identities that it may use, the system-assigned one first; also those that are gone.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.system_assigned.iter().chain(&self.user_assigned)
    }

    /// This very identity, if the VM may use it.
    pub fn holding_of(&self, identity: &Arc<Identity>) -> Option<&Held> {
        let found = self.of_client(identity.ids.client_id);
        found.filter(|held| Arc::ptr_eq(&held.identity, identity))
    }

    /// The holding of this number, if the VM has it.
    pub fn holding(&self, index: HoldingIndex) -> Option<&Held> {
        self.held().find(|held| held.index == index)
    }

    /// Its system-assigned identity.
    pub fn system_assigned(&self) -> Option<&Arc<Identity>> {
        self.system_assigned.as_ref().map(|own| &own.identity)
    }
}
