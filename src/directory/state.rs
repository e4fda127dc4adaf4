//! The maps that hold the world, and what can be asked of them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use super::When;
use super::slot::VmSlot;
use crate::clock::UnixSeconds;
use crate::ids::{
    ArmId, ClientId, PrincipalId, RoleAssignmentId, RoleDefinitionId, SubscriptionId, TenantId,
    VmId,
};
use crate::token::Bearer;
use crate::world::record::{
    Application, Credential, DeletedSecret, DeletedVault, ResourceGroup, RoleAssignment,
    SecretVersion, StoredSigningKey, Subscription, Tenant, UserAssigned, Vault,
};
use crate::world::roles::{self, Action, Grant, Hierarchy, Scope};
use crate::world::synthetic::IdentityIds;
use crate::world::{Address, Identity, Vm};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// The world as it stands. Listings are in the order of resource ids.
#[derive(Debug, Default)]
pub struct State {
    pub(super) tenants: BTreeMap<TenantId, Arc<Tenant>>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Arc<Subscription>>,
    pub(super) groups: BTreeMap<ArmId, Arc<ResourceGroup>>,
    pub(super) user_assigned: BTreeMap<ArmId, UserAssignedEntry>,
    pub(super) vms: BTreeMap<ArmId, VmEntry>,
    pub(super) vaults: BTreeMap<ArmId, Arc<Vault>>,
    /// By their names in lower case.
    pub(super) vaults_by_name: Map<String, ArmId>,
    /// By their own loopback addresses; of two ids with one address, the lesser has it, in any order.
    pub(super) vaults_by_address: BTreeMap<IpAddr, ArmId>,
    pub(super) deleted_vaults: BTreeMap<ArmId, Arc<DeletedVault>>,
    pub(super) secrets: BTreeMap<(ArmId, String), Secret>,
    pub(super) signing_keys: BTreeMap<String, Arc<StoredSigningKey>>,
    pub(super) by_address: Map<Address, Arc<VmSlot>>,
    pub(super) principals: Map<PrincipalId, Principal>,
    pub(super) clients: Map<ClientId, PrincipalId>,
    pub(super) credentials: Map<PrincipalId, Vec<Arc<Credential>>>,
    pub(super) role_assignments: BTreeMap<RoleAssignmentId, Arc<RoleAssignmentEntry>>,
    pub(super) role_assignments_of: Map<PrincipalId, Vec<Arc<RoleAssignmentEntry>>>,
    /// The last VM of each address that a VM has left.
    pub(super) former_addresses: Map<IpAddr, VmId>,
    /// Identities made since the start that have yet to get a certificate, the oldest first.
    pub(super) unprovisioned: VecDeque<PrincipalId>,
    pub(super) next_number: u32,
    pub(super) managed_identities: usize,
}

/// A user-assigned identity.
#[derive(Clone, Debug)]
pub struct UserAssignedEntry {
    /// What is stored of it.
    pub record: Arc<UserAssigned>,
    /// What the broker goes by.
    pub identity: Arc<Identity>,
}

/// A virtual machine.
#[derive(Clone, Debug)]
pub struct VmEntry {
    /// As the control plane shows it; the identity endpoint may lag behind by the propagation delay.
    pub vm: Arc<Vm>,
    pub(super) slot: Arc<VmSlot>,
}

/// A role assignment.
#[derive(Debug)]
pub(super) struct RoleAssignmentEntry {
    /// What is stored of it.
    pub(super) record: RoleAssignment,
    /// From when on it grants anything.
    pub(super) when: When,
}

impl Grant for RoleAssignmentEntry {
    fn role(&self) -> RoleDefinitionId {
        self.record.role
    }

    fn scope(&self) -> &Scope {
        &self.record.scope
    }
}

/// A service principal.
#[derive(Clone, Debug)]
pub enum Principal {
    /// Of an application registration.
    Application(Arc<Application>),
    /// Of a managed identity.
    ManagedIdentity(Arc<Identity>),
}

impl Principal {
    /// Its ids.
    pub fn ids(&self) -> IdentityIds {
        match self {
            Self::Application(application) => IdentityIds {
                client_id: application.client_id,
                principal_id: application.principal_id,
            },
            Self::ManagedIdentity(identity) => identity.ids,
        }
    }

    /// The tenant that it lives in.
    pub fn tenant_id(&self) -> TenantId {
        match self {
            Self::Application(application) => application.tenant,
            Self::ManagedIdentity(identity) => identity.tenant.id,
        }
    }
}

/// A secret: its versions, the oldest first, and whether it is deleted.
#[derive(Clone, Debug, Default)]
pub struct Secret {
    /// In the order in which they were set.
    pub versions: Vec<Arc<SecretVersion>>,
    /// Once it was deleted, until it is recovered or purged.
    pub deleted: Option<Arc<DeletedSecret>>,
}

