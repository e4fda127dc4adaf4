//! Files with secrets: files that others can read or change are refused, and the message names the
//! remedy.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::broker::{Broker, mintbench};
use crate::control::Server;

const SECRETS: [&str; 5] = ["ca.key", "operator.pem", "admin.secret", "world.redb", "lock"];

fn give(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Returns the error of a command that must exit with 2 and start nothing.
fn refused(args: &[&str]) -> String {
    let output = mintbench().args(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{args:?}: {said}");
    said
}

fn serve(folder: &Path) -> [String; 7] {
    let data = format!("--data={}", folder.display());
    let ports =
        ["imds", "sts", "arm", "vault", "admin"].map(|name| format!("--{name}=127.0.0.1:0"));
    let [imds, sts, arm, vault, admin] = ports;
    ["serve".to_owned(), data, imds, sts, arm, vault, admin]
}

fn refuses_to_serve(folder: &Path) -> String {
    refused(&serve(folder).each_ref().map(String::as_str))
}

/// Returns the folder of a server that has ended.
fn used_folder() -> (tempfile::TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("my data");
    drop(Broker::serve(&["--data", folder.to_str().unwrap()]));
    (above, folder)
}

#[test]
fn every_secret_of_a_folder_is_refused_while_others_can_read_it_and_nothing_is_changed() {
    let (_above, folder) = used_folder();
    for name in SECRETS {
        let file = folder.join(name);
        for mode in [0o640, 0o644, 0o602] {
            give(&file, mode);
            let said = refuses_to_serve(&folder);
            let fix = format!("`chmod 600 '{}'`", file.display());
            assert!(said.contains(&fix), "{said}");
            assert_eq!(said.contains("--allow-group-read"), mode == 0o640, "{said}");
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, mode);
        }
        give(&file, 0o600);
    }
    drop(Broker::serve(&["--data", folder.to_str().unwrap()]));
}

#[test]
fn a_folder_that_others_can_write_in_is_refused_and_one_that_they_can_read_is_not() {
    let (_above, folder) = used_folder();
    for mode in [0o777, 0o1777, 0o770, 0o775] {
        give(&folder, mode);
        let said = refuses_to_serve(&folder);
        let fix = format!("`chmod go-w '{}'`", folder.display());
        assert!(said.contains(&fix) && said.contains("name a new folder in it"), "{said}");
    }
    // A subfolder solves the problem of a volume that everybody may write to.
    let below = folder.join("state");
    drop(Broker::serve(&["--data", below.to_str().unwrap()]));
    assert_eq!(fs::metadata(&below).unwrap().permissions().mode() & 0o777, 0o700);
    give(&folder, 0o755);
    drop(Broker::serve(&["--data", folder.to_str().unwrap()]));
}

/// Tests a volume as Kubernetes mounts it for a group (fsGroup), with a secret behind a symbolic
/// link.
#[test]
fn a_volume_of_a_group_is_served_from_when_the_group_is_trusted() {
    let (above, folder) = used_folder();
    give(&folder, 0o2770);
    for name in SECRETS {
        give(&folder.join(name), 0o660);
    }
    let mounted = above.path().join("..data");
    fs::create_dir(&mounted).unwrap();
    fs::rename(folder.join("ca.key"), mounted.join("ca.key")).unwrap();
    symlink(mounted.join("ca.key"), folder.join("ca.key")).unwrap();
    give(&mounted.join("ca.key"), 0o440);
    refuses_to_serve(&folder);
    let broker = Broker::serve(&["--allow-group-read", "--data", folder.to_str().unwrap()]);
    let data = folder.to_str().unwrap();
    let list = |variable: &str| {
        let mut command = mintbench();
        command.args(["vm", "list", "--data", data]).env("MINTBENCH_ALLOW_GROUP_READ", variable);
        command.output().unwrap()
    };
    assert_eq!(list("true").status.code(), Some(0));
    assert_eq!(list("false").status.code(), Some(2));
    drop(broker);
    give(&mounted.join("ca.key"), 0o444);
    let said = refused(
        &[&serve(&folder).each_ref().map(String::as_str)[..], &["--allow-group-read"]].concat(),
    );
    assert!(said.contains("`chmod o-rwx "), "{said}");
}

#[test]
fn commands_use_neither_a_key_that_others_can_read_nor_a_folder_that_they_can_write_in() {
    let server = Server::start();
    let (folder, pem) = (server.folder(), server.folder().join("operator.pem"));
    give(&pem, 0o644);
    let said = server.refuses(2, &["vm", "list"]);
    assert!(said.contains(&format!("`chmod 600 {}`", pem.display())), "{said}");
    give(&pem, 0o600);
    give(folder, 0o777);
    for command in [&["vm", "list"][..], &["token", "--resource", "https://vault.azure.net"]] {
        let said = server.refuses(2, command);
        assert!(said.contains(&format!("`chmod go-w {}`", folder.display())), "{said}");
    }
    give(folder, 0o755);
    server.prints(&["vm", "list"]);
}

#[test]
fn a_folder_or_secret_of_another_user_is_refused() {
    // Only root can change the owner of a file.
    if !geteuid().is_root() {
        return;
    }
    let (_above, folder) = used_folder();
    for path in SECRETS.map(|name| folder.join(name)).iter().chain([&folder]) {
        chown(path, Some(12_345), None).unwrap();
        let said = refuses_to_serve(&folder);
        assert!(said.contains("another user (12345)") && said.contains("`chown 0 "), "{said}");
        chown(path, Some(0), None).unwrap();
    }
}
