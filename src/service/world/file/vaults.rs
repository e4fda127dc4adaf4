//! `[[vaults]]` and `[[secrets]]`: the key vaults of the world and their first secrets.

use serde::Deserialize;
use toml::Spanned;

use super::reader::Reader;
use crate::base::ids::ArmId;
use crate::base::secret::SecretText;
use crate::service::world::vault::{RETENTION_DAYS, VaultSettings};
use crate::service::world::{is_object_name, is_vault_name};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VaultEntry {
    name: Spanned<String>,
    subscription: Spanned<String>,
    resource_group: Spanned<String>,
    soft_delete_retention_days: Option<Spanned<u64>>,
    #[serde(default)]
    purge_protection_enabled: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SecretEntry {
    /// The name of a vault.
    vault: Spanned<String>,
    name: Spanned<String>,
    value: SecretText,
}

impl Reader<'_> {
    pub(super) fn vault(&mut self, entry: &Spanned<VaultEntry>) {
        let id = self.added_vault(entry);
        let name = entry.get_ref().name.get_ref().to_ascii_lowercase();
        if self.vaults.get(&name).is_none_or(Option::is_none) {
            self.vaults.insert(name, id);
        }
    }

    fn added_vault(&mut self, entry: &Spanned<VaultEntry>) -> Option<ArmId> {
        let (span, entry) = (entry.span(), entry.get_ref());
        let (subscription, _) = self.subscription_named(&entry.subscription)?;
        if !is_vault_name(entry.name.get_ref()) {
            let what = format!(
                "`{}` is not a name of a vault; use 3 to 24 letters, digits and single hyphens, a letter first",
                entry.name.get_ref()
            );
            self.problem(&entry.name.span(), what);
            return None;
        }
        let path = "Microsoft.KeyVault/vaults";
        let id = self.arm_id(subscription, &entry.resource_group, path, &entry.name)?;
        let settings = self.vault_settings(entry)?;
        let added = self.builder.vault(id.clone(), settings);
        self.keep(&span, added)?;
        Some(id)
    }

    fn vault_settings(&mut self, entry: &VaultEntry) -> Option<VaultSettings> {
        let purge_protection = entry.purge_protection_enabled;
        let settings = VaultSettings { purge_protection, ..VaultSettings::default() };
        let Some(days) = &entry.soft_delete_retention_days else { return Some(settings) };
        let retention_days = *days.get_ref();
        if RETENTION_DAYS.contains(&retention_days) {
            return Some(VaultSettings { retention_days, ..settings });
        }
        let (least, most) = (RETENTION_DAYS.start(), RETENTION_DAYS.end());
        let what = format!(
            "soft_delete_retention_days is {retention_days}; write a number of days from {least} to {most}"
        );
        self.problem(&days.span(), what);
        None
    }

    pub(super) fn secret(&mut self, entry: &Spanned<SecretEntry>) {
        let (span, entry) = (entry.span(), entry.get_ref());
        let name = entry.name.get_ref();
        if !is_object_name(name) {
            let what = format!(
                "`{name}` is not a name of a secret; use 1 to 127 letters, digits and hyphens"
            );
            self.problem(&entry.name.span(), what);
            return;
        }
        let vault = self.vaults.get(&entry.vault.get_ref().to_ascii_lowercase()).cloned();
        let missing =
            || format!("the vault `{}` is not in [[vaults]]; add it there", entry.vault.get_ref());
        if let Some(vault) = self.keep(&entry.vault.span(), vault.ok_or_else(missing)).flatten() {
            let added = self.builder.secret(vault, name, entry.value.0.clone());
            self.keep(&span, added);
        }
    }
}
