//! World files: parsing of TOML to records, or a list of all faults, each with its line.

mod applications;
mod federated_credentials;
mod reader;
mod role_assignments;
mod vaults;

use serde::Deserialize;
use toml::Spanned;

use applications::ApplicationEntry;
use federated_credentials::FederatedCredentialEntry;
pub(crate) use reader::ReadFile;
use reader::Reader;
use role_assignments::RoleAssignmentEntry;
use vaults::{SecretEntry, VaultEntry};

use crate::base::files::ReadError;
use crate::base::ids::{ArmId, SubscriptionId};
use crate::base::synthetic::IdentityIds;
use crate::base::toml_file;
use crate::base::toml_file::listed;
use crate::service::world::record::Record;
use crate::service::world::seed::{Added, VmIdentities, derived_ids};

/// Faults of a world file: one line per problem, `name:line: what; how to fix it`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the world file is refused{problems}", problems = listed(.0))]
pub(crate) struct WorldFileError(Vec<String>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    resources: Vec<Spanned<String>>,
    #[serde(default)]
    tenants: Vec<TenantEntry>,
    #[serde(default)]
    subscriptions: Vec<SubscriptionEntry>,
    #[serde(default)]
    user_assigned: Vec<Spanned<UserAssignedEntry>>,
    #[serde(default)]
    vms: Vec<Spanned<VmEntry>>,
    #[serde(default)]
    role_assignments: Vec<RoleAssignmentEntry>,
    #[serde(default)]
    vaults: Vec<Spanned<VaultEntry>>,
    #[serde(default)]
    secrets: Vec<Spanned<SecretEntry>>,
    #[serde(default)]
    applications: Vec<Spanned<ApplicationEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TenantEntry {
    id: Spanned<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SubscriptionEntry {
    id: Spanned<String>,
    tenant: Spanned<String>,
    #[serde(default)]
    management_groups: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct UserAssignedEntry {
    name: Spanned<String>,
    subscription: Spanned<String>,
    resource_group: Spanned<String>,
    client_id: Option<Spanned<String>>,
    principal_id: Option<Spanned<String>>,
    #[serde(default)]
    federated_credentials: Vec<Spanned<FederatedCredentialEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct VmEntry {
    name: Spanned<String>,
    subscription: Spanned<String>,
    resource_group: Spanned<String>,
    address: Option<Spanned<String>>,
    throttle: Option<Spanned<String>>,
    system_assigned: Option<Spanned<toml::Value>>,
    #[serde(default)]
    user_assigned: Vec<Spanned<String>>,
}

/// Returns the default world.
///
/// # Errors
/// Never fails. A test parses it.
pub(crate) fn demo() -> Result<Vec<Record>, WorldFileError> {
    parse("demo.toml", include_str!("../demo.toml"))
}

/// Parses the text of a world file. Errors call the file `name`.
///
/// # Errors
/// Returns all faults of the file, not only the first.
pub(crate) fn parse(name: &str, text: &str) -> Result<Vec<Record>, WorldFileError> {
    let unread = |name: &str| {
        let source = std::io::ErrorKind::Unsupported.into();
        Err(ReadError::System { path: name.into(), source })
    };
    parse_with(name, text, &unread)
}

/// Like [`parse`], for a world file that may name other files. `read` returns their text.
///
/// # Errors
/// Returns the same errors as [`parse`].
pub(crate) fn parse_with(
    name: &str,
    text: &str,
    read: ReadFile<'_>,
) -> Result<Vec<Record>, WorldFileError> {
    let toml_file::Read { value, faults } = toml_file::read::<File>(text);
    let mut reader = Reader::new(text, read);
    reader.problems = faults;
    if let Some(file) = value {
        reader.read(&file);
    }
    reader
        .finish()
        .map_err(|faults| WorldFileError(faults.iter().map(|fault| fault.of_file(name)).collect()))
}

impl Reader<'_> {
    fn read(&mut self, file: &File) {
        for name in &file.resources {
            self.resource(name);
        }
        for entry in &file.tenants {
            self.tenant(entry);
        }
        for entry in &file.subscriptions {
            self.subscription(entry);
        }
        for entry in &file.user_assigned {
            self.user_assigned(entry);
        }
        for entry in &file.vms {
            self.vm(entry);
        }
        for entry in &file.applications {
            self.application(entry);
        }
        for entry in &file.role_assignments {
            self.role_assignment(entry);
        }
        for entry in &file.vaults {
            self.vault(entry);
        }
        for entry in &file.secrets {
            self.secret(entry);
        }
        if file.vms.is_empty() {
            self.problem(&(0..0), "no [[vms]]: a world needs at least one to answer; add one");
        }
    }

    fn resource(&mut self, name: &Spanned<String>) {
        let added = self.builder.resource(name.get_ref());
        self.keep(&name.span(), added);
    }

    fn tenant(&mut self, entry: &TenantEntry) {
        let Some(id) = self.parsed(&entry.id) else { return };
        let added = self.builder.tenant(id);
        if self.keep(&entry.id.span(), added).is_some() {
            self.tenants.insert(entry.id.get_ref().to_ascii_lowercase(), id);
        }
    }

    fn subscription(&mut self, entry: &SubscriptionEntry) {
        let id = self.parsed::<SubscriptionId>(&entry.id);
        let tenant = self.tenants.get(&entry.tenant.get_ref().to_ascii_lowercase()).copied();
        let missing = || {
            format!("the tenant `{}` is not in [[tenants]]; add it there", entry.tenant.get_ref())
        };
        let tenant = self.keep(&entry.tenant.span(), tenant.ok_or_else(missing));
        if let Some((id, tenant)) = id.zip(tenant) {
            self.builder.subscription(id, tenant, entry.management_groups.clone());
        }
        let name = entry.id.get_ref().to_ascii_lowercase();
        if self.subscriptions.insert(name, id.zip(tenant)).is_some() {
            let what =
                format!("the subscription `{}` is there twice; remove one", entry.id.get_ref());
            self.problem(&entry.id.span(), what);
        }
    }

    fn user_assigned(&mut self, entry: &Spanned<UserAssignedEntry>) {
        let index = self.user_assigned_index(entry);
        let name = &entry.get_ref().name;
        self.principal(name, index.as_ref().map(|added| added.principal_id));
        if self.user_assigned.insert(name.get_ref().clone(), index).is_some() {
            let what = format!(
                "the name `{}` is used twice in [[user_assigned]]; assignments go by name, so make it unique",
                name.get_ref()
            );
            self.problem(&name.span(), what);
        }
    }

    fn user_assigned_index(&mut self, entry: &Spanned<UserAssignedEntry>) -> Option<Added> {
        let (span, entry) = (entry.span(), entry.get_ref());
        let (subscription, tenant) = self.subscription_named(&entry.subscription)?;
        let path = "Microsoft.ManagedIdentity/userAssignedIdentities";
        let id = self.arm_id(subscription, &entry.resource_group, path, &entry.name)?;
        let ids = self.ids(&id, entry.client_id.as_ref(), entry.principal_id.as_ref())?;
        let federated = self.federated_credentials(&entry.federated_credentials);
        let added = self.builder.user_assigned(tenant, id, ids, federated);
        self.keep(&span, added)
    }

    fn vm(&mut self, entry: &Spanned<VmEntry>) {
        let (span, entry) = (entry.span(), entry.get_ref());
        let Some((subscription, tenant)) = self.subscription_named(&entry.subscription) else {
            return;
        };
        let path = "Microsoft.Compute/virtualMachines";
        let Some(id) = self.arm_id(subscription, &entry.resource_group, path, &entry.name) else {
            return;
        };
        let address = entry.address.as_ref().and_then(|text| self.parsed(text));
        let throttle = entry.throttle.as_ref().and_then(|text| self.parsed(text));
        let system_assigned =
            entry.system_assigned.as_ref().and_then(|own| self.system_assigned(&id, own));
        if entry.system_assigned.is_some() {
            self.principal(&entry.name, system_assigned.map(|ids| ids.principal_id));
        }
        let user_assigned =
            entry.user_assigned.iter().filter_map(|name| self.user_assigned_named(name)).collect();
        let identities = VmIdentities { system_assigned, user_assigned };
        let added = self.builder.vm(tenant, id, address, throttle, identities);
        self.keep(&span, added);
    }

    /// Parses `true`, or a table of exactly the two ids.
    fn system_assigned(&mut self, vm: &ArmId, own: &Spanned<toml::Value>) -> Option<IdentityIds> {
        let id = |name| own.get_ref().get(name).and_then(toml::Value::as_str);
        match (own.get_ref(), id("client_id"), id("principal_id")) {
            (toml::Value::Boolean(enabled), ..) => enabled.then(|| derived_ids(vm)),
            (toml::Value::Table(table), Some(client_id), Some(principal_id))
                if table.len() == 2 =>
            {
                Some(IdentityIds {
                    client_id: self.keep(&own.span(), client_id.parse())?,
                    principal_id: self.keep(&own.span(), principal_id.parse())?,
                })
            }
            _ => {
                self.problem(&own.span(), "system_assigned is neither a boolean nor a pair of ids; write true, false or { client_id = \"...\", principal_id = \"...\" }");
                None
            }
        }
    }

    fn user_assigned_named(&mut self, name: &Spanned<String>) -> Option<Added> {
        let known = self.user_assigned.get(name.get_ref()).cloned();
        let missing = || {
            format!("the identity `{}` is not in [[user_assigned]]; add it there", name.get_ref())
        };
        self.keep(&name.span(), known.ok_or_else(missing)).flatten()
    }
}
