//! Application of changes to the state.

use std::collections::VecDeque;
use std::sync::Arc;

use super::effective::{ChangeTime, Ended};
use super::error::DirectoryError;
use super::slot::VmSlot;
use super::state::{Principal, RoleAssignmentEntry, State, UserAssignedEntry, VmEntry};
use crate::base::clock::UnixSeconds;
use crate::base::ids::{ArmId, PrincipalId, RoleAssignmentId};
use crate::base::keyed_set::Keyed as _;
use crate::base::synthetic::IdentityIds;
use crate::service::world::record::{
    Application, Change, Credential, DeletedVault, Key, Record, ResourceGroup, RoleAssignment,
    Subscription, UserAssigned, Vault, VirtualMachine,
};
use crate::service::world::vault::vault_address;
use crate::service::world::{
    Address, Held, HoldingIndex, Identity, IdentityIndex, IdentityKind, Meter, Resources, Throttle,
    Vm,
};

impl State {
    /// Builds a state of these records, whatever their order. VMs without limits of their own have those of `throttle`.
    pub(super) fn load(
        mut records: Vec<Record>,
        throttle: Throttle,
    ) -> Result<(Self, Resources), DirectoryError> {
        records.sort_by_key(rank);
        let (mut state, mut resources) =
            (Self { throttle, ..Self::default() }, Resources::default());
        state.reserve(&records);
        let when = ChangeTime { now: UnixSeconds(0), effective: UnixSeconds(0) };
        let mut vms = Vec::new();
        for record in records {
            if let Record::Audience(name) = &record {
                resources.add(name);
            }
            state.check(&record)?;
            match record {
                Record::VirtualMachine(vm) => {
                    let begun = state.begin_vm(vm, None, when).map(|(entry, _)| entry);
                    vms.extend(begun.map(|entry| (entry.vm.record.id.clone(), entry)));
                }
                other => drop(state.put(other, when)),
            }
        }
        // At once: a tree that grows step by step has gaps, and each step searches it.
        state.vms = vms.into_iter().collect();
        // Generating half a million keys would take half a day.
        state.unprovisioned = VecDeque::new();
        Ok((state, resources))
    }

    /// Makes room for what these records add. A set that grows step by step looks at all its values again and again.
    fn reserve(&mut self, records: &[Record]) {
        let (mut vms, mut principals) = (0, 0);
        for record in records {
            match record {
                Record::VirtualMachine(vm) => {
                    vms += 1;
                    principals += usize::from(vm.system_assigned.is_some());
                }
                Record::UserAssigned(_) | Record::Application(_) => principals += 1,
                _ => {}
            }
        }
        self.by_address.reserve(vms);
        self.by_vm_id.reserve(vms);
        self.principals.reserve(principals);
        self.clients.reserve(principals);
    }

    /// Checks that the things which the record names exist.
    fn check(&self, record: &Record) -> Result<(), DirectoryError> {
        let dangling =
            |what: String| DirectoryError::Dangling { key: record.key().to_string(), what };
        match record {
            Record::Subscription(Subscription { tenant, .. })
            | Record::Application(Application { tenant, .. })
                if !self.tenants.contains_key(tenant) =>
            {
                Err(dangling(format!("tenant {tenant}")))
            }
            Record::UserAssigned(UserAssigned { id, .. })
            | Record::VirtualMachine(VirtualMachine { id, .. })
            | Record::Vault(Vault { id, .. })
            | Record::DeletedVault(DeletedVault { vault: Vault { id, .. }, .. })
            | Record::ResourceGroup(ResourceGroup { id, .. })
                if self.tenant_of(id).is_none() =>
            {
                Err(dangling(format!("subscription {}", id.subscription())))
            }
            _ => Ok(()),
        }
    }

    /// Applies a change, and returns what it ended.
    pub(super) fn apply(&mut self, change: Change, when: ChangeTime) -> Vec<Ended> {
        match change {
            Change::Put(record) => self.put(record, when),
            Change::Remove(key) => self.remove(&key, when),
        }
    }