/// Looking things up.
impl State {
    /// Every tenant.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// A tenant.
    pub fn tenant(&self, id: TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(&id)
    }

    /// The tenant that the subscription of `id` trusts.
    pub fn tenant_of(&self, id: &ArmId) -> Option<Arc<Tenant>> {
        let subscription = self.subscriptions.get(&id.subscription())?;
        self.tenants.get(&subscription.tenant).cloned()
    }

    /// Every subscription.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.subscriptions.values()
    }

    /// A subscription.
    pub fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id)
    }

    /// A resource group.
    pub fn group(&self, id: &ArmId) -> Option<&Arc<ResourceGroup>> {
        self.groups.get(id)
    }

    /// The resource groups whose ids come after `after`, if given, and begin with `prefix`.
    pub fn groups<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a Arc<ResourceGroup>> + use<'a> {
        below(&self.groups, prefix, after)
    }

    /// A user-assigned identity.
    pub fn user_assigned(&self, id: &ArmId) -> Option<&UserAssignedEntry> {
        self.user_assigned.get(id)
    }

    /// The user-assigned identities below `prefix`, a subscription or a resource group.
    pub fn user_assigned_below<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a UserAssignedEntry> + use<'a> {
        below(&self.user_assigned, prefix, after)
    }

    /// A virtual machine.
    pub fn vm(&self, id: &ArmId) -> Option<&VmEntry> {
        self.vms.get(id)
    }

    /// The virtual machines below `prefix`.
    pub fn vms_below<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a VmEntry> + use<'a> {
        below(&self.vms, prefix, after)
    }

    /// How many VMs there are.
    pub fn vm_count(&self) -> usize {
        self.vms.len()
    }

    /// How many managed identities there are.
    pub const fn identity_count(&self) -> usize {
        self.managed_identities
    }

    /// A service principal.
    pub fn principal(&self, id: PrincipalId) -> Option<&Principal> {
        self.principals.get(&id)
    }

    /// Whether the principal of a token is still the one that the token names: a name that is given again
    /// has another principal.
    pub fn knows(&self, bearer: &Bearer) -> bool {
        let ids = IdentityIds { client_id: bearer.client_id, principal_id: bearer.principal_id };
        let is_it = |own: &Principal| own.ids() == ids && own.tenant_id() == bearer.tenant_id;
        self.principal(bearer.principal_id).is_some_and(is_it)
    }

    /// The service principal of a client.
    pub fn client(&self, id: ClientId) -> Option<&Principal> {
        self.principals.get(self.clients.get(&id)?)
    }

    /// The application of a tenant whose client id a resource is, or `api://` and that id, in any case and
    /// with or without a slash at the end of the latter: the resource as its tokens name it.
    pub(super) fn application(&self, resource: &str, tenant: TenantId) -> Option<String> {
        const SCHEME: &str = "api://";
        let scheme = resource.get(..SCHEME.len()).filter(|text| text.eq_ignore_ascii_case(SCHEME));
        let id = if scheme.is_some() { resource.get(SCHEME.len()..)? } else { resource };
        let bare = if scheme.is_some() { id.strip_suffix('/').unwrap_or(id) } else { id };
        let slash = id.get(bare.len()..)?;
        match self.client(bare.parse().ok()?)? {
            Principal::Application(own) if own.tenant == tenant => {
                let scheme = scheme.map_or("", |_| SCHEME);
                Some(format!("{scheme}{}{slash}", own.client_id))
            }
            _ => None,
        }
    }

    /// Every service principal, in no order.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values()
    }

    /// A role assignment.
    pub fn role_assignment(&self, name: RoleAssignmentId) -> Option<&RoleAssignment> {
        self.role_assignments.get(&name).map(|entry| &entry.record)
    }

    /// Every role assignment, by name.
    pub fn role_assignments(&self) -> impl Iterator<Item = &RoleAssignment> {
        self.role_assignments.values().map(|entry| &entry.record)
    }

    /// The role assignments of a principal, which may be gone.
    pub fn role_assignments_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = &RoleAssignment> {
        self.role_assignments_of.get(&principal).into_iter().flatten().map(|entry| &entry.record)
    }

    /// The role assignments of a principal that is there: those of one that is gone count for nobody.
    fn grants_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = &RoleAssignmentEntry> + use<'_> {
        let held = self.role_assignments_of.get(&principal);
        let held = held.filter(|_| self.principals.contains_key(&principal));
        held.into_iter().flatten().map(|entry| &**entry)
    }

    /// The role assignments that count for a principal, or will once they have spread.
    pub fn roles_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = &RoleAssignment> + use<'_> {
        self.grants_of(principal).map(|entry| &entry.record)
    }

    /// The role assignment that lets `principal` do `action` at `scope`, if there is one.
    pub fn permits(
        &self,
        principal: PrincipalId,
        action: Action<'_>,
        scope: &Scope,
        now: UnixSeconds,
    ) -> Option<&RoleAssignment> {
        let effective = self.grants_of(principal).filter(|entry| !entry.when.is_pending(now));
        roles::permits(effective, action, scope, self).map(|entry| &entry.record)
    }

    /// The certificates of a service principal, the oldest first.
    pub fn credentials(&self, principal: PrincipalId) -> &[Arc<Credential>] {
        self.credentials.get(&principal).map_or(&[], Vec::as_slice)
    }

    /// The principals that have a certificate, in no order.
    pub fn certified(&self) -> impl Iterator<Item = PrincipalId> {
        self.credentials.keys().copied()
    }

    /// The keys that tokens are or were signed with.
    pub fn signing_keys(&self) -> impl Iterator<Item = &Arc<StoredSigningKey>> {
        self.signing_keys.values()
    }

    /// A key vault.
    pub fn vault(&self, id: &ArmId) -> Option<&Arc<Vault>> {
        self.vaults.get(id)
    }

    /// The key vault of this name, which no other vault has.
    pub fn vault_named(&self, name: &str) -> Option<&Arc<Vault>> {
        self.vaults.get(self.vaults_by_name.get(&name.to_ascii_lowercase())?)
    }

    /// The key vault whose own loopback address this is.
    pub fn vault_at(&self, address: IpAddr) -> Option<&Arc<Vault>> {
        self.vaults.get(self.vaults_by_address.get(&address)?)
    }

    /// The loopback addresses of all key vaults, in order.
    pub fn vault_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.vaults_by_address.keys().copied()
    }

    /// Every deleted key vault, by the id that it had.
    pub fn deleted_vaults(&self) -> impl Iterator<Item = &Arc<DeletedVault>> {
        self.deleted_vaults.values()
    }

    /// The key vaults below `prefix`.
    pub fn vaults_below<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a Arc<Vault>> + use<'a> {
        below(&self.vaults, prefix, after)
    }

    /// Every key vault.
    pub fn vaults(&self) -> impl Iterator<Item = &Arc<Vault>> {
        self.vaults.values()
    }

    /// A secret of a vault; names ignore case.
    pub fn secret(&self, vault: &ArmId, name: &str) -> Option<&Secret> {
        self.secrets.get(&(vault.clone(), name.to_lowercase()))
    }

    /// The secrets of a vault, by name.
    pub fn secrets<'a>(&'a self, vault: &'a ArmId) -> impl Iterator<Item = (&'a str, &'a Secret)> {
        self.secrets_after(vault, "")
    }

    /// The secrets of a vault whose names come after `after`, which is in lower case, by name.
    pub fn secrets_after<'a>(
        &'a self,
        vault: &'a ArmId,
        after: &str,
    ) -> impl Iterator<Item = (&'a str, &'a Secret)> + use<'a> {
        let from = (Bound::Excluded((vault.clone(), after.to_owned())), Bound::Unbounded);
        let own = self.secrets.range(from).take_while(move |((other, _), _)| other == vault);
        own.map(|((_, name), secret)| (name.as_str(), secret))
    }

    /// The secrets of all vaults.
    pub fn all_secrets(&self) -> impl Iterator<Item = &Secret> {
        self.secrets.values()
    }
}

