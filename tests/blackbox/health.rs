//! `mintbench health`, `mintbench env`, and `mintbench` alone.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use rustix::process::Signal;

use crate::broker::{Broker, mintbench};

fn texts(output: &std::process::Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn health_is_0_while_the_server_works_and_1_afterwards() {
    let broker = Broker::serve(&[]);
    let (code, out, err) = texts(&broker.client(&["health"]));
    let admin = broker.address("admin");
    assert_eq!(
        (code, out, err),
        (Some(0), format!("healthy: http://{admin} is ready\n"), String::new())
    );
    broker.signal(Signal::KILL);
    // The killed process leaves its folder behind, and nobody answers there.
    let until_gone = || {
        let (code, out, err) = texts(&broker.client(&["health"]));
        (code == Some(1)).then_some((out, err))
    };
    let (out, err) = crate::broker::poll(until_gone);
    assert!(out.is_empty() && err.starts_with("error: unhealthy: no server of yours"), "{err}");
    assert_eq!(err.lines().count(), 1, "{err}");
    let (code, _, err) = texts(&broker.client(&["health", "--data", "/nowhere"]));
    assert!(code == Some(1) && err.contains("no server has the folder `/nowhere`"), "{err}");
}

#[test]
fn a_server_without_a_data_folder_is_found_but_has_no_operator() {
    let broker = Broker::serve(&[]);
    let resource = "https://vault.azure.net";
    let (code, out, err) =
        texts(&broker.client(&["token", "--vm-address", "127.0.0.1", "--resource", resource]));
    assert!(code == Some(0) && out.contains("access_token"), "{err}");
    let (code, _, err) = texts(&broker.client(&["vm", "list"]));
    assert!(code == Some(2) && err.contains("nobody can sign in to the server"), "{err}");
    assert!(err.contains("start it with one, as in `mintbench serve --data"), "{err}");
    // A folder of the usual name is the server's own, even if the server does not run.
    std::fs::create_dir(broker.temporary.path().join("mintbench-data")).unwrap();
    let (code, _, err) = texts(&broker.client(&["token", "--resource", resource]));
    assert!(code == Some(2) && err.contains("no server has this folder"), "{err}");
}

#[test]
fn health_waits_no_longer_than_its_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let private = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(folder.path(), private).unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let endpoints = serde_json::json!({ "admin": url, "imds": url, "sts": url });
    std::fs::write(folder.path().join("endpoints.json"), endpoints.to_string()).unwrap();
    std::fs::write(folder.path().join("ca.pem"), "").unwrap();
    let output = mintbench()
        .args(["health", "--timeout", "200ms", "--data"])
        .arg(folder.path())
        .output()
        .unwrap();
    let (code, _, err) = texts(&output);
    assert!(code == Some(1) && err.contains("took longer than 200ms to answer"), "{err}");
}

#[test]
fn another_server_at_the_old_port_is_not_taken_for_the_server() {
    let [broker, other] = [(); 2].map(|()| Broker::serve(&[]));
    let [own, others] = [&broker, &other]
        .map(|broker| broker.admin_secret.parent().unwrap().join("endpoints.json"));
    // As if the server had ended, and the other one had got its ports.
    std::fs::copy(others, own).unwrap();
    let output = broker.client(&[
        "health",
        "--data",
        broker.admin_secret.parent().unwrap().to_str().unwrap(),
    ]);
    let (code, _, err) = texts(&output);
    assert!(code == Some(1) && err.contains("has ended, and another one listens at"), "{err}");
}

#[test]
fn the_variables_lead_to_the_server_in_every_form() {
    let broker = Broker::serve(&[]);
    let imds = format!("http://{}", broker.address("imds"));
    for (shell, line) in [
        ("bash", format!("export AZURE_POD_IDENTITY_AUTHORITY_HOST='{imds}'\n")),
        ("fish", format!("set -gx AZURE_POD_IDENTITY_AUTHORITY_HOST '{imds}'\n")),
        ("zsh", format!("export AZURE_POD_IDENTITY_AUTHORITY_HOST='{imds}'\n")),
        ("pwsh", format!("$env:AZURE_POD_IDENTITY_AUTHORITY_HOST = '{imds}'\n")),
        ("powershell", format!("$env:AZURE_POD_IDENTITY_AUTHORITY_HOST = '{imds}'\n")),
        ("dotenv", format!("AZURE_POD_IDENTITY_AUTHORITY_HOST={imds}\n")),
        ("github", format!("AZURE_POD_IDENTITY_AUTHORITY_HOST={imds}\n")),
    ] {
        let (code, out, err) = texts(&broker.client(&["env", "--shell", shell]));
        assert_eq!(code, Some(0), "{err}");
        assert!(out.starts_with(&line), "{shell}: {out}");
        for name in
            ["AZURE_AUTHORITY_HOST", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"]
        {
            assert!(out.contains(name), "{shell}: {out}");
        }
        assert!(err.contains("start the server with --app-service"), "{err}");
    }
    let (_, script, _) = texts(&broker.client(&["env"]));
    let script = format!(
        "IDENTITY_ENDPOINT=x; {script}\ncat \"$SSL_CERT_FILE\"; echo \"[$IDENTITY_ENDPOINT]\""
    );
    let output = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    let (_, out, err) = texts(&output);
    let authority = broker.connect("admin").get("/ca.pem").text();
    // Public authorities of this machine may be before it.
    assert!(out.ends_with(&format!("{authority}[]\n")), "{out} {err}");
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"), "{authority}");
}

#[test]
fn no_command_gets_three_to_try() {
    let (code, out, err) = texts(&mintbench().output().unwrap());
    assert_eq!((code, out.as_str()), (Some(2), ""));
    for command in ["mintbench serve ", "mintbench exec -- ", "mintbench run "] {
        assert!(err.contains(&format!("\n  {command}")), "{err}");
    }
}
