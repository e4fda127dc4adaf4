//! `mintbench secret`: the contents of vaults.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::args::Connection;
use super::client::{ControlError, Session, text};
use super::render::Output;
use super::resource::{last, purged, removed, shown_tags, tags};
use crate::base::files;
use crate::base::files::CREDENTIAL_BYTES_MAX;

/// Secrets in vaults.
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print only the value of a secret
    Get {
        /// VAULT/NAME, or VAULT/NAME/VERSION
        secret: SecretId,
    },
    /// List the secrets of a vault, without their values
    List {
        /// Name of the vault
        vault: VaultName,
    },
    /// Purge a removed secret, which cannot be recovered afterwards
    Purge {
        /// VAULT/NAME
        secret: SecretId,
    },
    /// Recover a removed secret
    Recover {
        /// VAULT/NAME
        secret: SecretId,
    },
    /// Remove a secret with all its versions
    Remove {
        /// VAULT/NAME
        secret: SecretId,
    },
    /// Store a value as a new version of a secret
    Set {
        /// VAULT/NAME
        secret: SecretId,
        #[command(flatten)]
        value: ValueArgs,
        /// Content type of the value, such as text/plain
        #[arg(long, value_name = "TYPE")]
        content_type: Option<String>,
        /// Tag; may be repeated
        #[arg(long, value_name = "KEY=VALUE", value_parser = super::args::tag)]
        tag: Vec<(String, String)>,
    },
    /// Show the properties of a secret, without its value
    Show {
        /// VAULT/NAME, or VAULT/NAME/VERSION
        secret: SecretId,
    },
    /// List the versions of a secret, without their values
    Versions {
        /// VAULT/NAME
        secret: SecretId,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct ValueArgs {
    /// Value; other users of this machine can see the command line, so prefer --value-file
    #[arg(long, value_name = "TEXT")]
    value: Option<String>,
    /// File with the exact value; - is standard input
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

/// The name of a vault: one label of a host name (RFC 1123 section 2.1).
#[derive(Clone, Debug, PartialEq, Eq)]
struct VaultName(String);

/// A secret, or one version of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct SecretId {
    vault: VaultName,
    name: String,
    version: Option<String>,
}

fn is_name(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl FromStr for VaultName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let well_formed = is_name(text, 63);
        let wrong =
            || format!("`{text}` is not the name of a vault; `mintbench vault list` shows them");
        well_formed.then(|| Self(text.to_owned())).ok_or_else(wrong)
    }
}

impl FromStr for SecretId {
    type Err = String;

    /// Parses VAULT/NAME or VAULT/NAME/VERSION. The name has 1 to 127 letters, digits and hyphens, as in Key
    /// Vault.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is not a secret; write it as VAULT/NAME, the name in letters, digits and hyphens"
            )
        };
        let (vault, rest) = text.split_once('/').ok_or_else(wrong)?;
        let (name, version) = match rest.split_once('/') {
            Some((name, version)) => (name, Some(version)),
            None => (rest, None),
        };
        if !is_name(name, 127) || version.is_some_and(|version| !is_name(version, 64)) {
            return Err(wrong());
        }
        Ok(Self {
            vault: vault.parse()?,
            name: name.to_owned(),
            version: version.map(str::to_owned),
        })
    }
}

const API: &str = "api-version=7.4";

impl SecretId {
    fn target(&self) -> String {
        let version =
            self.version.as_ref().map_or_else(String::new, |version| format!("/{version}"));
        format!("/secrets/{}{version}?{API}", self.name)
    }

    fn deleted(&self, verb: &str) -> String {
        format!("/deletedsecrets/{}{verb}?{API}", self.name)
    }
}

impl std::fmt::Display for SecretId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.vault.0, self.name)
    }
}

impl SecretArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        let ask = |secret: &SecretId, method: Method, target: &str, body: Option<&Value>| {
            session.vault(&secret.vault.0, &method, target, body)
        };
        match &self.verb {
            Verb::Get { secret } => {
                let bundle = ask(secret, Method::GET, &secret.target(), None)?;
                let value = text(&bundle, "/value").to_owned();
                Ok(Output::verbatim(bundle, value))
            }
            Verb::List { vault } => {
                Ok(list(session.vault_list(&vault.0, &format!("/secrets?{API}"))?))
            }
            Verb::Purge { secret } => {
                ask(secret, Method::DELETE, &secret.deleted(""), None)?;
                Ok(purged("secret", &secret.to_string()))
            }
            Verb::Recover { secret } => {
                ask(secret, Method::POST, &secret.deleted("/recover"), None).map(record)
            }
            Verb::Remove { secret } => {
                ask(secret, Method::DELETE, &secret.target(), None)?;
                Ok(removed("secret", &secret.to_string()))
            }
            Verb::Set { secret, value, content_type, tag } => {
                let (value, tags) = (value.read()?, tags(tag));
                let body = json!({ "value": value, "tags": tags, "contentType": content_type });
                ask(secret, Method::PUT, &secret.target(), Some(&body)).map(record)
            }
            Verb::Show { secret } => ask(secret, Method::GET, &secret.target(), None).map(record),
            Verb::Versions { secret } => {
                let target = format!("/secrets/{}/versions?{API}", secret.name);
                Ok(versions(session.vault_list(&secret.vault.0, &target)?))
            }
        }
    }
}