    fn put(&mut self, record: Record, when: ChangeTime) -> Vec<Ended> {
        match record {
            Record::Tenant(tenant) => {
                self.tenants.insert(tenant.id, Arc::new(tenant));
            }
            Record::Subscription(own) => {
                self.subscriptions.insert(own.id, Arc::new(own));
            }
            // The list of resources itself is fixed when the world is opened.
            Record::Audience(name) => {
                self.audiences.insert(name);
            }
            Record::Application(application) => self.put_application(application),
            Record::ResourceGroup(group) => {
                self.groups.insert(group.id.clone(), Arc::new(group));
            }
            Record::UserAssigned(identity) => {
                return self.put_user_assigned(identity, when).into_iter().collect();
            }
            Record::VirtualMachine(vm) => return self.put_vm(vm, when).unwrap_or_default(),
            Record::FormerAddress(former) => {
                self.former_addresses.insert(former.address.to_canonical(), former.vm_id);
            }
            Record::Vault(vault) => self.put_vault(vault),
            Record::DeletedVault(deleted) => {
                self.deleted_vaults.insert(deleted.vault.id.clone(), Arc::new(deleted));
            }
            Record::RoleAssignment(assignment) => self.put_role_assignment(assignment, when),
            Record::Credential(credential) => self.put_credential(credential),
            Record::SigningKey(key) => {
                self.signing_keys.insert(key.kid.clone(), Arc::new(key));
            }
            Record::SecretVersion(version) => self.secrets.put_version(version),
            Record::DeletedSecret(deleted) => self.secrets.put_deleted(deleted),
            Record::KeyVersion(version) => self.keys.put_version(version),
            Record::DeletedKey(deleted) => self.keys.put_deleted(deleted),
        }
        Vec::new()
    }

    fn remove(&mut self, key: &Key, when: ChangeTime) -> Vec<Ended> {
        match key {
            Key::Tenant(id) => {
                self.tenants.remove(id);
            }
            Key::Subscription(id) => {
                self.subscriptions.remove(id);
            }
            Key::Audience(name) => {
                self.audiences.remove(name);
            }
            Key::Application(id) => {
                if let Some(principal) = self.clients.remove(id) {
                    self.principals.remove(principal.key());
                }
            }
            Key::ResourceGroup(id) => {
                self.groups.remove(id);
            }
            Key::UserAssigned(id) => {
                let removed = self.user_assigned.remove(id);
                let ended = removed.map(|entry| self.end(&entry.identity, when));
                return ended.into_iter().collect();
            }
            Key::VirtualMachine(id) => return self.remove_vm(id, when),
            Key::FormerAddress(address) => {
                self.former_addresses.remove(address);
            }
            Key::Vault(id) => self.remove_vault(id),
            Key::DeletedVault(id) => {
                self.deleted_vaults.remove(id);
            }
            Key::RoleAssignment(name) => self.remove_role_assignment(*name),
            Key::Credential(principal, thumbprint) => {
                self.remove_credential(*principal, thumbprint);
            }
            Key::SigningKey(kid) => {
                self.signing_keys.remove(kid);
            }
            Key::SecretVersion(vault, name, version) => {
                self.secrets.remove_version(vault, name, version);
            }
            Key::DeletedSecret(vault, name) => self.secrets.remove_deleted(vault, name),
            Key::KeyVersion(vault, name, version) => self.keys.remove_version(vault, name, version),
            Key::DeletedKey(vault, name) => self.keys.remove_deleted(vault, name),
        }
        Vec::new()
    }

    fn put_vault(&mut self, vault: Vault) {
        let (name, id) = (vault.id.name(), &vault.id);
        self.vaults_by_name.insert(name.to_ascii_lowercase(), id.clone());
        let address = vault_address(name).into();
        let holder = self.vaults_by_address.entry(address).or_insert_with(|| id.clone());
        if *id < *holder {
            holder.clone_from(id);
        }
        self.vaults.insert(id.clone(), Arc::new(vault));
    }

