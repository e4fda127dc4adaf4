//! Whole worlds: export, import, comparison, and the way back to the start.

use std::path::Path;
use std::process::Output;

use crate::broker::{Broker, mintbench};
use crate::cli::file;

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs a command that must succeed, and returns its output.
fn prints(broker: &Broker, args: &[&str]) -> String {
    let (code, out, err) = texts(&broker.client(args));
    assert_eq!(code, Some(0), "{args:?}: {err}");
    out
}

/// Returns the flags of a broker with a data folder below `folder`.
fn data(folder: &Path) -> String {
    folder.join("data").to_str().unwrap().to_owned()
}

#[test]
fn an_export_gives_the_same_export_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = data(folder.path());
    let world = file(
        "resources = ['api://orders']\n[[tenants]]\nid = '00000000-0000-4000-8000-0000000000a1'\n\
         [[subscriptions]]\nid = '00000000-0000-4000-8000-0000000000b1'\ntenant = '00000000-0000-4000-8000-0000000000a1'\n\
         [[vms]]\nname = 'vm-1'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\naddress = '127.0.0.1'\nsystem_assigned = true\n\
         [[vaults]]\nname = 'first'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\n\
         [[secrets]]\nvault = 'first'\nname = 'db'\nvalue = 'open sesame'\n\
         [[applications]]\nname = 'app'\ntenant = '00000000-0000-4000-8000-0000000000a1'\nsecret = 'correct horse'\n",
    );
    let broker = Broker::serve(&["--data", &path, "--world", world.path().to_str().unwrap()]);
    let run = |args: &[&str]| prints(&broker, &[args, &["--data", &path]].concat());
    // A world with a past: an address that a machine left, tags, a deleted vault.
    run(&["vm", "create", "vm-2", "--group", "rg", "--address", "127.0.0.7", "--tag", "a=b"]);
    run(&["vm", "update", "vm-2", "--address", "any"]);
    run(&["vault", "create", "second", "--group", "rg"]);
    run(&["vault", "remove", "second"]);
    let secret = run(&["world", "export", "--with-secrets"]);
    let plain = run(&["world", "export"]);
    assert!(
        secret.contains("\"deletedVault\"") && secret.contains("\"formerAddress\""),
        "{secret}"
    );
    assert!(secret.contains("secretVersion") && !plain.contains("secretVersion"), "{plain}");
    assert!(secret.contains("secret_digests") && !plain.contains("secret_digests"), "{plain}");
    assert!(!secret.contains("mintbench operator") && !secret.contains("signingKey"), "{secret}");

    let exported = file(&secret);
    let exported = exported.path().to_str().unwrap();
    let other_folder = tempfile::tempdir().unwrap();
    let other = data(other_folder.path());
    let second = Broker::serve(&["--data", &other, "--seed-world", exported]);
    let again = |args: &[&str]| prints(&second, &[args, &["--data", &other]].concat());
    assert_eq!(again(&["world", "export", "--with-secrets"]), secret);
    assert_eq!(again(&["world", "export"]), plain);
    // What was exported works.
    assert_eq!(second.token("resource=api://orders").status, 200);

    let third = Broker::serve(&[]);
    let refused = third.client(&["world", "import", exported]);
    let (code, _, err) = texts(&refused);
    assert!(code == Some(1) && err.contains("would be lost or changed"), "{err}");
    assert!(err.contains("--replace"), "{err}");
    let said = prints(&third, &["world", "import", "--replace", exported]);
    assert!(
        said.contains("from the next start of the server on there are tokens for api://orders"),
        "{said}"
    );
    assert_eq!(prints(&third, &["world", "export", "--with-secrets"]), secret);
    assert_eq!(third.token("resource=https://vault.azure.net").status, 200);
}

