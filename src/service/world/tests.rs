use super::record::Record;
use super::vault::VaultSettings;
use super::*;
use proptest::prelude::*;

/// A world of one VM. Tests append further keys to it.
pub(crate) const PREFIX: &str = "[[tenants]]
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
address = '127.0.0.1'
";

#[test]
fn a_bad_world_file_names_line_problem_and_remedy_for_every_fault() {
    let faults = "user_assigned = ['a', 'c']\nsystem_assigned = { client_id = 'x' }";
    let text = PREFIX.replace("127.0.0.1", "here");
    let error = file::parse("w.toml", &format!("{text}{faults}")).unwrap_err().to_string();
    assert_eq!(
        error,
        "the world file is refused\n  \
         w.toml:18: `here` is not an address; write the IP address that the VM calls from, \
         or `any` for callers that no other VM has\n  \
         w.toml:19: the identity `c` is not in [[user_assigned]]; add it there\n  \
         w.toml:20: system_assigned is neither a boolean nor a pair of ids; \
         write true, false or { client_id = \"...\", principal_id = \"...\" }"
    );
}

/// The line of each fault must be found quickly: a search from the beginning of the file takes minutes here.
#[test]
fn a_file_of_very_many_faults_is_refused_soon_and_lists_the_first() {
    let count = 30_000;
    let vm = |index: usize| {
        format!(
            "[[vms]]\nname = 'vm{index}'\nsubscription = '00000000-0000-4000-8000-000000000002'\n\
             resource_group = 'rg'\nuser_assigned = ['unknown']\n"
        )
    };
    let text = PREFIX.to_owned() + &(0..count).map(vm).collect::<String>();
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(file::parse("w.toml", &text).unwrap_err().to_string()));
    let error = receiver.recv_timeout(std::time::Duration::from_mins(1)).unwrap();
    assert!(error.contains("w.toml:23: the identity `unknown` is not in"), "{error:.300}");
    assert!(error.ends_with(&format!("\n  and {} more", count - 100)), "{error}");
    assert_eq!(error.lines().count(), 102);
}

#[test]
fn an_identity_that_a_vm_names_again_and_again_is_assigned_once() {
    let names = "'a', 'b', ".repeat(50_000);
    let records = file::parse("w.toml", &format!("{PREFIX}user_assigned = [{names}]")).unwrap();
    let assigned = records.iter().find_map(|record| match record {
        Record::VirtualMachine(vm) => Some(vm.user_assigned.len()),
        _ => None,
    });
    assert_eq!(assigned, Some(2));
}

#[test]
fn one_fault_is_told_once_and_not_again_by_what_depends_on_it() {
    let text = PREFIX.replacen("name = 'a'", "name = 'a'\nclient_id = 'x'", 1);
    let error = file::parse("w.toml", &format!("{text}user_assigned = ['a']")).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the world file is refused\n  \
         w.toml:8: `x` is not a GUID; write it as 8-4-4-4-12 hexadecimal digits"
    );
}

