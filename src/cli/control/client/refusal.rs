//! Refusals of the server, and their remedies.

use std::fmt;

use hyper::StatusCode;
use serde_json::Value;

use crate::base::ids::PrincipalId;
use crate::service::world::roles::{Action, RoleDefinition, by_name};

/// The service that refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// The management API.
    Arm,
    /// The identity endpoint.
    Imds,
    /// The token service.
    Sts,
    /// A vault.
    Vault,
}

impl Service {
    /// Returns the scope of a token for the service (Entra, "The .default scope").
    pub(super) const fn scope(self) -> &'static str {
        match self {
            Self::Arm | Self::Imds | Self::Sts => "https://management.azure.com/.default",
            Self::Vault => "https://vault.azure.net/.default",
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Arm => "the management API",
            Self::Imds => "the identity endpoint",
            Self::Sts => "the token service",
            Self::Vault => "the vault",
        }
    }
}

/// A refusal in the words of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    service: Service,
    status: u16,
    /// The error code, empty when the answer has none.
    pub(crate) code: String,
    message: String,
}

impl Refusal {
    /// Parses the error object of Azure Resource Manager and the vaults, or that of OAuth 2.0.
    pub(crate) fn new(service: Service, status: StatusCode, body: &Value) -> Self {
        let text = |pointer| body.pointer(pointer).and_then(Value::as_str);
        let code = text("/error/code").or_else(|| text("/error")).unwrap_or_default();
        let message = text("/error/message").or_else(|| text("/error_description"));
        let lines = message.unwrap_or_default().lines().map(str::trim);
        let message = lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n  ");
        Self { service, status: status.as_u16(), code: code.to_owned(), message }
    }

