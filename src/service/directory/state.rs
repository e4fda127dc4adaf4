//! Maps that hold the world, and their queries.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::ops::Bound;
use std::sync::Arc;

use super::effective::ChangeTime;
use super::objects::{Object, Objects};
use super::slot::{Addresses, VmSlot};
use crate::base::clock::UnixSeconds;
use crate::base::ids::{
    ArmId, ClientId, PrincipalId, RoleAssignmentId, RoleDefinitionId, SubscriptionId, TenantId,
    VmId,
};
use crate::base::keyed_set::{Keyed, KeyedSet};
use crate::base::synthetic::IdentityIds;
use crate::service::token::Bearer;
use crate::service::world::federation::FederatedCredential;
use crate::service::world::record::{
    Application, Credential, DeletedVault, KeyContent, Location, ResourceGroup, RoleAssignment,
    SecretContent, StoredSigningKey, Subscription, Tenant, UserAssigned, Vault,
};
use crate::service::world::roles;
use crate::service::world::roles::{Action, Grant, Hierarchy, Scope};
use crate::service::world::{Identity, Throttle, Vm};

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Current state of the world. Listings are in the order of resource ids.
#[derive(Debug, Default)]
pub struct State {
    pub(super) tenants: BTreeMap<TenantId, Arc<Tenant>>,
    pub(super) subscriptions: BTreeMap<SubscriptionId, Arc<Subscription>>,
    /// Resources of tokens that the world adds, effective or not.
    pub(super) audiences: BTreeSet<String>,
    pub(super) groups: BTreeMap<ArmId, Arc<ResourceGroup>>,
    pub(super) user_assigned: BTreeMap<ArmId, UserAssignedEntry>,
    pub(super) vms: BTreeMap<ArmId, VmEntry>,
    /// VMs that have a listener of their own.
    pub(super) own_listeners: BTreeSet<ArmId>,
    pub(super) vaults: BTreeMap<ArmId, Arc<Vault>>,
    /// Vault ids by the vaults' names in lower case.
    pub(super) vaults_by_name: Map<String, ArmId>,
    /// Vault ids by the vaults' own loopback addresses. If two vaults have one address, the lesser id has it,
    /// whatever their order.
    pub(super) vaults_by_address: BTreeMap<IpAddr, ArmId>,
    pub(super) deleted_vaults: BTreeMap<ArmId, Arc<DeletedVault>>,
    pub(super) secrets: Objects<SecretContent>,
    /// Keys in vaults.
    pub(super) keys: Objects<KeyContent>,
    pub(super) signing_keys: BTreeMap<String, Arc<StoredSigningKey>>,
    pub(super) by_address: Addresses,
    /// Slots of all VMs by the VMs' own ids.
    pub(super) by_vm_id: KeyedSet<VmId, Arc<VmSlot>>,
    pub(super) principals: KeyedSet<PrincipalId, Principal>,
    pub(super) clients: KeyedSet<ClientId, Principal>,
    pub(super) credentials: Map<PrincipalId, Vec<Arc<Credential>>>,
    pub(super) role_assignments: BTreeMap<RoleAssignmentId, Arc<RoleAssignmentEntry>>,
    pub(super) role_assignments_of: Map<PrincipalId, Vec<Arc<RoleAssignmentEntry>>>,
    /// Last VM of each address that a VM has left.
    pub(super) former_addresses: Map<IpAddr, VmId>,
    /// Identities created since the start that still need a certificate, the oldest first.
    pub(super) unprovisioned: VecDeque<PrincipalId>,
    /// Regions of the VMs.
    pub(super) locations: HashSet<Location>,
    pub(super) next_number: u32,
    pub(super) managed_identities: usize,
    /// Limits of the VMs that have none of their own.
    pub(super) throttle: Throttle,
}

/// A user-assigned identity.
#[derive(Clone, Debug)]
pub struct UserAssignedEntry {
    /// Record in the store.
    pub record: Arc<UserAssigned>,
    /// Identity for the broker.
    pub identity: Arc<Identity>,
}

/// A virtual machine.
#[derive(Clone, Debug)]
pub struct VmEntry {
    /// VM as the control plane shows it. The identity endpoint may lag behind by the propagation delay.
    pub vm: Arc<Vm>,
    pub(super) slot: Arc<VmSlot>,
}

/// A role assignment.
#[derive(Debug)]
pub(super) struct RoleAssignmentEntry {
    /// Record in the store.
    pub(super) record: RoleAssignment,
    /// Time from which the assignment grants anything.
    pub(super) when: ChangeTime,
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
    /// The service principal of an application registration.
    Application(Arc<Application>),
    /// The service principal of a managed identity.
    ManagedIdentity(Arc<Identity>),
}

