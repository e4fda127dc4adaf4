//! Settings of a vault in requests and answers. Every property of a request is kept, checked or refused by
//! name. No property is dropped.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::service::arm::error::ArmError;
use crate::service::arm::request::content::{Content, unexpected};
use crate::service::world::vault::{NetworkBypass, Purpose, RETENTION_DAYS, Sku, VaultSettings};

/// Properties that the service sets. A client that reads a vault and writes it back sends them too.
const OWN: [&str; 4] =
    ["vaultUri", "provisioningState", "hsmPoolResourceId", "privateEndpointConnections"];

/// Members of a vault besides its `properties`.
const MEMBERS: [&str; 7] = ["id", "name", "type", "location", "tags", "etag", "systemData"];

const NO_POLICIES: &str =
    "Access policies are not served here; set 'enableRbacAuthorization' to true and assign roles.";

const ALWAYS_SOFT_DELETE: &str = "The property \"enableSoftDelete\" can no longer be false: deleted vaults can be recovered until they are purged.";

/// The properties that allow Azure services to use a vault.
const PURPOSES: [(&str, Purpose); 3] = [
    ("enabledForDeployment", Purpose::Deployment),
    ("enabledForDiskEncryption", Purpose::DiskEncryption),
    ("enabledForTemplateDeployment", Purpose::TemplateDeployment),
];

fn purpose(property: &str) -> Option<Purpose> {
    let found = PURPOSES.iter().find(|(name, _)| name.eq_ignore_ascii_case(property));
    found.map(|(_, purpose)| *purpose)
}

/// Settings in a `PUT` or a `PATCH`.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    pub(crate) recover: bool,
    sku: Option<Sku>,
    retention_days: Option<u64>,
    purge_protection: Option<bool>,
    enabled_for: BTreeMap<Purpose, bool>,
    network_bypass: Option<NetworkBypass>,
}

impl Wanted {
    /// Parses the content of a request for a vault whose subscription trusts `tenant`.
    pub(crate) fn read(content: &Content, tenant: &str) -> Result<Self, ArmError> {
        if let Some((name, _)) = content.except(&MEMBERS).into_iter().next() {
            return Err(unknown(&name));
        }
        let mut wanted = Self::default();
        for (name, value) in said(content.properties()) {
            wanted.property(name, value, tenant)?;
        }
        Ok(wanted)
    }

    fn property(&mut self, name: &str, value: &Value, tenant: &str) -> Result<(), ArmError> {
        match name.to_ascii_lowercase().as_str() {
            "tenantid" => check_tenant(text(name, value)?, tenant)?,
            "sku" => self.sku = Some(sku(object(name, value)?)?),
            "accesspolicies" => check_no_policies(value)?,
            "enablerbacauthorization" => require_true(name, value, NO_POLICIES)?,
            "enablesoftdelete" => require_true(name, value, ALWAYS_SOFT_DELETE)?,
            "softdeleteretentionindays" => self.retention_days = Some(retention_days(value)?),
            "enablepurgeprotection" => self.purge_protection = Some(boolean(name, value)?),
            "networkacls" => self.network_bypass = Some(network_bypass(object(name, value)?)?),
            "publicnetworkaccess" => check_public_access(text(name, value)?)?,
            "createmode" => self.recover = is_recover(text(name, value)?)?,
            _ if let Some(purpose) = purpose(name) => {
                self.enabled_for.insert(purpose, boolean(name, value)?);
            }
            _ if OWN.iter().any(|own| own.eq_ignore_ascii_case(name)) => {}
            _ => return Err(unknown(&format!("properties.{name}"))),
        }
        Ok(())
    }

    /// Returns the settings of a vault after a `PUT`. Omitted settings return to their defaults, except those
    /// that can be set only once.
    pub(crate) fn replace(
        &self,
        before: Option<&VaultSettings>,
    ) -> Result<VaultSettings, ArmError> {
        let lasting = before.map(|before| VaultSettings {
            retention_days: before.retention_days,
            purge_protection: before.purge_protection,
            ..VaultSettings::default()
        });
        self.over(&lasting.unwrap_or_default(), before)
    }

    /// Returns the settings of a vault after a `PATCH`. Omitted settings stay.
    pub(crate) fn merge(&self, before: &VaultSettings) -> Result<VaultSettings, ArmError> {
        self.over(before, Some(before))
    }

    /// Applies the named settings to `base`. `before` contains the settings of an existing vault.
    fn over(
        &self,
        base: &VaultSettings,
        before: Option<&VaultSettings>,
    ) -> Result<VaultSettings, ArmError> {
        if before.is_some() && self.retention_days.is_some_and(|days| days != base.retention_days) {
            return Err(ArmError::BadRequest(
                "The property \"softDeleteRetentionInDays\" has been set already and it can't be modified."
                    .to_owned(),
            ));
        }
        if self.purge_protection == Some(false) && base.purge_protection {
            return Err(ArmError::BadRequest(
                "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an irreversible action."
                    .to_owned(),
            ));
        }
        let is_enabled = |purpose: &Purpose| {
            let said = self.enabled_for.get(purpose).copied();
            said.unwrap_or_else(|| base.enabled_for.contains(purpose))
        };
        let enabled_for = PURPOSES.into_iter().map(|(_, purpose)| purpose).filter(is_enabled);
        Ok(VaultSettings {
            sku: self.sku.unwrap_or(base.sku),
            retention_days: self.retention_days.unwrap_or(base.retention_days),
            purge_protection: self.purge_protection.unwrap_or(base.purge_protection),
            enabled_for: enabled_for.collect(),
            network_bypass: self.network_bypass.or(base.network_bypass),
        })
    }
}

/// Returns the members of an object without those that are `null`. `null` counts as absent.
fn said(object: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    object.iter().filter(|(_, value)| !value.is_null())
}

