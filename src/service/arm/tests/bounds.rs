//! Limits on the cost of a request, and the order of its checks.

use std::cell::Cell;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::base::ids::ArmId;
use crate::service::arm::list::readable;

/// The machine's properties, filled up to about `bytes` bytes.
fn filled(bytes: usize) -> Value {
    json!({"location": "westus", "properties": {"filler": "x".repeat(bytes)}})
}

/// An admitted request by `name`.
fn admitted(world: &World, name: &str, method: &str, path: &str) -> Call {
    let request = Request::builder()
        .method(method)
        .uri(versioned(path))
        .header("host", "localhost")
        .header("authorization", format!("Bearer {}", world.token_for(name, ARM)));
    let (parts, ()) = request.body(()).unwrap().into_parts();
    world.arm.0.admit(&parts, "http", "1").unwrap()
}

#[test]
fn content_is_read_while_another_write_is_under_way() {
    let world = world();
    let tags: Value = (0..51).map(|n| (n.to_string(), json!(""))).collect();
    let bad_role = json!({"properties": {"roleDefinitionId": "none"}});
    for (method, path, body) in [
        ("PUT", GROUP.to_owned(), json!([])),
        ("PATCH", GROUP.to_owned(), json!({"tags": tags})),
        ("PUT", identity_id("one"), json!({"properties": 1})),
        ("PATCH", vault_id("one"), json!({"tags": tags})),
        ("PUT", machine_id("vm"), json!({"identity": {"type": "Odd"}})),
        ("PATCH", machine_id("vm"), filled(70_000)),
        ("PUT", assignment_path(GROUP, 1), bad_role),
    ] {
        let (world, path, body) = (&world, &path, &body);
        let status = std::thread::scope(|scope| {
            let written = world.directory.write(NOW, |_, _| {
                let (answered, answer) = mpsc::channel();
                scope.spawn(move || answered.send(world.send("owner", method, path, body).status));
                let status = answer.recv_timeout(Duration::from_secs(20));
                Ok::<_, ArmError>((Vec::new(), status))
            });
            written.unwrap()
        });
        assert_eq!(status, Ok(400), "{method} {path}");
    }
}

