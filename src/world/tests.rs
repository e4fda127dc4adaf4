use super::synthetic::Synthetic;
use super::*;
use proptest::prelude::*;

const PREFIX: &str = "
[[tenants]]
id = '00000000-0000-4000-8000-000000000001'
[[subscriptions]]
id = '00000000-0000-4000-8000-000000000002'
tenant = '00000000-0000-4000-8000-000000000001'
[[user_assigned]]
name = 'a'
subscription = '00000000-0000-4000-8000-000000000002'
resource_group = 'rg'
[[user_assigned]]
name = 'b'
subscription = '00000000-0000-4000-8000-000000000002'
resource_group = 'rg'
[[vms]]
name = 'vm'
subscription = '00000000-0000-4000-8000-000000000002'
resource_group = 'rg'
";

/// A one-VM world whose VM has what `identity_lines` say.
fn world(identity_lines: &str) -> World {
    file::parse("test.toml", &format!("{PREFIX}{identity_lines}")).unwrap()
}

/// The resource id of what is selected without a selector.
fn picked(identity_lines: &str) -> Result<String, SelectError> {
    let world = world(identity_lines);
    let index = world.select(world.vm(VmIndex(0)), None)?;
    Ok(world.identity(index).resource_id.name().to_owned())
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
    let world = world("system_assigned = true\nuser_assigned = ['a']");
    let vm = world.vm(VmIndex(0));
    let held: Vec<_> = world.identities_of(vm).collect();
    for identity in &world.identities {
        let is_held = held.iter().any(|other| other.client_id == identity.client_id);
        let by_client = world.select(vm, Some(&Selector::ClientId(identity.client_id)));
        let by_object = world.select(vm, Some(&Selector::ObjectId(identity.principal_id)));
        let by_resource =
            world.select(vm, Some(&Selector::ResourceId(identity.resource_id.clone())));
        assert_eq!(by_client.is_ok(), is_held);
        assert_eq!(by_object, by_client);
        assert_eq!(by_resource.is_ok(), is_held && identity.kind == IdentityKind::UserAssigned);
    }
}

#[test]
fn a_single_vm_answers_any_loopback_caller_and_no_other() {
    let world = file::demo().unwrap();
    assert!(world.vm_at([127, 9, 9, 9].into()).is_some());
    assert!(world.vm_at([10, 0, 0, 4].into()).is_none());
}

#[test]
fn with_several_vms_only_their_addresses_are_answered() {
    let world = Synthetic { vms: 3, user_assigned: 1, seed: 1 }.build().unwrap();
    assert_eq!(world.vm_at([127, 1, 0, 2].into()), Some(VmIndex(1)));
    assert_eq!(world.vm_at([127, 0, 0, 1].into()), None);
    assert_eq!(world.identity_count(), 6);
}

#[test]
fn resources_are_known_with_and_without_their_slash() {
    let world = world("");
    for name in [
        "https://vault.azure.net",
        "https://vault.azure.net/",
        "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
    ] {
        let index = world.resource_named(name).unwrap();
        assert_eq!(world.resource(index), name);
    }
    assert_eq!(world.resource_named("https://vault.azure.net//"), None);
}

#[test]
fn a_bad_world_file_names_line_problem_and_remedy_for_every_fault() {
    let faults =
        "user_assigned = ['a', 'c']\naddress = 'here'\nsystem_assigned = { client_id = 'x' }";
    let error = file::parse("w.toml", &format!("{PREFIX}{faults}")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the world file is refused\n  \
         w.toml:19: the identity `c` is not in [[user_assigned]]; add it there\n  \
         w.toml:20: `here` is not an IP address; write the address that the VM calls from\n  \
         w.toml:21: system_assigned is neither a boolean nor a pair of ids; \
         write true, false or { client_id = \"...\", principal_id = \"...\" }"
    );
}

#[test]
fn one_fault_is_told_once_and_not_again_by_what_depends_on_it() {
    let text = PREFIX.replacen("name = 'a'", "name = 'a'\nclient_id = 'x'", 1);
    let error = file::parse("w.toml", &format!("{text}user_assigned = ['a']")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the world file is refused\n  \
         w.toml:9: `x` is not a GUID; write it as 8-4-4-4-12 hexadecimal digits"
    );
}

#[test]
fn items_that_cannot_be_are_refused() {
    let vm = "[[vms]]\nname = 'x'\nsubscription = '00000000-0000-4000-8000-000000000002'\nresource_group = 'rg'\n";
    let tenant = "[[tenants]]\nid = '00000000-0000-4000-8000-00000000000a'\n[[subscriptions]]\nid = '00000000-0000-4000-8000-00000000000b'\ntenant = '00000000-0000-4000-8000-00000000000a'\n";
    let foreign = vm.replace("000000000002", "00000000000b");
    for (text, expected) in [
        (format!("{PREFIX}address = '0.0.0.0'"), "w.toml:15: no request comes from `0.0.0.0`"),
        (format!("{PREFIX}address = '224.0.0.1'"), "no request comes from `224.0.0.1`"),
        (format!("{PREFIX}{vm}"), "w.toml:15: the VM `vm` has no address"),
        (format!("resources = ['/']{PREFIX}"), "w.toml:1: `/` is not a resource"),
        (format!("resources = ['a\"b']{PREFIX}"), "w.toml:1: `a\"b` is not a resource"),
        (PREFIX.replace("'vm'", "'.'"), "w.toml:16: `.` is not a name"),
        (
            format!(
                "{PREFIX}address = '127.0.0.4'\n{tenant}{foreign}address = '127.0.0.5'\nuser_assigned = ['a']"
            ),
            "the VM `x` is not in the tenant of `a`",
        ),
    ] {
        let error = file::parse("w.toml", &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = file::parse("w.toml", "[[vms]]\nnam = 'x'\n").unwrap_err().to_string();
    assert!(error.contains("w.toml:2: unknown field `nam`"), "{error}");
}

#[test]
fn an_address_used_twice_is_refused() {
    let vm = |name: &str| {
        format!(
            "[[vms]]\nname = '{name}'\nsubscription = '00000000-0000-4000-8000-000000000002'\nresource_group = 'rg'\naddress = '127.0.0.5'\n"
        )
    };
    let text = format!("{PREFIX}address = '127.0.0.4'\n{}{}", vm("x"), vm("y"));
    let error = file::parse("w.toml", &text).unwrap_err().to_string();
    assert!(error.contains("w.toml:25: the address `127.0.0.5` is used twice"), "{error}");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = file::parse("any.toml", &text);
    }

    #[test]
    fn no_single_changed_line_makes_the_reader_panic(line in 1_usize..19, with in "[a-z_\\[\\]= '\"0-9.:-]{0,40}") {
        let changed: Vec<&str> = PREFIX.lines().enumerate().map(|(at, old)| if at == line { &*with } else { old }).collect();
        let _ = file::parse("any.toml", &changed.join("\n"));
    }
}
