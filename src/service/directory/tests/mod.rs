mod addresses;
mod disk;
mod doubt;
mod holdings;
mod keys;

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::{ArmId, ClientId, PrincipalId, RoleAssignmentId, TenantId, VmId};
use crate::base::synthetic::{IdentityIds, Synthetic};
use crate::service::store::{Format, MemoryStore, Revision, Store};
use crate::service::token::Algorithm;
use crate::service::world::record::{
    Application, Change, Credential, Key, Record, RoleAssignment, Tags, Tenant, UserAssigned,
    VirtualMachine,
};
use crate::service::world::roles;
use crate::service::world::roles::{Action, Scope};
use crate::service::world::tests::PREFIX;
use crate::service::world::{Address, IdentityKind, SelectError, Selector, Vm, file};

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

/// Returns a directory in memory of this world, which signs with ES256.
pub(crate) fn of(records: Vec<Record>, propagation_delay: Seconds) -> Directory {
    open(Box::new(MemoryStore::default()), records, propagation_delay)
}

pub(crate) fn open(
    store: Box<dyn Store>,
    records: Vec<Record>,
    propagation_delay: Seconds,
) -> Directory {
    let options = DirectoryOptions::for_tests(propagation_delay);
    Directory::open::<DirectoryError>(store, || Ok(records), NOW, &options).unwrap()
}

/// Returns a directory of the world of `demo.toml`.
pub(crate) fn demo() -> Directory {
    of(file::demo().unwrap(), Seconds(0))
}

/// Returns a directory of one VM with the identities of `identity_lines`.
fn world(identity_lines: &str) -> Directory {
    let text = format!("{PREFIX}{identity_lines}");
    of(file::parse("test.toml", &text).unwrap(), Seconds(0))
}

fn sole_vm(directory: &Directory) -> Arc<Vm> {
    let caller = directory.caller([127, 0, 0, 1].into());
    caller.with_vm(directory, NOW, Arc::clone).unwrap()
}

/// Returns the name of the identity that is selected without a selector.
fn picked(identity_lines: &str) -> Result<String, SelectError> {
    let vm = sole_vm(&world(identity_lines));
    vm.select(None, NOW).map(|held| held.identity.resource_id.name().to_owned())
}

pub(crate) fn put(directory: &Directory, record: Record) {
    change(directory, Change::Put(record));
}

pub(crate) fn change(directory: &Directory, change: Change) {
    directory.write(NOW, |_, _| Ok::<_, StoreError>((vec![change], ()))).unwrap();
}

#[test]
fn without_a_selector_the_system_assigned_identity_wins() {
    assert_eq!(picked("system_assigned = true\nuser_assigned = ['a', 'b']"), Ok("vm".to_owned()));
}

#[test]
fn without_a_selector_the_only_user_assigned_identity_is_taken() {
    assert_eq!(picked("user_assigned = ['b']"), Ok("b".to_owned()));
}

#[test]
fn several_user_assigned_identities_need_a_selector() {
    assert_eq!(picked("user_assigned = ['a', 'b']"), Err(SelectError::Ambiguous));
}

#[test]
fn a_vm_without_identities_has_none_to_select() {
    assert_eq!(picked(""), Err(SelectError::NotFound));
}

#[test]
fn every_selector_finds_what_the_vm_holds_and_nothing_else() {
    let directory = world("system_assigned = true\nuser_assigned = ['a']");
    let vm = sole_vm(&directory);
    let held: Vec<_> = vm.held().map(|held| held.identity.index).collect();
    assert_eq!((held.len(), directory.read().identity_count()), (2, 3));
    for principal in directory.read().principals() {
        let Principal::ManagedIdentity(identity) = principal else { continue };
        let found = |selector| vm.select(Some(&selector), NOW).map(|held| held.identity.index);
        let expected = if held.contains(&identity.index) {
            Ok(identity.index)
        } else {
            Err(SelectError::NotFound)
        };
        assert_eq!(found(Selector::ClientId(identity.ids.client_id)), expected);
        assert_eq!(found(Selector::ObjectId(identity.ids.principal_id)), expected);
        let by_resource = found(Selector::ResourceId(identity.resource_id.clone()));
        assert_eq!(
            by_resource.is_ok(),
            expected.is_ok() && identity.kind == IdentityKind::UserAssigned
        );
    }
}

