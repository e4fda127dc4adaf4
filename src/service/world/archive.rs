//! A whole world as a file that `mintbench world export` writes: every record, in one order.
//!
//! A world file (TOML) is written by people and names a few properties of each item. This file keeps all of
//! them, so an import gives the same world. The keys, the certificates of managed identities and the operator
//! belong to one server, and are no part of it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use serde::Deserialize;

use super::federation::FederatedCredential;
use super::file;
use super::file::{ReadFile, WorldFileError};
use super::names::{is_object_name, is_vault_name};
use super::record::{Credential, ObjectVersion, Record, UserAssigned};
use super::seed::{SECRET_BYTES_MAX, is_resource};
use crate::base::ids::PrincipalId;
use crate::base::synthetic::IdentityIds;
use crate::base::toml_file::listed;

/// Name and version of the format.
pub(crate) const SCHEMA: &str = "mintbench/world/1";

/// Display name of the application that a server makes for its owner.
pub(crate) const OPERATOR: &str = "mintbench operator";

/// Presence of secrets in a file: values and private keys in vaults, and digests of the secrets of applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Secrets {
    /// They are there.
    Kept,
    /// They are left out, and with them the items that are nothing without them.
    LeftOut,
}

/// A world read from a file.
#[derive(Debug)]
pub(crate) struct Archive {
    /// Presence of secrets.
    pub secrets: Secrets,
    /// The records, in the order of their keys.
    pub records: Vec<Record>,
}

/// Reason why a file is no world.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    /// The text is not the JSON of a world.
    #[error("the exported world is refused: {0}; take what `mintbench world export` wrote")]
    Syntax(serde_json::Error),
    /// Another build wrote the file.
    #[error(
        "the world has the schema `{0}`, and this build reads {SCHEMA}; use the build that wrote it"
    )]
    Schema(String),
    /// The records contradict each other, or are not valid.
    #[error("the exported world is refused{}", listed(.0))]
    Faults(Vec<String>),
    /// The world file is refused.
    #[error(transparent)]
    File(#[from] WorldFileError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    schema: String,
    secrets: bool,
    records: Vec<Record>,
}

/// Writes a world: one record on each line, in the order of their keys. Equal worlds give equal bytes.
///
/// # Errors
/// Never fails: every record can be written as JSON.
pub(crate) fn render(records: Vec<Record>, secrets: Secrets) -> serde_json::Result<String> {
    let records = chosen(world_of(records), secrets);
    let kept = secrets == Secrets::Kept;
    let mut text = format!("{{\"schema\": \"{SCHEMA}\", \"secrets\": {kept}, \"records\": [");
    let mut end = "\n";
    for record in by_key(records).values() {
        text.push_str(end);
        text.push_str(&serde_json::to_string(record)?);
        end = ",\n";
    }
    text.push_str("\n]}\n");
    Ok(text)
}

/// Reads a world: the text of [`render`], or of a world file, whose other files `beside` reads. The text may begin
/// with a byte order mark. Errors call the file `name`.
///
/// # Errors
/// Returns an error with all faults when the text is no world, or its records contradict each other.
pub(crate) fn read(name: &str, text: &str, beside: ReadFile<'_>) -> Result<Archive, ArchiveError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.trim_start().starts_with('{') {
        let records = file::parse_with(name, text, beside)?;
        return Ok(Archive { secrets: Secrets::Kept, records });
    }
    parse(text)
}

/// Reads the text of [`render`].
///
/// # Errors
/// Returns an error when the text is no such world, or its records contradict each other.
pub(crate) fn parse(text: &str) -> Result<Archive, ArchiveError> {
    let written: Written = serde_json::from_str(text).map_err(ArchiveError::Syntax)?;
    if written.schema != SCHEMA {
        return Err(ArchiveError::Schema(written.schema));
    }
    let mut faults = faults(&written.records);
    if !written.secrets && written.records.iter().any(is_secret) {
        let said = "it says `\"secrets\": false`, but has some; write true, or leave them out";
        faults.push(said.to_owned());
    }
    if !faults.is_empty() {
        return Err(ArchiveError::Faults(faults));
    }
    let secrets = if written.secrets { Secrets::Kept } else { Secrets::LeftOut };
    let records = by_key(world_of(written.records)).into_values().collect();
    Ok(Archive { secrets, records })
}

/// Returns the records by the texts of their keys, which sort them.
pub(crate) fn by_key(records: Vec<Record>) -> BTreeMap<String, Record> {
    records.into_iter().map(|record| (record.key().to_string(), record)).collect()
}

/// Returns the records that are the world, without those of one server: its signing keys, its operator, and
/// the certificates whose private keys it holds.
pub(crate) fn world_of(records: Vec<Record>) -> Vec<Record> {
    let operators: HashSet<PrincipalId> = records.iter().filter_map(operator).collect();
    records.into_iter().filter(|record| is_of_world(record, &operators)).collect()
}