#[test]
fn a_seed_world_is_used_at_the_first_start_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = data(folder.path());
    let first = Broker::serve(&["--data", &path]);
    let before = prints(&first, &["world", "export", "--data", &path]);
    drop(first);
    let other = crate::vm_listeners::two_machines();
    let again = Broker::serve(&["--data", &path, "--seed-world", other.path().to_str().unwrap()]);
    assert_eq!(prints(&again, &["world", "export", "--data", &path]), before);
    let both = ["serve", "--world", "a.toml", "--seed-world", "b.json"];
    let (code, _, err) = texts(&mintbench().args(both).output().unwrap());
    assert!(code == Some(2) && err.contains("--world and --seed-world each name a world"), "{err}");
}

#[test]
fn every_flag_of_a_world_takes_an_export_and_a_byte_order_mark() {
    let broker = Broker::serve(&[]);
    let exported = prints(&broker, &["world", "export", "--with-secrets"]);
    let toml = std::fs::read_to_string("src/service/world/demo.toml").unwrap();
    for text in [&exported, &toml] {
        let marked = file(&format!("\u{feff}{text}"));
        let path = marked.path().to_str().unwrap();
        prints(&broker, &["world", "validate", path]);
        for flag in ["--world", "--seed-world"] {
            let other = Broker::serve(&[flag, path]);
            assert_eq!(prints(&other, &["world", "export", "--with-secrets"]), exported);
        }
    }
}

#[test]
fn a_folder_with_a_world_says_that_it_ignores_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = data(folder.path());
    drop(Broker::serve(&["--data", &path]));
    let world = crate::vm_listeners::two_machines();
    let world = world.path().to_str().unwrap();
    let said = |flag: &str, value: &str| {
        let log = folder.path().join("log");
        let errors = std::fs::File::create(&log).unwrap();
        drop(Broker::serve_with(&["--data", &path, flag, value], |command| {
            command.stderr(errors);
        }));
        std::fs::read_to_string(log).unwrap()
    };
    let ignored = said("--world", world);
    let remedy = format!("`mintbench world import --replace {world} --data {path}` takes it");
    assert!(ignored.contains("so --world is ignored") && ignored.contains(&remedy), "{ignored}");
    assert!(said("--synthetic", "vms=1").contains("so --synthetic is ignored"));
    assert_eq!(said("--seed-world", world), "");
}