/// Returns the name of the VM that answers a caller.
fn answers(directory: &Directory, caller: &Caller) -> Option<String> {
    caller.with_vm(directory, NOW, |vm| vm.record.id.name().to_owned())
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

#[test]
fn the_only_vm_answers_at_its_own_address_and_nowhere_else() {
    let directory = demo();
    let from = |address: [u8; 4]| answers(&directory, &directory.caller(address.into()));
    assert_eq!(from([127, 0, 0, 1]).as_deref(), Some("demo-vm"));
    assert_eq!((from([127, 0, 0, 2]), from([10, 0, 0, 4])), (None, None));
}

#[test]
fn a_vm_that_answers_any_caller_leaves_other_vms_theirs_also_on_an_old_connection() {
    let directory = demo();
    let demo = VirtualMachine::clone(&sole_vm(&directory).record);
    let any = VirtualMachine { address: Some(address("any")), ..demo.clone() };
    put(&directory, Record::VirtualMachine(any));
    let [own, other, remote] =
        [[127, 0, 0, 1], [127, 0, 0, 2], [10, 0, 0, 4]].map(|ip| directory.caller(ip.into()));
    // The former address of this VM does not count as another VM's.
    for caller in [&own, &other, &remote] {
        assert_eq!(answers(&directory, caller).as_deref(), Some("demo-vm"));
    }
    let second = VirtualMachine {
        id: format!("{}-2", demo.id).parse().unwrap(),
        vm_id: VmId::from_bytes([2; 16]),
        address: Some(address("127.0.0.2")),
        system_assigned: None,
        ..demo
    };
    put(&directory, Record::VirtualMachine(second.clone()));
    assert_eq!(answers(&directory, &other).as_deref(), Some("demo-vm-2"));
    assert_eq!(answers(&directory, &own).as_deref(), Some("demo-vm"));
    change(&directory, Change::Remove(Key::VirtualMachine(second.id)));
    // A program at the former address of the second VM does not get the first VM's identity.
    assert_eq!(answers(&directory, &other), None);
    assert_eq!(answers(&directory, &directory.caller([127, 0, 0, 2].into())), None);
    assert_eq!(answers(&directory, &remote).as_deref(), Some("demo-vm"));
}

#[test]
fn an_identity_keeps_its_number_in_the_hands_of_a_vm_until_the_vm_loses_it() {
    let directory = world("system_assigned = true\nuser_assigned = ['a', 'b']");
    let numbers = || sole_vm(&directory).held().map(|held| held.index).collect::<Vec<_>>();
    let before = numbers();
    let record = VirtualMachine::clone(&sole_vm(&directory).record);
    put(&directory, Record::VirtualMachine(record.clone()));
    assert_eq!(numbers(), before);
    let without = VirtualMachine { user_assigned: Vec::new(), ..record.clone() };
    put(&directory, Record::VirtualMachine(without));
    put(&directory, Record::VirtualMachine(record));
    let after = numbers();
    assert_eq!(after[0], before[0]);
    assert!(!before.contains(&after[1]) && !before.contains(&after[2]));
}

#[test]
fn a_vm_that_moves_to_another_address_is_no_longer_found_at_the_old_one() {
    let seed = Synthetic { vms: 2, user_assigned: 0, seed: 1 }.build().unwrap();
    let directory = of(seed, Seconds(0));
    let old = directory.caller([127, 1, 0, 1].into());
    let record = old.with_vm(&directory, NOW, |vm| VirtualMachine::clone(&vm.record)).unwrap();
    let address = Some(address("127.9.9.9"));
    put(&directory, Record::VirtualMachine(VirtualMachine { address, ..record }));
    assert!(old.with_vm(&directory, NOW, |_| ()).is_none());
    assert!(directory.caller([127, 9, 9, 9].into()).with_vm(&directory, NOW, |_| ()).is_some());
}

#[test]
fn a_vm_that_is_created_again_is_found_by_its_new_id_only() {
    let directory = world("system_assigned = true");
    let old = sole_vm(&directory).record.clone();
    let vm_id = VmId::from_bytes([9; 16]);
    put(&directory, Record::VirtualMachine(VirtualMachine { vm_id, ..old.clone() }));
    let called = |vm_id| {
        let caller = Caller::of_vm(vm_id, [127, 0, 0, 1].into());
        caller.with_vm(&directory, NOW, |vm| vm.record.vm_id)
    };
    assert_eq!(called(old.vm_id), None);
    assert_eq!(called(vm_id), Some(vm_id));
    change(&directory, Change::Remove(Key::VirtualMachine(old.id)));
    assert_eq!(called(vm_id), None);
}

#[test]
fn a_deleted_identity_is_gone_from_every_vm_and_one_of_the_same_name_inherits_nothing() {
    let directory = world("user_assigned = ['a']");
    let vm = sole_vm(&directory);
    let identity = Arc::clone(&vm.select(None, NOW).unwrap().identity);
    let entry = directory.read().user_assigned(&identity.resource_id).unwrap().clone();
    change(&directory, Change::Remove(Key::UserAssigned(identity.resource_id.clone())));
    assert!(directory.read().client(identity.ids.client_id).is_none());
    assert_eq!(sole_vm(&directory).select(None, NOW).unwrap_err(), SelectError::NotFound);
    let ids =
        directory.write(NOW, |_, fresh| Ok::<_, StoreError>((Vec::new(), fresh.identity_ids())));
    let again = UserAssigned { ids: ids.unwrap(), ..UserAssigned::clone(&entry.record) };
    put(&directory, Record::UserAssigned(again));
    assert_eq!(sole_vm(&directory).select(None, NOW).unwrap_err(), SelectError::NotFound);
    // Writing the machine again, unchanged, does not help: the assignment names the old principal.
    put(&directory, Record::VirtualMachine(VirtualMachine::clone(&vm.record)));
    assert_eq!(sole_vm(&directory).select(None, NOW).unwrap_err(), SelectError::NotFound);
}

#[test]
fn the_roles_of_a_principal_that_is_gone_count_for_nobody() {
    let directory = world("system_assigned = true");
    let vm = sole_vm(&directory);
    let principal_id = vm.system_assigned().unwrap().ids.principal_id;
    let scope: Scope = "/".parse().unwrap();
    let assignment = RoleAssignment {
        name: RoleAssignmentId::from_bytes([1; 16]),
        scope: scope.clone(),
        role: roles::by_name("Owner").unwrap().id,
        principal_id,
        principal_type: "ServicePrincipal".to_owned(),
        description: None,
        created: NOW,
        created_by: None,
    };
    put(&directory, Record::RoleAssignment(assignment));
    let counts = || {
        let (state, action) =
            (directory.read(), Action::ControlPlane("Microsoft.Compute/virtualMachines/read"));
        let permits = state.permits(principal_id, action, &scope, NOW).is_some();
        (permits, state.roles_of(principal_id).count())
    };
    assert_eq!(counts(), (true, 1));
    change(&directory, Change::Remove(Key::VirtualMachine(vm.record.id.clone())));
    assert_eq!(counts(), (false, 0));
    // The assignment can still be listed and removed.
    assert_eq!(directory.read().role_assignments_of(principal_id).count(), 1);
}

#[test]
fn with_a_propagation_delay_the_identity_endpoint_lags_behind_the_control_plane() {
    let records = file::parse("test.toml", &format!("{PREFIX}system_assigned = true")).unwrap();
    let directory = of(records, Seconds(60));
    let caller = directory.caller([127, 0, 0, 1].into());
    let selects = |at| {
        let selected = caller.with_vm(&directory, at, |vm| vm.select(None, at).is_ok());
        selected == Some(true)
    };
    let record = VirtualMachine::clone(&sole_vm(&directory).record);
    let without = VirtualMachine { system_assigned: None, ..record };
    put(&directory, Record::VirtualMachine(without.clone()));
    assert!(directory.read().vm(&without.id).unwrap().vm.system_assigned().is_none());
    assert!(selects(NOW) && selects(NOW + Seconds(59)) && !selects(NOW + Seconds(60)));
}

#[test]
fn a_change_that_is_delayed_does_not_wait_for_a_clock_that_was_set_back() {
    let more = "system_assigned = true\nuser_assigned = ['a']";
    let records = file::parse("test.toml", &format!("{PREFIX}{more}")).unwrap();
    let directory = of(records, Seconds(60));
    let caller = directory.caller([127, 0, 0, 1].into());
    let vm = sole_vm(&directory);
    let shared = vm.held().last().unwrap().identity.ids.client_id;
    let selects = |at| {
        let own = caller.with_vm(&directory, at, |vm| vm.select(None, at).is_ok());
        let selector = Selector::ClientId(shared);
        let named = |vm: &Arc<Vm>| vm.select(Some(&selector), at).is_ok();
        (own, caller.with_vm(&directory, at, named))
    };
    let id = vm.held().last().unwrap().identity.resource_id.clone();
    change(&directory, Change::Remove(Key::UserAssigned(id)));
    let without = VirtualMachine { system_assigned: None, ..VirtualMachine::clone(&vm.record) };
    put(&directory, Record::VirtualMachine(without));
    let (before, after) = ((Some(true), Some(true)), (Some(false), Some(false)));
    assert_eq!(selects(NOW + Seconds(59)), before);
    assert_eq!(selects(NOW - Seconds(10)), before, "a step of seconds");
    assert_eq!(selects(NOW - Seconds(3_600)), after);
    assert_eq!(selects(NOW + Seconds(60)), after);
}

#[test]
fn the_certificates_of_an_identity_go_with_it() {
    let directory = world("system_assigned = true");
    let vm = sole_vm(&directory);
    let principal_id = vm.system_assigned().unwrap().ids.principal_id;
    put(
        &directory,
        Record::Credential(Credential {
            principal_id,
            thumbprint: "t".to_owned(),
            certificate: String::new(),
            private_key: None,
            not_before: NOW,
            not_after: NOW,
        }),
    );
    assert_eq!(directory.read().credentials(principal_id).len(), 1);
    change(&directory, Change::Remove(Key::VirtualMachine(vm.record.id.clone())));
    assert!(directory.read().credentials(principal_id).is_empty());
    assert!(directory.read().principal(principal_id).is_none());
}

#[test]
fn a_refused_or_failed_write_changes_nothing() {
    let directory = demo();
    let vm = sole_vm(&directory).record.id.clone();
    let refused = directory.write(NOW, |state, _| {
        assert!(state.vm(&vm).is_some());
        Err::<(Vec<Change>, ()), _>(StoreError::Conflict {
            expected: Revision(1),
            found: Revision(2),
        })
    });
    assert!(refused.is_err() && directory.read().vm(&vm).is_some());
}

#[test]
fn an_application_is_a_resource_of_its_own_tenant_by_id_and_uri() {
    let directory = demo();
    let tenants = [TenantId::from_bytes([1; 16]), TenantId::from_bytes([2; 16])];
    let client_id = ClientId::from_bytes([0xab; 16]);
    for tenant in tenants {
        put(&directory, Record::Tenant(Tenant { id: tenant, created: NOW }));
    }
    put(
        &directory,
        Record::Application(Application {
            client_id,
            principal_id: PrincipalId::from_bytes([3; 16]),
            tenant: tenants[0],
            display_name: "app".to_owned(),
            secret_digests: Vec::new(),
        }),
    );
    for name in [client_id.to_string(), format!("api://{client_id}"), format!("api://{client_id}/")]
    {
        for asked in [name.clone(), name.to_uppercase()] {
            let known = directory.audience_name(&asked, tenants[0]);
            assert_eq!(known.as_ref(), Some(&name), "{asked}");
            assert_eq!(directory.audience_name(&asked, tenants[1]), None, "{asked}");
        }
    }
    let identity = sole_vm(&directory).system_assigned().unwrap().ids.client_id;
    for name in [
        format!("{client_id}/"),
        format!("api://{client_id}//"),
        format!("api://{client_id}/scope"),
        format!("https://{client_id}"),
        identity.to_string(),
        "api://".to_owned(),
    ] {
        assert_eq!(directory.audience_name(&name, tenants[0]), None, "{name}");
    }
}