    fn remove_vault(&mut self, id: &ArmId) {
        self.vaults_by_name.remove(&id.name().to_ascii_lowercase());
        let address = vault_address(id.name()).into();
        if self.vaults_by_address.get(&address) == Some(id) {
            self.vaults_by_address.remove(&address);
        }
        self.vaults.remove(id);
    }

    fn put_application(&mut self, application: Application) {
        self.put_principal(&Principal::Application(Arc::new(application)));
    }

    fn put_principal(&mut self, principal: &Principal) {
        self.clients.put(principal.clone());
        self.principals.put(principal.clone());
    }

    fn put_user_assigned(&mut self, record: UserAssigned, when: ChangeTime) -> Option<Ended> {
        let before = self.user_assigned.get(&record.id).map(|entry| Arc::clone(&entry.identity));
        let (kept, ended) = match before {
            Some(identity) if identity.ids == record.ids => (Some(identity), None),
            Some(other) => (None, Some(self.end(&other, when))),
            None => (None, None),
        };
        let identity = match kept {
            Some(identity) => identity,
            None => self.begin(IdentityKind::UserAssigned, record.ids, &record.id)?,
        };
        let id = record.id.clone();
        self.user_assigned.insert(id, UserAssignedEntry { record: Arc::new(record), identity });
        ended
    }

    /// Adds or replaces the machine. Returns `None` when no numbers are left for its identities.
    fn put_vm(&mut self, record: VirtualMachine, when: ChangeTime) -> Option<Vec<Ended>> {
        let before = self.vms.get(&record.id).cloned();
        let (entry, ended) = self.begin_vm(record, before, when)?;
        self.vms.insert(entry.vm.record.id.clone(), entry);
        Some(ended)
    }

    /// Returns the machine with its identities and its slot, and what it ends of the machine that it replaces. The
    /// caller adds it to the machines.
    fn begin_vm(
        &mut self,
        mut record: VirtualMachine,
        before: Option<VmEntry>,
        when: ChangeTime,
    ) -> Option<(VmEntry, Vec<Ended>)> {
        record.location = record.location.shared(&mut self.locations);
        let vm_before = before.as_ref().map(|entry| Arc::clone(&entry.vm));
        let own_before = vm_before.as_ref().and_then(|vm| vm.system_assigned().cloned());
        let mut ended = Vec::new();
        let kept = own_before.filter(|own| {
            let stays = Some(own.ids) == record.system_assigned;
            if !stays {
                ended.push(self.end(own, when));
            }
            stays
        });
        let own = match (kept, record.system_assigned) {
            (None, Some(ids)) => self.begin(IdentityKind::SystemAssigned, ids, &record.id),
            (kept, _) => kept,
        };
        let own = match own {
            Some(own) => Some(self.hold(vm_before.as_deref(), own)?),
            None => None,
        };
        let assigned = self.assigned(&record, vm_before.as_deref())?;
        let (id, address, tenant) =
            (record.id.clone(), record.address, self.tenant_of(&record.id)?);
        let meter = self.meter(&record, vm_before.as_deref());
        let vm = Arc::new(Vm::new(record, tenant, own, assigned, meter));
        let gone = vm_before.iter().flat_map(|before| before.held());
        let gone = gone.filter(|held| vm.holding_of(&held.identity).is_none());
        ended.extend(gone.cloned().map(Ended::Holding));
        let slot = self.slot_for(before, address, &vm, when);
        if let Some(before) = &vm_before {
            self.by_vm_id.remove(&before.record.vm_id);
        }
        self.by_vm_id.put(Arc::clone(&slot));
        if vm.record.listener.is_some() {
            self.own_listeners.insert(id.clone());
        } else {
            self.own_listeners.remove(&id);
        }
        Some((VmEntry { vm, slot }, ended))
    }

    /// Returns the meter of the machine's requests, if they are limited.
    fn meter(&self, record: &VirtualMachine, before: Option<&Vm>) -> Option<Meter> {
        let limits = record.throttle.unwrap_or(self.throttle).limits()?;
        Some(Meter::new(limits, before.and_then(|vm| vm.meter.as_ref())))
    }

