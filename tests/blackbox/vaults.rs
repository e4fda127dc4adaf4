//! The addresses of vaults, and the state of a removed vault.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::control::{Server, suggested};

/// Gives the operator all rights to secrets, also in vaults that are made later.
fn may_use_secrets(server: &Server) {
    let role = ["--role", "Key Vault Secrets Officer", "--scope", "subscription"];
    server.prints(&[&["role", "assign", "--principal", "me"], &role[..]].concat());
}

pub(crate) fn uri(vault: &Value) -> String {
    vault["properties"]["vaultUri"].as_str().unwrap().to_owned()
}

/// Returns the answer to a request without a token at `uri`, resolved by this machine.
fn challenge(folder: &Path, uri: &str) -> String {
    asked(folder, uri, "/secrets?api-version=7.4", "")
}

/// Returns the answer to a `GET` over TLS with further headers.
pub(crate) fn asked(folder: &Path, uri: &str, target: &str, headers: &str) -> String {
    sent(folder, uri, &format!("GET {target}"), headers, "")
}

/// Returns the answer to a request over TLS: method and target, further headers, and a body.
pub(crate) fn sent(folder: &Path, uri: &str, line: &str, headers: &str, body: &str) -> String {
    let authority = uri.strip_prefix("https://").unwrap().trim_end_matches('/');
    let (host, port) = authority.split_once(':').unwrap();
    let mut trusted = RootCertStore::empty();
    trusted.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(trusted).with_no_client_auth());
    let name = ServerName::try_from(host.to_owned()).unwrap();
    let address = (host, port.parse().unwrap()).to_socket_addrs().unwrap().next().unwrap();
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(config, name).unwrap(), stream);
    let request =
        format!("{line} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n{headers}\r\n{body}");
    // The server may refuse a long head before it has read it, and close the connection.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
#[cfg(target_os = "linux")]
fn each_of_several_vaults_answers_at_its_uri_also_one_that_was_just_made() {
    let server = Server::start();
    let second = server.json(&["vault", "create", "second", "--group", "demo"]);
    let first = server.json(&["vault", "show", "demo-vault"]);
    assert_ne!(uri(&first), uri(&second));
    for vault in [&first, &second] {
        let answer = challenge(server.folder(), &uri(vault));
        assert!(answer.starts_with("HTTP/1.1 401 "), "{}: {answer}", uri(vault));
        assert!(answer.contains("www-authenticate: Bearer authorization=\"https://"), "{answer}");
    }
    let table = server.prints(&["vault", "list"]);
    assert!(table.contains(&uri(&first)) && table.contains(&uri(&second)), "{table}");
}

#[test]
fn the_uris_of_vaults_can_be_set() {
    let mut server = Server::start();
    may_use_secrets(&server);
    server.restart(&["--vault-uri", "https://{name}.vault.example:8443"]);
    let shown = server.json(&["vault", "show", "demo-vault"]);
    assert_eq!(uri(&shown), "https://demo-vault.vault.example:8443/");
    assert_eq!(server.prints(&["secret", "list", "demo-vault"]).lines().count(), 2);
}

#[test]
fn a_removed_vault_is_recovered_with_its_secrets_also_after_a_crash_until_it_is_purged() {
    let mut server = Server::start();
    may_use_secrets(&server);
    let create = ["vault", "create", "shop", "--group", "demo", "--retention-days", "7"];
    let made = server.json(&create);
    assert_eq!(made["properties"]["softDeleteRetentionInDays"], 7);
    server.prints(&["secret", "set", "shop/db", "--value", "x"]);
    server.prints(&["vault", "remove", "shop"]);
    server.restart(&[]);
    let removed = server.json(&["vault", "list", "--removed"]);
    assert_eq!(removed[0]["name"], "shop");
    let error = server.refuses(1, &create);
    assert_eq!(suggested(&error), "mintbench vault recover shop");
    let recovered = server.json(&["vault", "recover", "SHOP"]);
    assert_eq!(recovered["properties"]["softDeleteRetentionInDays"], 7);
    assert_eq!(server.prints(&["secret", "get", "shop/db"]), "x");
    server.prints(&["vault", "remove", "shop"]);
    assert_eq!(server.prints(&["vault", "purge", "shop"]).trim(), "purged the vault shop");
    server.restart(&[]);
    assert_eq!(server.json(&["vault", "list", "--removed"]).as_array().map(Vec::len), Some(0));
    let error = server.refuses(1, &["vault", "recover", "shop"]);
    assert_eq!(suggested(&error), "mintbench vault list --removed");
    server.prints(&create);
    assert_eq!(server.prints(&["secret", "list", "shop"]).lines().count(), 1);
}