fn operator(record: &Record) -> Option<PrincipalId> {
    match record {
        Record::Application(own) if own.display_name == OPERATOR => Some(own.principal_id),
        _ => None,
    }
}

fn is_of_world(record: &Record, operators: &HashSet<PrincipalId>) -> bool {
    match record {
        Record::SigningKey(_) => false,
        Record::Application(own) => !operators.contains(&own.principal_id),
        Record::RoleAssignment(own) => !operators.contains(&own.principal_id),
        Record::Credential(Credential { principal_id, private_key, .. }) => {
            private_key.is_none() && !operators.contains(principal_id)
        }
        Record::Tenant(_)
        | Record::Subscription(_)
        | Record::Audience(_)
        | Record::ResourceGroup(_)
        | Record::UserAssigned(_)
        | Record::VirtualMachine(_)
        | Record::FormerAddress(_)
        | Record::Vault(_)
        | Record::DeletedVault(_)
        | Record::SecretVersion(_)
        | Record::DeletedSecret(_)
        | Record::KeyVersion(_)
        | Record::DeletedKey(_) => true,
    }
}

/// Returns true for a record that [`Secrets::LeftOut`] drops or changes.
fn is_secret(record: &Record) -> bool {
    match record {
        Record::SecretVersion(_)
        | Record::DeletedSecret(_)
        | Record::KeyVersion(_)
        | Record::DeletedKey(_) => true,
        Record::Application(own) => !own.secret_digests.is_empty(),
        _ => false,
    }
}

/// Returns the records with or without secrets.
pub(crate) fn chosen(records: Vec<Record>, secrets: Secrets) -> Vec<Record> {
    if secrets == Secrets::Kept {
        return records;
    }
    let without = |record| match record {
        Record::SecretVersion(_)
        | Record::DeletedSecret(_)
        | Record::KeyVersion(_)
        | Record::DeletedKey(_) => None,
        Record::Application(mut own) => {
            own.secret_digests.clear();
            Some(Record::Application(own))
        }
        other => Some(other),
    };
    records.into_iter().filter_map(without).collect()
}

/// Collects the faults of records that did not come from a store.
#[derive(Default)]
struct Faults {
    found: Vec<String>,
    taken: BTreeSet<(&'static str, String)>,
}

impl Faults {
    fn unique(&mut self, what: &'static str, value: &dyn fmt::Display) {
        if !self.taken.insert((what, value.to_string())) {
            self.found.push(format!("the {what} `{value}` is used twice; give each its own"));
        }
    }

    fn ids(&mut self, ids: IdentityIds) {
        self.unique("client id", &ids.client_id);
        self.unique("principal id", &ids.principal_id);
    }

    fn invalid(&mut self, what: &'static str, value: &str) {
        self.found.push(format!("`{value}` is no {what}; correct it"));
    }

    fn object_name(&mut self, name: &str) {
        if !is_object_name(name) {
            self.invalid("name of a secret or a key", name);
        }
    }

    fn object_version<C>(&mut self, own: &ObjectVersion<C>) {
        self.object_name(&own.name);
        if own.version.len() != 32 || !own.version.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.invalid("version of a secret or a key", &own.version);
        }
    }

    fn user_assigned(&mut self, own: &UserAssigned) {
        self.ids(own.ids);
        let mut held: Vec<FederatedCredential> = Vec::new();
        for credential in &own.federated_credentials {
            let name = &credential.name;
            let said = if held.iter().any(|other| other.is_named(name)) {
                "the name is used twice; give each its own".to_owned()
            } else {
                let Err(error) = credential.clone().add_to(&mut held) else { continue };
                error.to_string()
            };
            self.found.push(format!("the federated credential `{name}` of `{}`: {said}", own.id));
        }
    }

    fn of(&mut self, record: &Record) {
        self.unique("record", &record.key());
        match record {
            Record::Audience(name) if !is_resource(name) => {
                self.invalid("resource of tokens", name);
            }
            Record::Application(own) => {
                self.ids(IdentityIds { client_id: own.client_id, principal_id: own.principal_id });
            }
            Record::UserAssigned(own) => self.user_assigned(own),
            Record::VirtualMachine(vm) => {
                self.unique("id of a machine", &vm.vm_id);
                vm.system_assigned.into_iter().for_each(|ids| self.ids(ids));
                vm.address.into_iter().for_each(|own| self.unique("address", &own));
                vm.listener.into_iter().for_each(|port| self.unique("port of a listener", &port));
            }
            Record::Vault(vault) => self.vault(vault.id.name()),
            Record::DeletedVault(deleted) => self.vault(deleted.vault.id.name()),
            Record::SecretVersion(own) => {
                self.object_version(own);
                if own.content.value.0.expose().len() > SECRET_BYTES_MAX {
                    self.invalid("secret of at most 25 kB", &own.name);
                }
            }
            Record::KeyVersion(own) => self.object_version(own),
            Record::DeletedSecret(own) | Record::DeletedKey(own) => self.object_name(&own.name),
            Record::Audience(_)
            | Record::Tenant(_)
            | Record::Subscription(_)
            | Record::ResourceGroup(_)
            | Record::FormerAddress(_)
            | Record::RoleAssignment(_)
            | Record::Credential(_)
            | Record::SigningKey(_) => {}
        }
    }