fn unknown(name: &str) -> ArmError {
    ArmError::BadRequest(format!(
        "The property '{name}' of a vault is not served here; leave it out."
    ))
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, ArmError> {
    value.as_str().ok_or_else(|| unexpected(&format!("properties.{name}"), "a string"))
}

fn boolean(name: &str, value: &Value) -> Result<bool, ArmError> {
    value.as_bool().ok_or_else(|| unexpected(&format!("properties.{name}"), "a boolean"))
}

fn object<'a>(name: &str, value: &'a Value) -> Result<&'a Map<String, Value>, ArmError> {
    value.as_object().ok_or_else(|| unexpected(&format!("properties.{name}"), "an object"))
}

/// Returns the value for `text` in a list of spellings. Case is ignored.
fn one_of<T: Copy>(name: &str, text: &str, known: &[(&str, T)]) -> Result<T, ArmError> {
    let found = known.iter().find(|(spelling, _)| spelling.eq_ignore_ascii_case(text));
    let spellings = || known.iter().map(|(spelling, _)| *spelling).collect::<Vec<_>>().join(", ");
    let other = || unexpected(&format!("properties.{name}"), &format!("one of {}", spellings()));
    found.map(|(_, value)| *value).ok_or_else(other)
}

fn check_tenant(given: &str, tenant: &str) -> Result<(), ArmError> {
    if given.eq_ignore_ascii_case(tenant) {
        return Ok(());
    }
    Err(ArmError::BadRequest(format!(
        "The tenant ID of the vault must be '{tenant}', the tenant of its subscription."
    )))
}

/// Refuses access policies, because only role assignments decide here. Ignoring policies would promise too
/// much.
fn check_no_policies(value: &Value) -> Result<(), ArmError> {
    let policies = value.as_array();
    let policies =
        policies.ok_or_else(|| unexpected("properties.accessPolicies", "an array of policies"))?;
    if policies.is_empty() { Ok(()) } else { Err(ArmError::BadRequest(NO_POLICIES.to_owned())) }
}

fn require_true(name: &str, value: &Value, refusal: &str) -> Result<(), ArmError> {
    if boolean(name, value)? { Ok(()) } else { Err(ArmError::BadRequest(refusal.to_owned())) }
}

fn check_public_access(text: &str) -> Result<(), ArmError> {
    let is_open = one_of("publicNetworkAccess", text, &[("Enabled", true), ("Disabled", false)])?;
    if is_open {
        return Ok(());
    }
    Err(ArmError::BadRequest(
        "The publicNetworkAccess 'Disabled' is not served here, for there are no private endpoints; set it to 'Enabled'."
            .to_owned(),
    ))
}

fn is_recover(text: &str) -> Result<bool, ArmError> {
    one_of("createMode", text, &[("default", false), ("recover", true)])
}

fn retention_days(value: &Value) -> Result<u64, ArmError> {
    let (least, most) = (RETENTION_DAYS.start(), RETENTION_DAYS.end());
    let days = value.as_u64().filter(|days| RETENTION_DAYS.contains(days));
    days.ok_or_else(|| {
        ArmError::BadRequest(format!(
            "The property \"softDeleteRetentionInDays\" must be a number of days from {least} to {most}."
        ))
    })
}

fn sku(object: &Map<String, Value>) -> Result<Sku, ArmError> {
    let mut found = Sku::default();
    for (name, value) in said(object) {
        match name.to_ascii_lowercase().as_str() {
            "family" => one_of("sku.family", text(name, value)?, &[("A", ())])?,
            "name" => {
                let known = [("standard", Sku::Standard), ("premium", Sku::Premium)];
                found = one_of("sku.name", text(name, value)?, &known)?;
            }
            _ => return Err(unknown(&format!("properties.sku.{name}"))),
        }
    }
    Ok(found)
}

/// Returns the `bypass` of network rules that let everybody in. Other rules are not supported and are
/// refused.
fn network_bypass(object: &Map<String, Value>) -> Result<NetworkBypass, ArmError> {
    let mut found = NetworkBypass::AzureServices;
    for (name, value) in said(object) {
        let is_open = match name.to_ascii_lowercase().as_str() {
            "bypass" => {
                let known = [
                    ("AzureServices", NetworkBypass::AzureServices),
                    ("None", NetworkBypass::None),
                ];
                found = one_of("networkAcls.bypass", text(name, value)?, &known)?;
                true
            }
            "defaultaction" => {
                let known = [("Allow", true), ("Deny", false)];
                one_of("networkAcls.defaultAction", text(name, value)?, &known)?
            }
            "iprules" | "virtualnetworkrules" => value.as_array().is_some_and(Vec::is_empty),
            _ => return Err(unknown(&format!("properties.networkAcls.{name}"))),
        };
        if !is_open {
            return Err(ArmError::BadRequest(
                "Network rules of vaults are not served here; set 'networkAcls.defaultAction' to 'Allow' and leave the rules out."
                    .to_owned(),
            ));
        }
    }
    Ok(found)
}

/// Returns the settings as `properties` shows them.
pub(crate) fn show(settings: &VaultSettings) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| shown.insert(name.to_owned(), value);
    put("sku", json!({"family": "A", "name": settings.sku}));
    for (name, purpose) in PURPOSES {
        put(name, settings.enabled_for.contains(&purpose).into());
    }
    put("softDeleteRetentionInDays", settings.retention_days.into());
    // Azure never shows `false` here.
    if settings.purge_protection {
        put("enablePurgeProtection", true.into());
    }
    if let Some(bypass) = settings.network_bypass {
        let acls = json!({
            "bypass": bypass, "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": [],
        });
        put("networkAcls", acls);
    }
    shown
}