    /// Returns the quoted text after the first of `marks` that occurs.
    fn quoted(&self, marks: &[&str]) -> Option<&str> {
        let after = marks.iter().find_map(|mark| self.message.split_once(mark));
        after?.1.split('\'').next().filter(|text| !text.is_empty())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.code.is_empty() {
            return write!(f, "{} answers with status {}", self.service.name(), self.status);
        }
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Begin of the message of a server that cannot write to its data folder.
const UNCONFIRMED: &str = "The change cannot be confirmed";

/// Returns the remedy for the refusal of a request to `url`.
pub(super) fn remedy(refusal: &Refusal, url: &str, operator: PrincipalId) -> Option<String> {
    let vault = || Some(url.strip_prefix("https://")?.split_once(".vault.localhost")?.0);
    match (refusal.service, refusal.status, refusal.code.as_str()) {
        (Service::Arm, _, "AuthorizationFailed" | "LinkedAuthorizationFailed") => {
            let action = refusal.quoted(&["perform action(s) '", "perform action '"])?;
            let scope = refusal.quoted(&["linked scope(s) '", "over scope '", "on scope '"])?;
            Some(grant(Action::ControlPlane(action), scope, operator))
        }
        (Service::Vault, 403, _) => {
            let action = refusal.quoted(&["Action: '"])?;
            let scope = format!("vault/{}", vault()?);
            Some(grant(Action::DataPlane(action), &scope, operator))
        }
        // The message itself contains the remedy.
        (Service::Vault, 409, _) if refusal.message.contains("--max-secret-versions") => None,
        (Service::Vault, 409, _) => Some(
            "a removed secret keeps its name until it is purged: `mintbench secret recover VAULT/NAME` or `mintbench secret purge VAULT/NAME`".to_owned(),
        ),
        (Service::Vault, 404, "SecretNotFound") => {
            Some(format!("see what there is with `mintbench secret list {}`", vault()?))
        }
        (Service::Vault, 404, _) => {
            Some("see what there is with `mintbench vault list`".to_owned())
        }
        (Service::Arm, 409, "ConflictError") => {
            let name = url.split(['/', '?']).rfind(|part| !part.contains('=')).unwrap_or("NAME");
            Some(format!("bring the removed vault back with `mintbench vault recover {name}`, or end it with `mintbench vault purge {name}`"))
        }
        (Service::Arm, 409, _) if refusal.message.contains("'mintbench-address'") => {
            Some("`mintbench vm list` shows which machine has it; take another address".to_owned())
        }
        (Service::Arm, 404, "ResourceGroupNotFound") => {
            let group = refusal.quoted(&["Resource group '"]).unwrap_or("NAME");
            Some(format!("make it with `mintbench group create {group}`, or see what there is with `mintbench group list`"))
        }
        (Service::Arm, 404, "SubscriptionNotFound") => {
            Some("name another with --subscription; without it, the only one is taken".to_owned())
        }
        (Service::Arm, 404, _) => {
            Some(format!("see what there is with `mintbench {} list`", noun(url)))
        }
        (Service::Sts, 400 | 401, _) => Some(
            "operator.json and operator.pem are not those of the server that answers; name its folder with --data or MINTBENCH_DATA".to_owned(),
        ),
        (_, _, _) if refusal.message.starts_with(UNCONFIRMED) => Some(
            "see with `list` or `show` whether the change was made; until the server can write to its data folder again, it refuses changes".to_owned(),
        ),
        (_, 429, _) => Some("wait a little and try again".to_owned()),
        _ => None,
    }
}

/// Returns the command that grants the missing permission, for a user with the right to assign roles.
fn grant(action: Action<'_>, scope: &str, operator: PrincipalId) -> String {
    let Some(role) = least(action) else {
        return format!("no built-in role allows `{}`", action.name());
    };
    format!(
        "grant it with `mintbench role assign --principal {operator} --role '{}' --scope {scope}`, as somebody who may assign roles there",
        role.role_name
    )
}

/// Built-in roles from narrow to wide. The first one that allows an action is the least one needed.
const NARROW_FIRST: [&str; 12] = [
    "Key Vault Secrets User",
    "Key Vault Secrets Officer",
    "Managed Identity Operator",
    "Managed Identity Contributor",
    "Virtual Machine Contributor",
    "Key Vault Contributor",
    "Role Based Access Control Administrator",
    "User Access Administrator",
    "Key Vault Administrator",
    "Reader",
    "Contributor",
    "Owner",
];

fn least(action: Action<'_>) -> Option<&'static RoleDefinition> {
    let roles = NARROW_FIRST.iter().filter_map(|name| by_name(name));
    roles.into_iter().find(|role| role.permissions.allow(action))
}

/// Returns the command for the resource of a URL.
fn noun(url: &str) -> &'static str {
    let url = url.to_ascii_lowercase();
    let nouns = [
        ("/roleassignments", "role"),
        ("/userassignedidentities", "identity"),
        ("/virtualmachines", "vm"),
        ("/vaults", "vault"),
    ];
    nouns.iter().find(|(part, _)| url.contains(part)).map_or("group", |(_, noun)| noun)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const OPERATOR: PrincipalId = PrincipalId::from_bytes([3; 16]);

    fn check(service: Service, status: u16, code: &str, message: &str, url: &str) -> String {
        let body = json!({ "error": { "code": code, "message": message } });
        let refusal = Refusal::new(service, StatusCode::from_u16(status).unwrap(), &body);
        remedy(&refusal, url, OPERATOR).unwrap_or_default()
    }

    #[test]
    fn a_missing_role_is_named_with_the_command_that_grants_it() {
        let message = "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.ManagedIdentity/userAssignedIdentities/write' over scope '/subscriptions/s/resourceGroups/g' or the scope is invalid.";
        let fix = check(Service::Arm, 403, "AuthorizationFailed", message, "https://x/");
        let expected = format!(
            "mintbench role assign --principal {OPERATOR} --role 'Managed Identity Contributor' --scope /subscriptions/s/resourceGroups/g`"
        );
        assert!(fix.contains(&expected), "{fix}");
    }

    #[test]
    fn an_identity_that_may_not_be_assigned_names_the_role_for_that() {
        let message = "The client 'c' with object id 'o' has permission to perform action 'Microsoft.Compute/virtualMachines/write' on scope '/a'; however, it does not have permission to perform action(s) 'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action' on the linked scope(s) '/b' or the linked scope(s) are invalid.";
        let fix = check(Service::Arm, 403, "LinkedAuthorizationFailed", message, "https://x/");
        assert!(fix.contains("--role 'Managed Identity Operator' --scope /b`"), "{fix}");
    }

    #[test]
    fn a_vault_that_refuses_names_the_role_for_reading_and_for_writing() {
        for (action, role) in
            [("getSecret", "Key Vault Secrets User"), ("setSecret", "Key Vault Secrets Officer")]
        {
            let message = format!(
                "Caller is not authorized to perform action on resource.\r\nAction: 'Microsoft.KeyVault/vaults/secrets/{action}/action'\r\nAssignment: (not found)\r\n"
            );
            let url = "https://kv.vault.localhost:8173/secrets/db?api-version=7.4";
            let fix = check(Service::Vault, 403, "Forbidden", &message, url);
            assert!(fix.contains(&format!("--role '{role}' --scope vault/kv`")), "{fix}");
        }
    }

    #[test]
    fn a_change_that_is_not_confirmed_leads_to_its_result() {
        let message = "The change cannot be confirmed: the disk is full.";
        for (service, status) in [(Service::Arm, 503), (Service::Vault, 503)] {
            let fix = check(service, status, "ServiceUnavailable", message, "https://x/");
            assert!(fix.contains("whether the change was made"), "{fix}");
        }
    }

    #[test]
    fn what_is_not_found_leads_to_the_list_of_what_is() {
        let url = "https://x/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v?api-version=1";
        assert!(
            check(Service::Arm, 404, "ResourceNotFound", "m", url).contains("mintbench vm list")
        );
        let message = "Resource group 'web' could not be found.";
        let fix = check(Service::Arm, 404, "ResourceGroupNotFound", message, url);
        assert!(fix.contains("mintbench group create web"), "{fix}");
        let url = "https://kv.vault.localhost:1/secrets/db";
        let fix = check(Service::Vault, 404, "SecretNotFound", "m", url);
        assert!(fix.contains("mintbench secret list kv"), "{fix}");
    }

    #[test]
    fn a_taken_address_leads_to_the_machines() {
        let message =
            "The address 'any' of the tag 'mintbench-address' belongs to another virtual machine.";
        let fix = check(Service::Arm, 409, "Conflict", message, "https://x/");
        assert!(fix.contains("mintbench vm list"), "{fix}");
    }

    #[test]
    fn both_kinds_of_error_object_are_shown_with_their_code() {
        let oauth = json!({ "error": "invalid_client", "error_description": "AADSTS700027: no\r\nTrace ID: 1" });
        let refusal = Refusal::new(Service::Sts, StatusCode::UNAUTHORIZED, &oauth);
        assert_eq!(refusal.to_string(), "invalid_client: AADSTS700027: no\n  Trace ID: 1");
        let none = Refusal::new(Service::Arm, StatusCode::BAD_GATEWAY, &Value::Null);
        assert_eq!(none.to_string(), "the management API answers with status 502");
    }
}