    fn vault(&mut self, name: &str) {
        if !is_vault_name(name) {
            self.invalid("name of a vault", name);
        }
        self.unique("name of a vault", &name.to_ascii_lowercase());
    }
}

fn faults(records: &[Record]) -> Vec<String> {
    let mut faults = Faults::default();
    for record in records {
        faults.of(record);
    }
    faults.found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(name: &str) -> Result<String, crate::base::files::ReadError> {
        let source = std::io::ErrorKind::NotFound.into();
        Err(crate::base::files::ReadError::System { path: name.into(), source })
    }

    #[test]
    fn what_is_read_is_written_again_byte_for_byte() {
        for secrets in [Secrets::Kept, Secrets::LeftOut] {
            let mut demo = file::demo().unwrap();
            demo.reverse();
            let text = render(demo, secrets).unwrap();
            let read = read("world.json", &text, &nothing).unwrap();
            assert_eq!(read.secrets, secrets);
            assert_eq!(render(read.records, secrets).unwrap(), text);
            let has_value = text.contains("secretVersion");
            assert_eq!(has_value, secrets == Secrets::Kept, "{text}");
        }
    }

    /// Returns the examples of the format description: a record of each kind.
    fn examples() -> Vec<Record> {
        let blocks = include_str!("../../../docs/STORE-FORMAT.md").split("\n```json\n").skip(1);
        blocks
            .map(|block| serde_json::from_str(block.split("```").next().unwrap()).unwrap())
            .collect()
    }

    #[test]
    fn every_kind_of_record_is_written_and_read_again() {
        let text = render(examples(), Secrets::Kept).unwrap();
        let read = parse(&text).unwrap();
        assert_eq!(render(read.records, Secrets::Kept).unwrap(), text);
        let kinds = text.lines().filter_map(|line| line.strip_prefix("{\"")?.split('"').next());
        let kinds: BTreeSet<&str> = kinds.filter(|kind| *kind != "schema").collect();
        // All but the signing key and the certificate with its private key, which belong to one server.
        assert_eq!(kinds.len(), 15, "{kinds:?}");
        assert!(text.contains("\"federated_credentials\"") && text.contains("\"private_key\""));
    }

    #[test]
    fn nothing_secret_is_written_unless_it_is_asked_for() {
        let text = render(examples(), Secrets::LeftOut).unwrap();
        for secret in ["keyVersion", "deletedKey", "secretVersion", "deletedSecret"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for member in ["private_key", "\"value\"", "secret_digests", "bm90IGEga2V5"] {
            assert!(!text.contains(member), "{member}: {text}");
        }
        assert!(text.contains("\"federated_credentials\""), "{text}");
        let read = parse(&text).unwrap();
        assert_eq!(render(read.records, Secrets::LeftOut).unwrap(), text);
    }

    #[test]
    fn keys_and_federated_credentials_that_cannot_be_are_refused() {
        let text = render(examples(), Secrets::Kept).unwrap();
        for (old, new, fault) in [
            ("\"name\":\"Sign\"", "\"name\":\"a_b\"", "`a_b` is no name of a secret or a key"),
            (
                "\"name\":\"kubernetes\"",
                "\"name\":\"k\"",
                "the federated credential `k` of `/subscr",
            ),
            (
                "https://kubernetes.default",
                "kubernetes.default",
                "is not valid: write an absolute URL",
            ),
        ] {
            assert!(text.contains(old), "{old}: {text}");
            let said = parse(&text.replace(old, new)).unwrap_err().to_string();
            assert!(said.contains(fault), "{fault}: {said}");
        }
    }

    #[test]
    fn a_world_file_is_a_world_too() {
        let text = include_str!("demo.toml");
        let records = read("demo.toml", text, &nothing).unwrap().records;
        assert_eq!(records, file::demo().unwrap());
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_each_fault() {
        let demo = file::demo().unwrap();
        let text = render(demo, Secrets::Kept).unwrap();
        let refused = |text: &str| parse(text).unwrap_err().to_string();
        let twice = text.replacen(
            "\"records\": [\n",
            "\"records\": [\n{\"audience\":\"a b\"},\n{\"audience\":\"a b\"},\n",
            1,
        );
        let said = refused(&twice);
        assert!(said.contains("the record `audience a b` is used twice"), "{said}");
        assert!(said.contains("`a b` is no resource of tokens"), "{said}");
        let said = refused(&text.replace("\"secrets\": true", "\"secrets\": false"));
        assert!(said.contains("it says `\"secrets\": false`, but has some"), "{said}");
        let said = refused(&text.replace(SCHEMA, "mintbench/world/9"));
        assert!(said.contains("this build reads mintbench/world/1"), "{said}");
        let said = refused("{\"schema\": 1}");
        assert!(said.contains("mintbench world export"), "{said}");
    }
}