/// Management groups are named by the subscriptions in them.
impl Hierarchy for State {
    fn above_subscription(&self, subscription: SubscriptionId) -> impl Iterator<Item = &str> {
        let subscription = self.subscriptions.get(&subscription);
        subscription.into_iter().flat_map(|own| &own.management_groups).map(String::as_str)
    }

    fn above_management_group(&self, management_group: &str) -> impl Iterator<Item = &str> {
        let at = |own: &Arc<Subscription>| {
            own.management_groups
                .iter()
                .position(|name| name.eq_ignore_ascii_case(management_group))
        };
        let below = self.subscriptions.values().find_map(|own| Some((own, at(own)?)));
        let above = below.and_then(|(own, at)| own.management_groups.get(at + 1..));
        above.unwrap_or_default().iter().map(String::as_str)
    }
}

/// The values whose keys lie below `prefix` and after `after`.
fn below<'a, V>(
    map: &'a BTreeMap<ArmId, V>,
    prefix: &'a ArmId,
    after: Option<&ArmId>,
) -> impl Iterator<Item = &'a V> + use<'a, V> {
    let from = after.map_or_else(
        || Bound::Included(prefix.first_below()),
        |after| Bound::Excluded(after.clone()),
    );
    let range = map.range((from, Bound::Unbounded));
    range.take_while(move |(id, _)| id.is_below(prefix)).map(|(_, value)| value)
}