#[test]
fn a_body_is_awaited_only_from_who_may_send_it() {
    let world = world();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let status = |name: Option<&str>, method: &str, path: &str| {
        let mut request =
            Request::builder().method(method).uri(versioned(path)).header("host", "localhost");
        if let Some(name) = name {
            let token = world.token_for(name, ARM);
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let is_awaited = std::sync::atomic::AtomicBool::new(false);
        let body = async {
            is_awaited.store(true, std::sync::atomic::Ordering::Relaxed);
            Err(BodyError::TooLarge(1))
        };
        let status = runtime.block_on(world.arm.answer(parts, "http", body)).status().as_u16();
        (status, is_awaited.into_inner())
    };
    let assignment = assignment_path(GROUP, 1);
    for path in [GROUP, &machine_id("vm"), &identity_id("one"), &vault_id("one"), &assignment] {
        assert_eq!(status(None, "PUT", path), (401, false), "{path}");
        assert_eq!(status(Some("nobody"), "PUT", path), (403, false), "{path}");
        assert_eq!(status(Some("reader"), "PUT", path), (403, false), "{path}");
        assert_eq!(status(Some("owner"), "PUT", path), (413, true), "{path}");
    }
    assert_eq!(status(Some("owner"), "GET", GROUP), (200, false));
    assert_eq!(status(Some("owner"), "DELETE", &machine_id("vm")), (204, false));
}

#[test]
fn secrets_of_a_machine_are_not_kept_wherever_they_stand() {
    let world = world();
    let path = machine_id("vm");
    let unattend = json!([{"settingName": "AutoLogon", "Content": "hunter2", "passName": "p"}]);
    let said = json!({
        "osProfile": {
            "AdminPassword": "hunter2",
            "windowsConfiguration": {"AdditionalUnattendContent": unattend, "content": "kept"},
        },
        "virtualMachineProfile": [[{"osProfile": {"CUSTOMDATA": "hunter2"}, "userdata": "hunter2"}]],
        "extensionProfile": {"extensions": [
            {"properties": {"protectedSettings": {"key": "hunter2"}, "settings": {"kept": 1}}},
        ]},
    });
    let body = json!({"location": "westus", "properties": said, "userData": "hunter2", "plan": {"customData": "hunter2"}});
    for method in ["PUT", "PATCH"] {
        let answer = world.send("owner", method, &path, &body);
        assert!(answer.status < 300 && !answer.body.to_string().contains("hunter2"));
        let state = world.directory.read();
        let kept = &state.vm(&path.parse().unwrap()).unwrap().vm.record.properties;
        assert!(!json!(kept).to_string().contains("hunter2"));
    }
    let windows = &world.get(&path).body["properties"]["osProfile"]["windowsConfiguration"];
    assert_eq!(windows["content"], "kept");
    assert_eq!(
        windows["AdditionalUnattendContent"],
        json!([{"settingName": "AutoLogon", "passName": "p"}])
    );
    let extensions = &world.get(&path).body["properties"]["extensionProfile"]["extensions"];
    assert_eq!(*extensions, json!([{"properties": {"settings": {"kept": 1}}}]));
}

#[test]
fn the_properties_of_a_machine_are_bounded_also_in_small_steps() {
    let world = world();
    let path = machine_id("vm");
    let refused = world.put(&path, &filled(64 * 1024));
    assert_eq!(refused.refusal(), (400, "InvalidParameter"));
    assert_eq!(refused.body["error"]["target"], "properties");
    let zones = json!({"location": "westus", "zones": ["x".repeat(64 * 1024)]});
    assert_eq!(world.put(&path, &zones).refusal(), (400, "InvalidParameter"));
    assert_eq!(world.put(&path, &filled(40 * 1024)).status, 201);
    let more = json!({"properties": {"more": "x".repeat(40 * 1024)}});
    assert_eq!(world.patch(&path, &more).refusal(), (400, "InvalidParameter"));
    // Azure allows long secrets. They are not kept here, so their length does not matter.
    let secret = json!({"location": "westus", "properties": {"userData": "x".repeat(80 * 1024)}});
    assert_eq!(world.put(&path, &secret).status, 200);
}

#[test]
fn a_page_is_bounded_in_bytes() {
    let world = world();
    for number in 0..20 {
        let made = world.put(&machine_id(&format!("vm-{number:02}")), &filled(60 * 1024));
        assert_eq!(made.status, 201);
    }
    let first = world.get(&format!("{GROUP}/providers/Microsoft.Compute/virtualMachines"));
    assert!(first.body.to_string().len() < 1024 * 1024 + 4096);
    let next = first.body["nextLink"].as_str().unwrap();
    let next = next.strip_prefix("http://127.0.0.1:8180").unwrap();
    let second = world.raw(("owner", "GET", next), b"", |_| {});
    assert!(second.body.get("nextLink").is_none());
    let items = |answer: &Answer| answer.body["value"].as_array().unwrap().clone();
    let all = [items(&first), items(&second)].concat();
    let names: Vec<_> = all.iter().map(|vm| vm["name"].as_str().unwrap()).collect();
    let made: Vec<_> = (0..20).map(|number| format!("vm-{number:02}")).collect();
    assert_eq!(names, made);
}

#[test]
fn nothing_is_searched_for_who_has_no_role_below() {
    let world = world();
    let one: ArmId = world.machine("one", &json!({"type": "None"})).parse().unwrap();
    world.put(&format!("{SUB}/resourceGroups/rg2"), &json!({"location": "westus"}));
    world.grant(1, "nobody", "Reader", &format!("{SUB}/resourceGroups/rg2"));
    world.grant(2, "nobody", "Key Vault Secrets User", one.as_str());
    let list = format!("{GROUP}/providers/Microsoft.Compute/virtualMachines");
    let searched = |action: &str| {
        let call = admitted(&world, "nobody", "GET", &list);
        let is_searched = Cell::new(false);
        let items = |_: Option<&ArmId>| {
            is_searched.set(true);
            Box::new(std::iter::once(one.clone())) as Box<dyn Iterator<Item = ArmId>>
        };
        let state = world.directory.read();
        let reply =
            readable(&call, &state, (action, GROUP), items, |id| id, |id| json!(id.as_str()));
        (reply.is_ok(), is_searched.get())
    };
    let action = "Microsoft.Compute/virtualMachines/read";
    assert_eq!(searched(action), (false, false));
    world.grant(3, "nobody", "Reader", one.as_str());
    assert_eq!(searched(action), (true, true));
}