#[test]
fn items_that_cannot_be_are_refused() {
    let vm = "[[vms]]\nname = 'x'\nsubscription = '00000000-0000-4000-8000-000000000002'\nresource_group = 'rg'\n";
    let tenant = "[[tenants]]\nid = '00000000-0000-4000-8000-00000000000a'\n[[subscriptions]]\nid = '00000000-0000-4000-8000-00000000000b'\ntenant = '00000000-0000-4000-8000-00000000000a'\n";
    let foreign = vm.replace("000000000002", "00000000000b");
    for (text, expected) in [
        (PREFIX.replace("127.0.0.1", "0.0.0.0"), "w.toml:18: no request comes from `0.0.0.0`"),
        (PREFIX.replace("127.0.0.1", "224.0.0.1"), "no request comes from `224.0.0.1`"),
        (PREFIX.replace("127.0.0.1", "255.255.255.255"), "no request comes from `255.255.255.255`"),
        (format!("resources = ['/']\n{PREFIX}"), "w.toml:1: `/` is not a resource"),
        (format!("resources = ['a\"b']\n{PREFIX}"), "w.toml:1: `a\"b` is not a resource"),
        (PREFIX.replace("'vm'", "'.'"), "w.toml:15: `.` is not a name"),
        (
            format!("{PREFIX}{tenant}{foreign}address = '127.0.0.5'\nuser_assigned = ['a']"),
            "the VM `x` is not in the tenant of `a`",
        ),
    ] {
        let error = file::parse("w.toml", &text).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn roles_are_given_by_name_and_every_unknown_name_is_told() {
    let scope = "/subscriptions/00000000-0000-4000-8000-000000000002";
    let grant = |principal: &str, role: &str, scope: &str| {
        format!(
            "[[role_assignments]]\nprincipal = '{principal}'\nrole = '{role}'\nscope = '{scope}'\n"
        )
    };
    let good = format!(
        "{PREFIX}system_assigned = true\n{}{}",
        grant("vm", "Reader", scope),
        grant("a", "owner", "/")
    );
    let records = file::parse("w.toml", &good).unwrap();
    let roles = records.iter().filter(|record| matches!(record, record::Record::RoleAssignment(_)));
    assert_eq!(roles.count(), 2);
    let bad = format!("{PREFIX}{}", grant("vm", "King", "nowhere"));
    let error = file::parse("w.toml", &bad).unwrap_err().to_string();
    for expected in [
        "w.toml:20: `vm` is no identity, VM with a system-assigned identity",
        "w.toml:21: `King` is not a built-in role",
        "w.toml:22: `nowhere` is not a scope",
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

fn vault(name: &str, group: &str) -> String {
    format!(
        "[[vaults]]\nname = '{name}'\nsubscription = '00000000-0000-4000-8000-000000000002'\nresource_group = '{group}'\n"
    )
}

fn secret(vault: &str, name: &str, value: &str) -> String {
    format!("[[secrets]]\nvault = '{vault}'\nname = '{name}'\nvalue = {value}\n")
}

#[test]
fn a_secret_of_the_file_has_one_version_that_is_always_the_same() {
    let text = format!("{PREFIX}{}{}", vault("Vault", "rg"), secret("vault", "Pass", "'x'"));
    let [first, second] = [(), ()].map(|()| file::parse("w.toml", &text).unwrap());
    assert_eq!(first, second);
    let version = first.iter().find_map(|record| match record {
        record::Record::SecretVersion(version) => Some(version),
        _ => None,
    });
    let version = version.unwrap();
    assert_eq!((version.vault.name(), &*version.name), ("Vault", "Pass"));
    assert_eq!(version.content.value.0.expose(), b"x");
    assert_eq!(version.version.len(), 32);
    assert!(version.version.bytes().all(|byte| byte.is_ascii_hexdigit()));
}

#[test]
fn a_vault_of_a_world_file_has_the_settings_that_it_names() {
    let settings = |more: &str| {
        let text = format!("{PREFIX}{}{more}", vault("vault", "rg"));
        let records = file::parse("w.toml", &text).map_err(|error| error.to_string())?;
        let found = records.into_iter().find_map(|record| match record {
            record::Record::Vault(vault) => Some(vault.settings),
            _ => None,
        });
        Ok::<_, String>(found.unwrap())
    };
    assert_eq!(settings(""), Ok(VaultSettings::default()));
    let named = settings("soft_delete_retention_days = 7\npurge_protection_enabled = true\n");
    let expected =
        VaultSettings { retention_days: 7, purge_protection: true, ..VaultSettings::default() };
    assert_eq!(named, Ok(expected));
    for days in [6, 91] {
        let error = settings(&format!("soft_delete_retention_days = {days}\n")).unwrap_err();
        assert!(
            error.contains(&format!("w.toml:23: soft_delete_retention_days is {days};")),
            "{error}"
        );
    }
}

#[test]
fn two_vaults_of_one_address_are_refused() {
    let mut names = std::collections::HashMap::new();
    let mut all = (0..).map(|number| format!("kv{number}"));
    let address = super::vault::vault_address;
    let twins = all.find_map(|name| Some((names.insert(address(&name), name.clone())?, name)));
    let (first, second) = twins.unwrap();
    let text = format!("{PREFIX}{}{}", vault(&first, "rg"), vault(&second, "rg"));
    let error = file::parse("w.toml", &text).unwrap_err().to_string();
    assert!(error.contains(&format!("from the vault name `{second}` is used twice")), "{error}");
}

#[test]
fn vaults_and_secrets_that_cannot_be_are_refused() {
    let good = vault("vault", "rg");
    let long = format!("'{}'", "x".repeat(25_601));
    for (text, expected) in [
        (vault("v", "rg"), "w.toml:20: `v` is not a name of a vault"),
        (format!("{good}{}", vault("VAULT", "other")), "w.toml:23: the vault name `VAULT` is used"),
        (secret("vault", "a", "'x'"), "w.toml:20: the vault `vault` is not in [[vaults]]"),
        (format!("{good}{}", secret("vault", "a_b", "'x'")), "`a_b` is not a name of a secret"),
        (
            format!("{good}{0}{0}", secret("vault", "a", "'x'")),
            "w.toml:27: the secret name `a` is used twice",
        ),
        (format!("{good}{}", secret("vault", "a", &long)), "has 25601 bytes; a vault takes 25600"),
    ] {
        let error = file::parse("w.toml", &format!("{PREFIX}{text}")).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn what_is_said_of_a_bad_secret_does_not_quote_it() {
    for value in ["4711", "['4711']", "{ a = '4711' }", "4711.5", "'4711'\nfoo = 1"] {
        let text = format!("{PREFIX}{}{}", vault("vault", "rg"), secret("vault", "a", value));
        let error = file::parse("w.toml", &text).unwrap_err().to_string();
        assert!(!error.contains("4711"), "{error}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = file::parse("w.toml", "[[vms]]\nnam = 'x'\n").unwrap_err().to_string();
    assert!(error.contains("w.toml:2: unknown field `nam`"), "{error}");
}

#[test]
fn an_address_used_twice_is_refused() {
    for address in ["127.0.0.5", "any"] {
        let vm = |name: &str| {
            format!(
                "[[vms]]\nname = '{name}'\nsubscription = '00000000-0000-4000-8000-000000000002'\nresource_group = 'rg'\naddress = '{address}'\n"
            )
        };
        let text = format!("{PREFIX}{}{}", vm("x"), vm("y"));
        let error = file::parse("w.toml", &text).unwrap_err().to_string();
        let expected = format!("w.toml:24: the address `{address}` is used twice");
        assert!(error.contains(&expected), "{error}");
    }
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

#[test]
fn a_vm_of_a_world_file_may_have_limits_of_its_own() {
    let throttle = |line: &str| {
        let records = file::parse("w.toml", &format!("{PREFIX}{line}"))?;
        let vm = records.into_iter().find_map(|record| match record {
            Record::VirtualMachine(vm) => Some(vm.throttle),
            _ => None,
        });
        Ok::<_, file::WorldFileError>(vm.unwrap())
    };
    assert_eq!(throttle(""), Ok(None));
    assert_eq!(throttle("throttle = 'azure'"), Ok(Some(Throttle::AZURE)));
    assert_eq!(throttle("throttle = 'off'"), Ok(Some(Throttle::Off)));
    let error = throttle("throttle = 'slow'").unwrap_err().to_string();
    assert!(error.contains("w.toml:19: `slow` is not a throttle; write azure"), "{error}");
}