#[test]
fn a_server_for_tests_goes_back_to_its_start() {
    let broker = Broker::serve(&["--test-tools"]);
    let export = || prints(&broker, &["world", "export", "--with-secrets"]);
    let before = export();
    let world = crate::vm_listeners::two_machines();
    prints(&broker, &["world", "import", "--replace", world.path().to_str().unwrap()]);
    assert_ne!(export(), before);
    let client_id = || broker.token("resource=https://vault.azure.net").json()["client_id"].clone();
    assert_eq!(client_id(), "00000000-0000-4000-8000-0000000000c1");
    let keys = || broker.connect("sts").get("/common/discovery/keys").text();
    let published = keys();
    let mut admin = broker.connect("admin");
    admin.send(b"POST /reset HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(admin.read().unwrap().status, 401);
    let answer = broker.post_admin("/reset");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(export(), before);
    assert_eq!(client_id(), "c11e0000-0000-4000-8000-000000000001");
    assert_eq!(keys(), published);

    let usual = Broker::serve(&[]);
    let refused = usual.post_admin("/reset");
    assert!(refused.status == 403 && refused.text().contains("--test-tools"), "{}", refused.text());
}

#[test]
fn keys_of_vaults_come_and_go_with_the_world_and_are_secret() {
    let broker = Broker::serve(&["--test-tools"]);
    let export = || prints(&broker, &["world", "export", "--with-secrets"]);
    let before = export();
    let key = "{\"keyVersion\":{\"vault\":\"/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo/providers/Microsoft.KeyVault/vaults/demo-vault\",\"name\":\"sign\",\"version\":\"0123456789abcdef0123456789abcdef\",\"public\":{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"x\",\"y\":\"y\"},\"private_key\":\"bm90IGEga2V5\",\"operations\":[\"sign\"],\"enabled\":true,\"created\":1700000000,\"updated\":1700000000,\"ordinal\":0}}";
    let with_key = file(&before.replacen("\n]}", &format!(",\n{key}\n]}}"), 1));
    let said = prints(&broker, &["world", "import", with_key.path().to_str().unwrap()]);
    assert_eq!(said, "imported: 1 changes\n");
    assert!(export().contains(key), "{}", export());
    let plain = prints(&broker, &["world", "export"]);
    assert!(!plain.contains("keyVersion") && !plain.contains("bm90IGEga2V5"), "{plain}");
    assert_eq!(broker.post_admin("/reset").text(), "1 changes\n");
    assert_eq!(export(), before);
}

/// Returns a world of two vaults and an application, all with secrets. The first secret has two versions, and its
/// vault has a key.
fn guarded(broker: &Broker, data: &str) -> String {
    let run = |args: &[&str]| prints(broker, &[args, &["--data", data]].concat());
    let vault = "\"vault\":\"/subscriptions/00000000-0000-4000-8000-0000000000b1/resourceGroups/rg/providers/Microsoft.KeyVault/vaults/first\"";
    let rest = "\"enabled\":true,\"created\":1700000000,\"updated\":1700000000,\"ordinal\":7";
    let version = format!(
        "{{\"secretVersion\":{{{vault},\"name\":\"db\",\"version\":\"0123456789abcdef0123456789abcdef\",\"value\":\"bmV3ZXI=\",{rest}}}}}"
    );
    let key = format!(
        "{{\"keyVersion\":{{{vault},\"name\":\"sign\",\"version\":\"0123456789abcdef0123456789abcdef\",\"public\":{{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"x\",\"y\":\"y\"}},\"private_key\":\"bm90IGEga2V5\",\"operations\":[\"sign\"],{rest}}}}}"
    );
    let before = run(&["world", "export", "--with-secrets"]);
    let more = file(&before.replacen("\n]}", &format!(",\n{version},\n{key}\n]}}"), 1));
    assert_eq!(run(&["world", "import", more.path().to_str().unwrap()]), "imported: 2 changes\n");
    run(&["world", "export", "--with-secrets"])
}

/// Returns the lines of an export without those of the second vault and of the application.
fn staying(text: &str) -> Vec<&str> {
    let goes = |line: &str| line.contains("vaults/second") || line.contains("\"application\"");
    let lines = text.lines().filter(|line| *line != "]}" && !goes(line));
    lines.map(|line| line.trim_end_matches(',')).collect()
}

#[test]
fn an_import_without_secrets_keeps_those_of_everything_that_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = data(folder.path());
    let world = file(
        "[[tenants]]\nid = '00000000-0000-4000-8000-0000000000a1'\n\
         [[subscriptions]]\nid = '00000000-0000-4000-8000-0000000000b1'\ntenant = '00000000-0000-4000-8000-0000000000a1'\n\
         [[vms]]\nname = 'vm-1'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\naddress = '127.0.0.1'\n\
         [[vaults]]\nname = 'first'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\n\
         [[vaults]]\nname = 'second'\nsubscription = '00000000-0000-4000-8000-0000000000b1'\nresource_group = 'rg'\n\
         [[secrets]]\nvault = 'first'\nname = 'db'\nvalue = 'open sesame'\n\
         [[secrets]]\nvault = 'second'\nname = 'mail'\nvalue = 'open sesame'\n\
         [[applications]]\nname = 'app'\ntenant = '00000000-0000-4000-8000-0000000000a1'\nsecret = 'correct horse'\n",
    );
    let broker = Broker::serve(&["--data", &path, "--world", world.path().to_str().unwrap()]);
    let whole = guarded(&broker, &path);
    let run = |args: &[&str]| prints(&broker, &[args, &["--data", &path]].concat());
    let plain = run(&["world", "export"]);
    let exported = file(&plain);
    let exported = exported.path().to_str().unwrap();
    for flags in [&["world", "import", exported][..], &["world", "import", "--replace", exported]] {
        assert_eq!(run(flags), "imported: 0 changes\n");
        assert_eq!(run(&["world", "export", "--with-secrets"]), whole);
    }

    // One vault and the application go. Their secrets go with them, and the answer says so.
    let fewer = file(&format!("{}\n]}}\n", staying(&plain).join(",\n").replacen("[,", "[", 1)));
    let fewer = fewer.path().to_str().unwrap();
    let (code, _, err) = texts(&broker.client(&["world", "import", fewer, "--data", &path]));
    assert!(code == Some(1) && err.contains("would be lost or changed"), "{err}");
    let said = run(&["world", "import", "--replace", fewer]);
    assert!(
        said.ends_with(
            "; secrets that went with their items: 1 of the vault `second`, 1 of the application `app`\n"
        ),
        "{said}"
    );
    assert_eq!(staying(&run(&["world", "export", "--with-secrets"])), staying(&whole));

    // Whatever went is gone: the file did not have it.
    run(&["world", "import", "--replace", exported]);
    assert_eq!(staying(&run(&["world", "export", "--with-secrets"])), staying(&whole));
    let mixed = file(&whole.replace("\"secrets\": true", "\"secrets\": false"));
    let refused = broker.client(&["world", "import", mixed.path().to_str().unwrap()]);
    let (code, _, err) = texts(&refused);
    assert!(code == Some(1) && err.contains("write true, or leave them out"), "{err}");
}