impl Principal {
    /// Returns its ids.
    pub fn ids(&self) -> IdentityIds {
        match self {
            Self::Application(application) => IdentityIds {
                client_id: application.client_id,
                principal_id: application.principal_id,
            },
            Self::ManagedIdentity(identity) => identity.ids,
        }
    }

    /// Returns the id of its tenant.
    pub fn tenant_id(&self) -> TenantId {
        match self {
            Self::Application(application) => application.tenant,
            Self::ManagedIdentity(identity) => identity.tenant.id,
        }
    }
}

impl Keyed<PrincipalId> for Principal {
    fn key(&self) -> &PrincipalId {
        match self {
            Self::Application(application) => &application.principal_id,
            Self::ManagedIdentity(identity) => &identity.ids.principal_id,
        }
    }
}

impl Keyed<ClientId> for Principal {
    fn key(&self) -> &ClientId {
        match self {
            Self::Application(application) => &application.client_id,
            Self::ManagedIdentity(identity) => &identity.ids.client_id,
        }
    }
}

/// Queries.
impl State {
    /// Returns every tenant.
    pub fn tenants(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.tenants.values()
    }

    /// Returns a tenant.
    pub fn tenant(&self, id: TenantId) -> Option<&Arc<Tenant>> {
        self.tenants.get(&id)
    }

    /// Returns the tenant of the subscription that `id` is in.
    pub fn tenant_of(&self, id: &ArmId) -> Option<Arc<Tenant>> {
        let subscription = self.subscriptions.get(&id.subscription())?;
        self.tenants.get(&subscription.tenant).cloned()
    }

    /// Returns every subscription.
    pub fn subscriptions(&self) -> impl Iterator<Item = &Arc<Subscription>> {
        self.subscriptions.values()
    }