impl ValueArgs {
    fn read(&self) -> Result<String, ControlError> {
        match (&self.value, &self.value_file) {
            (Some(value), _) => Ok(value.clone()),
            (None, Some(path)) => read(path),
            (None, None) => Ok(String::new()),
        }
    }
}

fn read(path: &Path) -> Result<String, ControlError> {
    if path.as_os_str() != "-" {
        return Ok(files::read_text(path, CREDENTIAL_BYTES_MAX)?);
    }
    let mut text = String::new();
    // No vault allows a value of this length, so the rest is not read.
    let read = std::io::stdin().lock().take(CREDENTIAL_BYTES_MAX).read_to_string(&mut text);
    read.map_err(|source| ControlError::File { path: path.to_owned(), source })?;
    Ok(text)
}

/// Shows the properties of a secret. Its value is never shown, neither as a table nor as JSON.
fn record(mut bundle: Value) -> Output {
    if let Some(bundle) = bundle.as_object_mut() {
        bundle.remove("value");
    }
    let field = |pointer| text(&bundle, pointer).to_owned();
    let fields = vec![
        ("id", field("/id")),
        ("enabled", enabled(&bundle)),
        ("created", time(&bundle, "created")),
        ("updated", time(&bundle, "updated")),
        ("not before", time(&bundle, "nbf")),
        ("expires", time(&bundle, "exp")),
        ("content type", field("/contentType")),
        ("tags", shown_tags(&bundle)),
    ];
    Output::record(bundle, fields)
}

fn list(all: Vec<Value>) -> Output {
    Output::rows(all, ["NAME", "ENABLED", "UPDATED", "CONTENT TYPE"], |one| {
        let (name, content_type) = (last(text(one, "/id")), text(one, "/contentType"));
        [name.to_owned(), enabled(one), time(one, "updated"), content_type.to_owned()]
    })
}

fn versions(all: Vec<Value>) -> Output {
    Output::rows(all, ["VERSION", "ENABLED", "CREATED", "UPDATED"], |one| {
        let version = last(text(one, "/id")).to_owned();
        [version, enabled(one), time(one, "created"), time(one, "updated")]
    })
}

fn enabled(bundle: &Value) -> String {
    bundle
        .pointer("/attributes/enabled")
        .and_then(Value::as_bool)
        .map_or_else(String::new, |enabled| enabled.to_string())
}

/// Formats a time of the attributes as RFC 3339.
fn time(bundle: &Value, name: &str) -> String {
    let seconds = bundle.pointer(&format!("/attributes/{name}")).and_then(Value::as_u64);
    let time = seconds
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    let shown = time.filter(|time| *time < SystemTime::UNIX_EPOCH + Duration::from_secs(LAST_YEAR));
    shown.map_or_else(String::new, |time| humantime::format_rfc3339_seconds(time).to_string())
}

/// The last second of the year 9999. RFC 3339 has no later one.
const LAST_YEAR: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_is_a_vault_and_a_name_and_perhaps_a_version() {
        let secret: SecretId = "kv/db-password".parse().unwrap();
        assert_eq!(
            (secret.to_string(), secret.target()),
            ("kv/db-password".to_owned(), "/secrets/db-password?api-version=7.4".to_owned())
        );
        let version: SecretId = "kv/db/0123abcd".parse().unwrap();
        assert_eq!(version.target(), "/secrets/db/0123abcd?api-version=7.4");
    }

    #[test]
    fn a_name_that_would_lead_elsewhere_is_refused() {
        for text in [
            "kv",
            "kv/",
            "/db",
            "evil.com/db",
            "a@b/db",
            "kv/d b",
            "kv/db/",
            "kv/db/1/2",
            "kv/../x",
        ] {
            assert!(text.parse::<SecretId>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_shown_of_a_secret_has_no_value() {
        let bundle = json!({ "id": "https://kv/secrets/db/1", "value": "hunter2", "attributes": { "created": 0 } });
        let output = format!("{:?}", record(bundle));
        assert!(!output.contains("hunter2") && output.contains("1970-01-01T00:00:00Z"), "{output}");
    }

    proptest! {
        #[test]
        fn parsing_a_secret_never_panics_and_round_trips(text in "\\PC{0,40}") {
            if let Ok(secret) = text.parse::<SecretId>() {
                prop_assert!(text.starts_with(&secret.to_string()));
            }
        }

        #[test]
        fn every_time_can_be_shown(seconds: u64) {
            time(&json!({ "attributes": { "exp": seconds } }), "exp");
        }
    }
}