#[test]
fn worlds_are_compared_and_checked_without_a_server() {
    let broker = Broker::serve(&[]);
    let secret = prints(&broker, &["world", "export", "--with-secrets"]);
    let (before, after) = (file(&secret), file(&secret.replace("127.0.0.1", "127.0.0.2")));
    let [before, after] = [&before, &after].map(|file| file.path().to_str().unwrap());
    assert_eq!(prints(&broker, &["world", "diff", before]), "the worlds are equal\n");
    let (code, out, _) =
        texts(&mintbench().args(["world", "diff", before, after]).output().unwrap());
    assert_eq!(code, Some(1));
    assert!(out.starts_with("~ virtualMachine ") && out.ends_with(": address\n"), "{out}");
    let bad = file("x");
    let bad = bad.path().to_str().unwrap();
    let (code, out, err) =
        texts(&mintbench().args(["world", "diff", bad, before]).output().unwrap());
    assert!(code == Some(2) && out.is_empty() && err.contains(bad), "{code:?}: {out}{err}");
    let validate =
        |path: &str| texts(&mintbench().args(["world", "validate", path]).output().unwrap());
    let (code, out, _) = validate(before);
    assert!(code == Some(0) && out.contains("is a world: "), "{out}");
    let twice = file(&secret.replace("demo-backup", "demo-app"));
    let (code, _, err) = validate(twice.path().to_str().unwrap());
    assert!(code == Some(1) && err.contains("is used twice"), "{err}");
    let gone = file(
        "{\"schema\": \"mintbench/world/1\", \"secrets\": false, \"records\": [\n{\"subscription\":{\"id\":\"00000000-0000-4000-8000-0000000000b1\",\"tenant\":\"00000000-0000-4000-8000-0000000000a1\",\"display_name\":\"x\"}}\n]}\n",
    );
    let (code, _, err) = validate(gone.path().to_str().unwrap());
    assert!(code == Some(1) && err.contains("which is not there"), "{err}");
    assert_eq!(validate("/nowhere").0, Some(2));
    let world = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/world.toml");
    assert_eq!(validate(world.to_str().unwrap()).0, Some(0));
}

#[test]
fn an_export_with_secrets_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let broker = Broker::serve(&[]);
    let out = broker.temporary.path().join("world.json");
    let path = out.to_str().unwrap();
    prints(&broker, &["world", "export", "--with-secrets", "--out", path]);
    assert_eq!(std::fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = broker.connect("admin").get("/world");
    assert_eq!(refused.status, 401);
}
