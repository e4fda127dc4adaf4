//! A data folder that is full, lost or damaged.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::broker::{Answer, Broker, mintbench, poll};

const GROUPS: &str = "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups";
const TOKEN: &str = "resource=https://management.azure.com/";

fn serve(folder: &Path) -> Broker {
    Broker::serve(&["--data", folder.to_str().unwrap(), "--arm-auth", "off"])
}

/// Returns the error of `serve` with a folder that it must refuse.
fn refused(folder: &Path) -> String {
    let mut command = mintbench();
    command.args(["serve", "--data"]).arg(folder);
    for surface in ["--imds", "--sts", "--admin", "--arm", "--vault"] {
        command.args([surface, "127.0.0.1:0"]);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

fn check(folder: &Path) -> Output {
    mintbench().args(["store", "check"]).arg(folder).output().unwrap()
}

/// Makes a resource group with tags of about 4 kB.
fn make(broker: &Broker, name: &str) -> Answer {
    let tags: Vec<_> = (0..15).map(|tag| format!(r#""{tag}":"{}""#, "x".repeat(250))).collect();
    let body = format!(r#"{{"location":"local","tags":{{{}}}}}"#, tags.join(","));
    let length = body.len();
    let mut connection = broker.connect("arm");
    connection.send(
        format!("PUT {GROUPS}/{name}?api-version=2024-03-01 HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes(),
    );
    connection.read().unwrap()
}

/// Returns the names of the groups that [`make`] made.
fn made(broker: &Broker) -> Vec<String> {
    let groups = broker.connect("arm").get(&format!("{GROUPS}?api-version=2024-03-01")).json();
    let names = groups["value"].as_array().unwrap().iter().map(|group| group["name"].clone());
    let names = names.map(|name| name.as_str().unwrap().to_owned());
    names.filter(|name| name.starts_with("full-")).collect()
}

fn ready(broker: &Broker) -> Answer {
    broker.connect("admin").get("/readyz")
}

#[test]
fn a_full_disk_refuses_changes_says_so_and_takes_them_again_when_there_is_space() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path());
    assert_eq!((ready(&broker).status, broker.metric::<u8>("mintbench_store_writable")), (200, 1));
    broker.limit_files(Some(fs::metadata(folder.path().join("world.redb")).unwrap().len()));
    let mut names = (0..).map(|number| format!("full-{number:04}"));
    let mut kept = Vec::new();
    let refused = names.by_ref().take(2_000).find_map(|name| {
        let answer = make(&broker, &name);
        if answer.status != 201 {
            return Some(answer);
        }
        kept.push(name);
        None
    });
    let refused = refused.expect("the file never reached its limit");
    assert_eq!((refused.status, &*refused.headers["retry-after"]), (503, "10"));
    let revoked = broker.post_admin("/signing-keys/rotate?force=true");
    assert_eq!((revoked.status, &*revoked.headers["retry-after"]), (503, "10"));
    let folder_name = folder.path().to_str().unwrap();
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert_eq!(refused.json()["error"]["code"], "ServiceUnavailable");
    assert!(message.contains("the store cannot be written: ") && message.contains(folder_name));
    let unready = ready(&broker);
    assert_eq!((unready.status, broker.metric::<u8>("mintbench_store_writable")), (503, 0));
    assert!(unready.text().contains(folder_name), "{}", unready.text());
    assert_eq!(broker.connect("admin").get("/healthz").status, 200);
    // Requests that change nothing still succeed.
    assert_eq!(broker.token(TOKEN).status, 200);
    assert_eq!(made(&broker), kept);
    broker.limit_files(None);
    poll(|| (ready(&broker).status == 200).then_some(()));
    // The refused change may have been made. All earlier changes were.
    kept = {
        let found = made(&broker);
        assert_eq!(found[..kept.len()], kept);
        found
    };
    for name in names.take(20) {
        assert_eq!(make(&broker, &name).status, 201);
        kept.push(name);
    }
    assert_eq!(broker.metric::<u8>("mintbench_store_writable"), 1);
    drop(broker);
    assert_eq!(made(&serve(folder.path())), kept);
}

#[test]
fn a_store_that_is_removed_under_the_server_is_noticed_and_no_change_is_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path());
    assert_eq!(make(&broker, "full-1").status, 201);
    let (file, aside) = (folder.path().join("world.redb"), folder.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    let refused = make(&broker, "full-2");
    assert_eq!(refused.status, 503);
    assert!(refused.text().contains("was removed or replaced"), "{}", refused.text());
    assert_eq!((ready(&broker).status, broker.metric::<u8>("mintbench_store_writable")), (503, 0));
    assert_eq!(broker.token(TOKEN).status, 200);
    fs::rename(&aside, &file).unwrap();
    poll(|| (ready(&broker).status == 200).then_some(()));
    assert_eq!(make(&broker, "full-3").status, 201);
    assert_eq!(made(&broker), ["full-1", "full-3"]);
}

#[test]
fn a_folder_whose_store_is_lost_does_not_become_a_new_world() {
    let folder = tempfile::tempdir().unwrap();
    drop(serve(folder.path()));
    let (file, aside) = (folder.path().join("world.redb"), folder.path().join("aside"));
    fs::rename(&file, &aside).unwrap();
    let error = refused(folder.path());
    assert!(error.contains("`world.redb` is missing") && error.contains("backup"), "{error}");
    assert!(!file.exists());
    fs::rename(&aside, &file).unwrap();
    serve(folder.path());
}

#[test]
fn a_new_folder_takes_an_authority_and_an_admin_secret_that_are_given_to_it() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    drop(serve(first.path()));
    let given = ["ca.key", "ca.pem", "admin.secret"];
    for name in given {
        fs::copy(first.path().join(name), second.path().join(name)).unwrap();
    }
    drop(serve(second.path()));
    for name in given {
        let [one, other] = [&first, &second].map(|folder| fs::read(folder.path().join(name)));
        assert_eq!(one.unwrap(), other.unwrap(), "{name}");
    }
}

#[test]
fn a_folder_that_cannot_be_checked_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let none = folder.path().join("none");
    for path in [folder.path(), &none] {
        let output = check(path);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{error}");
        let expected = format!("error: there is no store in `{}`; name the folder", path.display());
        assert!(error.starts_with(&expected), "{error}");
    }
    let data = folder.path().join("data");
    let _broker = Broker::serve(&[&format!("--data={}", data.display())]);
    let error = String::from_utf8(check(&data).stderr).unwrap();
    assert!(
        error.starts_with("error: cannot check the store: another mintbench serves"),
        "{error}"
    );
}

#[test]
fn a_damaged_store_is_refused_without_a_panic_and_the_check_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let broker = serve(folder.path());
    let in_use = check(folder.path());
    assert_eq!(in_use.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&in_use.stderr).contains("another mintbench serves from"));
    drop(broker);
    let file = folder.path().join("world.redb");
    let good = fs::read(&file).unwrap();
    let sound = check(folder.path());
    assert_eq!(sound.status.code(), Some(0), "{sound:?}");
    assert!(String::from_utf8_lossy(&sound.stdout).contains(" is sound: "), "{sound:?}");
    let mut damaged = 0;
    for page in (1..good.len() / 4096).step_by((good.len() / 4096 / 24).max(1)) {
        let mut bad = good.clone();
        bad[page * 4096..][..4096].fill(0);
        fs::write(&file, &bad).unwrap();
        let checked = check(folder.path());
        if checked.status.code() == Some(0) {
            continue;
        }
        damaged += 1;
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        let text = String::from_utf8_lossy(&checked.stdout);
        assert!(text.contains("is damaged; restore the folder from a backup"), "{text}");
        let error = refused(folder.path());
        assert!(error.contains("mintbench store check"), "{error}");
        for text in [&*error, &String::from_utf8_lossy(&checked.stderr)] {
            assert!(!text.contains("panicked") && !text.contains("backtrace"), "{text}");
        }
        assert!(fs::read(&file).unwrap() == bad, "page {page}: the file was changed");
    }
    assert!(damaged > 0, "no page of the sample was in use");
    fs::write(&file, &good).unwrap();
    serve(folder.path());
}
