//! Gets a token for the machine's identity and reads a secret with it.
//!
//!     VAULT_URI=... SSL_CERT_FILE=mintbench-data/ca.pem cargo run --example get_secret db-password
//!
//! The program writes its requests by hand to show what an SDK sends. The identity endpoint is at its usual
//! address unless `AZURE_POD_IDENTITY_AUTHORITY_HOST` is set.
#![expect(clippy::print_stdout, reason = "the secret is the output")]

use std::env;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

fn main() -> anyhow::Result<()> {
    let secret = env::args().nth(1).context("name a secret")?;
    let imds = env::var("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    let imds = imds.unwrap_or_else(|_| "http://169.254.169.254:80".to_owned());
    let vault = env::var("VAULT_URI").context("set VAULT_URI")?;

    let answer = get_token(imds.trim_start_matches("http://").trim_end_matches('/'))?;
    let token = answer.get("access_token").and_then(Value::as_str);
    let token = token.context("the answer has no token")?;
    let vault = vault.trim_start_matches("https://").trim_end_matches('/');
    let answer = get_secret(vault, &secret, token)?;
    let value = answer.get("value").and_then(Value::as_str);
    println!("{}", value.context("the answer has no value")?);
    Ok(())
}

/// Asks the identity endpoint for a token. The endpoint speaks plain HTTP.
fn get_token(host: &str) -> anyhow::Result<Value> {
    let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net";
    get(TcpStream::connect(host)?, host, path, "Metadata: true")
}

/// Asks the vault for the current version of a secret, over TLS.
fn get_secret(host: &str, secret: &str, token: &str) -> anyhow::Result<Value> {
    let mut roots = RootCertStore::empty();
    // Certificate authorities of the system, or those of the file in SSL_CERT_FILE.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let (name, _) = host.split_once(':').unwrap_or((host, "443"));
    let tls = ClientConnection::new(Arc::new(config), ServerName::try_from(name.to_owned())?)?;
    let stream = StreamOwned::new(tls, TcpStream::connect(host)?);
    let path = format!("/secrets/{secret}?api-version=7.4");
    get(stream, host, &path, &format!("Authorization: Bearer {token}"))
}

/// Sends a GET request on a connection of its own, and returns the JSON of the answer.
fn get(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    header: &str,
) -> anyhow::Result<Value> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\n{header}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no body")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        bail!("{host}{path}: {answer}");
    }
    Ok(serde_json::from_str(body)?)
}
