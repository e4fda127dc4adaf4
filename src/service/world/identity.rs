//! Identities, and the choice of the identity that a virtual machine uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::record::{Tenant, VirtualMachine};
use super::throttle::Meter;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::{ArmId, ClientId, PrincipalId};
use crate::base::synthetic::IdentityIds;

/// Number of an identity in its world. The number of a deleted identity is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdentityIndex(pub u32);

/// Number of an identity as held by one VM, never used again once the VM has lost the identity. The tokens of
/// an identity name the VM that asked, so each VM has its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HoldingIndex(pub u32);

/// Kind of an identity, which determines its lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// Created with a VM and deleted with it.
    SystemAssigned,
    /// An independent resource, assigned to any number of VMs.
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
    /// Tenant of the identity.
    pub tenant: Arc<Tenant>,
    /// The VM (system-assigned) or the identity itself (user-assigned), as in `xms_mirid`.
    pub resource_id: ArmId,
    ended_at: AtomicU64,
    gone_from: AtomicU64,
}

/// Tolerance for a clock that is set back. A smaller step does not bring the end of an identity forward.
const LEEWAY: Seconds = Seconds(300);

impl Identity {
    /// Creates an identity that has not ended.
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

    /// Ends the identity at `now`. It gets no token from `moment` on, nor when the clock is set to before its
    /// end.
    pub fn end(&self, now: UnixSeconds, moment: UnixSeconds) {
        self.ended_at.store(now.0, Ordering::Relaxed);
        // `Release` pairs with the `Acquire` below. A mint lane inserts a token and then checks that the
        // identity is alive. If it is, the removal, which ends the identity first, clears the cache later.
        self.gone_from.fetch_min(moment.0, Ordering::AcqRel);
    }

    /// Returns true if the identity gets tokens at `now`.
    pub fn is_alive(&self, now: UnixSeconds) -> bool {
        let gone_from = self.gone_from.load(Ordering::Acquire);
        let is_after_end =
            || self.ended_at.load(Ordering::Relaxed) <= now.0.saturating_add(LEEWAY.0);
        now.0 < gone_from && (gone_from == u64::MAX || is_after_end())
    }
}

/// Selection of one of a VM's identities in a token request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By `client_id`.
    ClientId(ClientId),
    /// By `object_id`.
    ObjectId(PrincipalId),
    /// By `msi_res_id` (or the older `mi_res_id`), for user-assigned identities only.
    ResourceId(ArmId),
}

/// Reason why no identity is selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectError {
    /// The VM does not have the named identity, or has no identity. The error does not reveal whether another
    /// VM has it.
    #[error("identity not found on the calling virtual machine")]
    NotFound,
    /// No selector, no system-assigned identity, and more than one user-assigned.
    #[error("several user-assigned identities and no selector")]
    Ambiguous,
}

/// An identity as held by one VM.
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

/// A virtual machine and the identities that it may use. Immutable: a changed machine is another `Vm`.
#[derive(Debug)]
pub struct Vm {
    /// Its stored record.
    pub record: VirtualMachine,
    /// The tenant that its subscription trusts.
    pub tenant: Arc<Tenant>,
    /// Meter of its requests, if they are limited.
    pub meter: Option<Meter>,
    system_assigned: Option<Held>,
    /// With their client ids and sorted by them, so that the most common selector is a binary search that follows no
    /// pointers.
    user_assigned: Box<[(ClientId, Held)]>,
}

impl Vm {
    /// Creates a machine that may use these identities.
    pub fn new(
        record: VirtualMachine,
        tenant: Arc<Tenant>,
        system_assigned: Option<Held>,
        user_assigned: Vec<Held>,
        meter: Option<Meter>,
    ) -> Self {
        let named = user_assigned.into_iter().map(|held| (held.identity.ids.client_id, held));
        let mut user_assigned: Box<[_]> = named.collect();
        user_assigned.sort_unstable_by_key(|(client_id, _)| *client_id);
        Self { record, tenant, meter, system_assigned, user_assigned }
    }

    /// Returns the identity that `selector` names. Without a selector, returns the one that IMDS picks: the
    /// system-assigned identity, else the only user-assigned one (Azure managed identities FAQ).
    ///
    /// # Errors
    /// Returns `NotFound` when the VM does not hold the identity or it was deleted, and `Ambiguous` when a
    /// selector is needed.
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
        let user_assigned = self.user_assigned.iter().map(|(_, held)| held);
        let mut living = user_assigned.filter(|held| held.is_alive(now));
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
                let mut user_assigned = self.user_assigned.iter().map(|(_, held)| held);
                user_assigned.find(|held| held.identity.resource_id == *id)
            }
        }
    }

    fn of_client(&self, id: ClientId) -> Option<&Held> {
        let position = self.user_assigned.binary_search_by_key(&id, |(client_id, _)| *client_id);
        let user_assigned = position.ok().and_then(|at| self.user_assigned.get(at));
        let own = || self.system_assigned.as_ref().filter(|own| own.identity.ids.client_id == id);
        user_assigned.map(|(_, held)| held).or_else(own)
    }

    /// Returns the identities of the VM, the system-assigned one first. Deleted identities are included.
    pub fn held(&self) -> impl Iterator<Item = &Held> {
        self.system_assigned.iter().chain(self.user_assigned.iter().map(|(_, held)| held))
    }

    /// Returns the holding of this very identity, if the VM may use it.
    pub fn holding_of(&self, identity: &Arc<Identity>) -> Option<&Held> {
        let found = self.of_client(identity.ids.client_id);
        found.filter(|held| Arc::ptr_eq(&held.identity, identity))
    }

    /// Returns the holding of this number, if the VM has it.
    pub fn holding(&self, index: HoldingIndex) -> Option<&Held> {
        self.held().find(|held| held.index == index)
    }

    /// Returns its system-assigned identity.
    pub fn system_assigned(&self) -> Option<&Arc<Identity>> {
        self.system_assigned.as_ref().map(|own| &own.identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_ends_at_its_moment_and_is_not_there_before_its_end_was_decided() {
        let tenant =
            Tenant { id: crate::base::ids::TenantId::from_bytes([1; 16]), created: UnixSeconds(0) };
        let ids = IdentityIds {
            client_id: ClientId::from_bytes([2; 16]),
            principal_id: PrincipalId::from_bytes([3; 16]),
        };
        let id = "/subscriptions/00000000-0000-4000-8000-0000000000b1/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";
        let kind = IdentityKind::UserAssigned;
        let identity =
            Identity::new(IdentityIndex(0), kind, ids, Arc::new(tenant), id.parse().unwrap());
        assert!(identity.is_alive(UnixSeconds(0)) && identity.is_alive(UnixSeconds(u64::MAX - 1)));
        identity.end(UnixSeconds(1000), UnixSeconds(2000));
        assert!(identity.is_alive(UnixSeconds(1999)));
        for now in [2000, 2001, u64::MAX] {
            assert!(!identity.is_alive(UnixSeconds(now)), "{now}");
        }
        // A clock that is set back a little brings the end no nearer, and one that is set back far ends it.
        assert!(identity.is_alive(UnixSeconds(700)));
        assert!(!identity.is_alive(UnixSeconds(699)));
    }
}