    /// Returns the machine's user-assigned identities. An assignment is skipped if its identity was removed,
    /// or created again with another principal.
    fn assigned(&mut self, record: &VirtualMachine, before: Option<&Vm>) -> Option<Vec<Held>> {
        let mut assigned = Vec::with_capacity(record.user_assigned.len());
        for assignment in &record.user_assigned {
            let entry = self.user_assigned.get(&assignment.id);
            let identity = entry.map(|entry| Arc::clone(&entry.identity));
            let same =
                |identity: &Arc<Identity>| identity.ids.principal_id == assignment.principal_id;
            if let Some(identity) = identity.filter(same) {
                assigned.push(self.hold(before, identity)?);
            }
        }
        Some(assigned)
    }

    /// Returns an identity held by a machine. A holding that existed before keeps its number.
    fn hold(&mut self, before: Option<&Vm>, identity: Arc<Identity>) -> Option<Held> {
        if let Some(held) = before.and_then(|vm| vm.holding_of(&identity)) {
            return Some(held.clone());
        }
        Some(Held { index: HoldingIndex(self.number()?), identity })
    }

    /// Returns the slot of a VM. The VM keeps its slot unless its address changed. A VM that is created again under the
    /// same name gets a slot of its own.
    fn slot_for(
        &mut self,
        before: Option<VmEntry>,
        address: Option<Address>,
        vm: &Arc<Vm>,
        when: ChangeTime,
    ) -> Arc<VmSlot> {
        if let Some(entry) = before {
            let old = entry.vm.record.address;
            if old == address && entry.slot.vm_id() == vm.record.vm_id {
                entry.slot.publish(Some(Arc::clone(vm)), when);
                return entry.slot;
            }
            entry.slot.publish(None, ChangeTime { effective: when.now, ..when });
            self.give_up(old, &entry.slot);
        }
        let slot = Arc::new(VmSlot::new(vm.record.vm_id));
        slot.publish(Some(Arc::clone(vm)), when);
        if let Some(address) = address {
            self.by_address.put(address, Arc::clone(&slot));
        }
        slot
    }

    /// Frees the address of the VM of `slot`, unless an earlier change gave it to another VM.
    fn give_up(&mut self, address: Option<Address>, slot: &Arc<VmSlot>) {
        let Some(address) = address else { return };
        if self.by_address.get(address).is_some_and(|held| Arc::ptr_eq(held, slot)) {
            self.by_address.remove(address);
        }
    }

    fn remove_vm(&mut self, id: &ArmId, when: ChangeTime) -> Vec<Ended> {
        let Some(entry) = self.vms.remove(id) else { return Vec::new() };
        self.by_vm_id.remove(&entry.vm.record.vm_id);
        self.own_listeners.remove(id);
        entry.slot.publish(None, when);
        self.give_up(entry.vm.record.address, &entry.slot);
        let own = entry.vm.system_assigned().map(|own| self.end(own, when));
        own.into_iter().chain(entry.vm.held().cloned().map(Ended::Holding)).collect()
    }

    /// Returns a number for an identity or a holding. Four billion suffice for the life of one process.
    fn number(&mut self) -> Option<u32> {
        let number = self.next_number;
        self.next_number = number.checked_add(1)?;
        Some(number)
    }

    fn begin(
        &mut self,
        kind: IdentityKind,
        ids: IdentityIds,
        resource_id: &ArmId,
    ) -> Option<Arc<Identity>> {
        let index = IdentityIndex(self.number()?);
        let tenant = self.tenant_of(resource_id)?;
        let identity = Arc::new(Identity::new(index, kind, ids, tenant, resource_id.clone()));
        self.managed_identities += 1;
        self.unprovisioned.push_back(ids.principal_id);
        self.put_principal(&Principal::ManagedIdentity(Arc::clone(&identity)));
        Some(identity)
    }

    fn end(&mut self, identity: &Arc<Identity>, when: ChangeTime) -> Ended {
        identity.end(when.now, when.effective);
        self.managed_identities = self.managed_identities.saturating_sub(1);
        self.clients.remove(&identity.ids.client_id);
        self.principals.remove(&identity.ids.principal_id);
        Ended::Identity(Arc::clone(identity))
    }