    /// Returns a subscription.
    pub fn subscription(&self, id: SubscriptionId) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&id)
    }

    /// Returns a resource group.
    pub fn group(&self, id: &ArmId) -> Option<&Arc<ResourceGroup>> {
        self.groups.get(id)
    }

    /// Returns the resource groups whose ids begin with `prefix` and come after `after`, if given.
    pub fn groups<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a Arc<ResourceGroup>> + use<'a> {
        below(&self.groups, prefix, after)
    }

    /// Returns a user-assigned identity.
    pub fn user_assigned(&self, id: &ArmId) -> Option<&UserAssignedEntry> {
        self.user_assigned.get(id)
    }

    /// Returns the user-assigned identities below `prefix`, a subscription or a resource group, whose ids
    /// come after `after`, if given.
    pub fn user_assigned_below<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a UserAssignedEntry> + use<'a> {
        below(&self.user_assigned, prefix, after)
    }

    /// Returns a virtual machine.
    pub fn vm(&self, id: &ArmId) -> Option<&VmEntry> {
        self.vms.get(id)
    }

    /// Returns the virtual machines below `prefix` whose ids come after `after`, if given.
    pub fn vms_below<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a VmEntry> + use<'a> {
        below(&self.vms, prefix, after)
    }

    /// Returns every virtual machine, in the order of resource ids.
    pub fn vms(&self) -> impl Iterator<Item = &VmEntry> {
        self.vms.values()
    }

    /// Returns the slot of a VM, by the VM's own id.
    pub(super) fn slot_of(&self, vm_id: VmId) -> Option<Arc<VmSlot>> {
        self.by_vm_id.get(&vm_id).cloned()
    }

    /// Returns the number of VMs.
    pub fn vm_count(&self) -> usize {
        self.vms.len()
    }

    /// Returns the number of managed identities.
    pub const fn identity_count(&self) -> usize {
        self.managed_identities
    }

    /// Returns a service principal.
    pub fn principal(&self, id: PrincipalId) -> Option<&Principal> {
        self.principals.get(&id)
    }

    /// Returns true if the principal of a token still exists with the same ids and tenant. A resource that is
    /// created again under its old name has another principal.
    pub fn knows(&self, bearer: &Bearer) -> bool {
        let ids = IdentityIds { client_id: bearer.client_id, principal_id: bearer.principal_id };
        let is_it = |own: &Principal| own.ids() == ids && own.tenant_id() == bearer.tenant_id;
        self.principal(bearer.principal_id).is_some_and(is_it)
    }

    /// Returns the service principal of a client.
    pub fn client(&self, id: ClientId) -> Option<&Principal> {
        self.clients.get(&id)
    }

    /// Returns an application's resource name, in the form that its tokens use. `resource` must be the client
    /// id of an application of `tenant`, or `api://` and the client id. Case is ignored; the second form may
    /// end in a slash, which is kept.
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

    /// Returns the tokens of other issuers that prove a service principal. Only user-assigned identities have any.
    pub fn federated_credentials(&self, principal: &Principal) -> &[FederatedCredential] {
        let Principal::ManagedIdentity(identity) = principal else { return &[] };
        let entry = self.user_assigned.get(&identity.resource_id);
        let entry = entry.filter(|entry| entry.identity.ids == identity.ids);
        entry.map_or(&[], |entry| entry.record.federated_credentials.as_slice())
    }

    /// Returns every service principal, in no order.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.principals.values()
    }

    /// Returns a role assignment.
    pub fn role_assignment(&self, name: RoleAssignmentId) -> Option<&RoleAssignment> {
        self.role_assignments.get(&name).map(|entry| &entry.record)
    }

    /// Returns every role assignment, by name.
    pub fn role_assignments(&self) -> impl Iterator<Item = &RoleAssignment> {
        self.role_assignments.values().map(|entry| &entry.record)
    }

    /// Returns the role assignments of a principal, which may no longer exist.
    pub fn role_assignments_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = &RoleAssignment> {
        self.role_assignments_of.get(&principal).into_iter().flatten().map(|entry| &entry.record)
    }

    /// Returns the role assignments of a principal that exists. Those of a removed principal grant nothing.
    fn grants_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = &RoleAssignmentEntry> + use<'_> {
        let held = self.role_assignments_of.get(&principal);
        let held = held.filter(|_| self.principals.contains(&principal));
        held.into_iter().flatten().map(|entry| &**entry)
    }

    /// Returns the role assignments that grant something to a principal now or after the propagation delay.
    pub fn roles_of(
        &self,
        principal: PrincipalId,
    ) -> impl Iterator<Item = &RoleAssignment> + use<'_> {
        self.grants_of(principal).map(|entry| &entry.record)
    }

    /// Returns the role assignment that permits `principal` to do `action` at `scope`, if there is one.
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

    /// Returns the certificates of a service principal, the oldest first.
    pub fn credentials(&self, principal: PrincipalId) -> &[Arc<Credential>] {
        self.credentials.get(&principal).map_or(&[], Vec::as_slice)
    }

    /// Returns the principals that have a certificate, in no order.
    pub fn certified(&self) -> impl Iterator<Item = PrincipalId> {
        self.credentials.keys().copied()
    }

    /// Returns the stored signing keys: retired, current and next.
    pub fn signing_keys(&self) -> impl Iterator<Item = &Arc<StoredSigningKey>> {
        self.signing_keys.values()
    }

    /// Returns a key vault.
    pub fn vault(&self, id: &ArmId) -> Option<&Arc<Vault>> {
        self.vaults.get(id)
    }

    /// Returns the key vault of this name. Names of vaults are unique.
    pub fn vault_named(&self, name: &str) -> Option<&Arc<Vault>> {
        self.vaults.get(self.vaults_by_name.get(&name.to_ascii_lowercase())?)
    }

    /// Returns the key vault with this loopback address.
    pub fn vault_at(&self, address: IpAddr) -> Option<&Arc<Vault>> {
        self.vaults.get(self.vaults_by_address.get(&address)?)
    }

    /// Returns the loopback addresses of all key vaults, in order.
    pub fn vault_addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.vaults_by_address.keys().copied()
    }

    /// Returns every deleted key vault, by its former id.
    pub fn deleted_vaults(&self) -> impl Iterator<Item = &Arc<DeletedVault>> {
        self.deleted_vaults.values()
    }

    /// Returns the key vaults below `prefix` whose ids come after `after`, if given.
    pub fn vaults_below<'a>(
        &'a self,
        prefix: &'a ArmId,
        after: Option<&ArmId>,
    ) -> impl Iterator<Item = &'a Arc<Vault>> + use<'a> {
        below(&self.vaults, prefix, after)
    }

    /// Returns every key vault.
    pub fn vaults(&self) -> impl Iterator<Item = &Arc<Vault>> {
        self.vaults.values()
    }

    /// Returns a secret of a vault. Names ignore case.
    pub fn secret(&self, vault: &ArmId, name: &str) -> Option<&Object<SecretContent>> {
        self.secrets.get(vault, name)
    }

    /// Returns the secrets of all vaults.
    pub fn all_secrets(&self) -> impl Iterator<Item = &Object<SecretContent>> {
        self.secrets.all()
    }

    /// Returns a key of a vault. Names ignore case.
    pub fn key(&self, vault: &ArmId, name: &str) -> Option<&Object<KeyContent>> {
        self.keys.get(vault, name)
    }

    /// Returns the keys of all vaults.
    pub fn all_keys(&self) -> impl Iterator<Item = &Object<KeyContent>> {
        self.keys.all()
    }
}

/// Hierarchy of scopes. Each subscription lists its management groups, from the innermost to the outermost.
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

/// Returns the values whose keys lie below `prefix` and come after `after`.
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