    fn put_role_assignment(&mut self, assignment: RoleAssignment, when: ChangeTime) {
        let before = self.role_assignments.get(&assignment.name).map(Arc::clone);
        self.remove_role_assignment(assignment.name);
        // A new description does not delay grants that are already effective.
        let grants_the_same = |before: &Arc<RoleAssignmentEntry>| {
            let old = &before.record;
            old.scope == assignment.scope
                && old.role == assignment.role
                && old.principal_id == assignment.principal_id
        };
        let when = before.filter(grants_the_same).map_or(when, |before| before.when);
        let entry = Arc::new(RoleAssignmentEntry { when, record: assignment });
        let held = self.role_assignments_of.entry(entry.record.principal_id).or_default();
        held.push(Arc::clone(&entry));
        self.role_assignments.insert(entry.record.name, entry);
    }

    fn remove_role_assignment(&mut self, name: RoleAssignmentId) {
        let Some(gone) = self.role_assignments.remove(&name) else { return };
        let principal_id = gone.record.principal_id;
        if let Some(held) = self.role_assignments_of.get_mut(&principal_id) {
            held.retain(|other| other.record.name != name);
            if held.is_empty() {
                self.role_assignments_of.remove(&principal_id);
            }
        }
    }

    fn put_credential(&mut self, credential: Credential) {
        let held = self.credentials.entry(credential.principal_id).or_default();
        held.retain(|other| other.thumbprint != credential.thumbprint);
        held.push(Arc::new(credential));
        held.sort_by_key(|credential| credential.not_before);
    }

    fn remove_credential(&mut self, principal: PrincipalId, thumbprint: &str) {
        if let Some(held) = self.credentials.get_mut(&principal) {
            held.retain(|credential| credential.thumbprint != thumbprint);
            if held.is_empty() {
                self.credentials.remove(&principal);
            }
        }
    }

    /// Returns the changes that remove the certificates of the identities and applications which `changes`
    /// end.
    pub(super) fn orphans(&self, changes: &[Change]) -> Vec<Change> {
        let ended = changes.iter().filter_map(|change| match change {
            Change::Remove(Key::UserAssigned(id)) => {
                Some(self.user_assigned.get(id)?.identity.ids.principal_id)
            }
            Change::Remove(Key::VirtualMachine(id)) => self.own_principal(id),
            Change::Put(Record::VirtualMachine(vm)) => {
                let own = vm.system_assigned.map(|ids| ids.principal_id);
                self.own_principal(&vm.id).filter(|before| Some(*before) != own)
            }
            Change::Remove(Key::Application(id)) => Some(self.clients.get(id)?.ids().principal_id),
            _ => None,
        });
        let credentials = ended.flat_map(|principal| self.credentials(principal));
        let keys = credentials.map(|own| Key::Credential(own.principal_id, own.thumbprint.clone()));
        keys.map(Change::Remove).collect()
    }

    fn own_principal(&self, vm: &ArmId) -> Option<PrincipalId> {
        Some(self.vms.get(vm)?.vm.system_assigned()?.ids.principal_id)
    }
}

/// Returns the load order of a record: records are loaded after those that they name.
pub(super) const fn rank(record: &Record) -> u8 {
    match record {
        Record::Tenant(_) => 0,
        Record::Subscription(_) => 1,
        Record::Audience(_) | Record::FormerAddress(_) => 2,
        Record::Application(_) | Record::ResourceGroup(_) => 3,
        Record::UserAssigned(_) => 4,
        Record::VirtualMachine(_) => 5,
        Record::Vault(_) | Record::DeletedVault(_) => 6,
        Record::Credential(_) | Record::RoleAssignment(_) | Record::SigningKey(_) => 7,
        Record::SecretVersion(_) | Record::KeyVersion(_) => 8,
        Record::DeletedSecret(_) | Record::DeletedKey(_) => 9,
    }
}
