//! `mintbench role`: role assignments.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::{Value, json};

use super::args::{Connection, SubscriptionArg};
use super::client::{ControlError, Session, new_guid, text};
use super::render::Output;
use super::resource::{IDENTITY, VAULT, VM, last, removed, segment};
use crate::base::ids::{PrincipalId, RoleAssignmentId, RoleDefinitionId};
use crate::service::world::roles::{Scope, by_id, id_in_resource_id};

/// Role assignments.
#[derive(Debug, Args)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) subscription: SubscriptionArg,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Assign a role to a principal at a scope; an existing assignment stays as it is
    Assign {
        #[command(flatten)]
        principal: PrincipalArg,
        /// Name or id of the role, such as 'Key Vault Secrets User'
        #[arg(long, value_name = "ROLE")]
        role: String,
        /// Scope: a path, or subscription, group/NAME, identity/NAME, vm/NAME, vault/NAME[/SECRET], vault/NAME/keys/KEY
        #[arg(long, value_name = "SCOPE")]
        scope: String,
    },
    /// List the role definitions
    Definitions,
    /// List the role assignments
    List {
        #[command(flatten)]
        choice: Choice,
    },
    /// Remove a role assignment
    Remove {
        /// Id of the assignment [default: the assignment that matches --principal, --role and --scope]
        #[arg(required_unless_present = "principal", conflicts_with_all = ["principal", "role", "scope"])]
        id: Option<String>,
        #[command(flatten)]
        choice: Choice,
    },
}

#[derive(Debug, Args)]
struct PrincipalArg {
    /// Principal: the name of an identity or machine, an object id, or `me` for the operator
    #[arg(long, value_name = "NAME|ID")]
    principal: String,
}

#[derive(Debug, Args)]
struct Choice {
    /// Principal: the name of an identity or machine, an object id, or `me` for the operator
    #[arg(long, value_name = "NAME|ID")]
    principal: Option<String>,
    /// Name or id of the role
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// Exact scope: a path, or subscription, group/NAME, identity/NAME, vm/NAME, vault/NAME[/SECRET], vault/NAME/keys/KEY
    #[arg(long, value_name = "SCOPE")]
    scope: Option<String>,
}

const API: &str = "api-version=2022-04-01";
const ASSIGNMENTS: &str = "providers/Microsoft.Authorization/roleAssignments";
const DEFINITIONS: &str = "providers/Microsoft.Authorization/roleDefinitions";

impl RoleArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        match &self.verb {
            Verb::Assign { principal, role, scope } => {
                let principal = session.principal(&principal.principal)?;
                let role = session.role(role)?;
                let scope = session.scope(scope)?;
                session.assign(principal, role, &scope).map(record)
            }
            Verb::Definitions => Ok(definitions(session.definitions()?)),
            Verb::List { choice } => {
                let found = session.assignments(choice)?;
                Ok(list(&session.principal_names(), found))
            }
            Verb::Remove { id: Some(id), .. } => {
                session.remove_assignment(&session.assignment_id(id)?)
            }
            Verb::Remove { id: None, choice } => {
                let found = session.assignments(choice)?;
                let name = choice.principal.clone().unwrap_or_default();
                let one = super::resource::the_one(&name, found).unwrap_or_else(|| {
                    Err(ControlError::NotFound {
                        noun: "role assignment",
                        name: format!("that of {name}"),
                        place: "",
                        remedy: "see what there is with `mintbench role list`".to_owned(),
                    })
                })?;
                session.remove_assignment(text(&one, "/id"))
            }
        }
    }
}

impl Session {
    /// Returns the object id of a principal, from its id, the name of an identity, or the name of a machine
    /// with its own identity.
    fn principal(&self, name: &str) -> Result<PrincipalId, ControlError> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        if name == "me" {
            return Ok(self.operator.ids.object_id);
        }
        let found: Vec<Value> = self.holders(name)?;
        let remedy = "give an object id, or see the names with `mintbench identity list` and `mintbench vm list`; a machine needs --system-assigned to have an identity of its own";
        let missing = || ControlError::NotFound {
            noun: "identity or machine with one",
            name: name.to_owned(),
            place: "",
            remedy: remedy.to_owned(),
        };
        let one = super::resource::the_one(name, found).unwrap_or_else(|| Err(missing()))?;
        principal_of(&one).parse().map_err(|_| missing())
    }

    /// Returns the identities and machines called `name` that have a principal.
    fn holders(&self, name: &str) -> Result<Vec<Value>, ControlError> {
        if name.starts_with('/') {
            let kind = if name.to_ascii_lowercase().contains("/virtualmachines/") {
                &VM
            } else {
                &IDENTITY
            };
            return Ok(vec![self.find(kind, name, None)?]);
        }
        let mut all = self.all(&IDENTITY, None)?;
        all.extend(self.all(&VM, None)?);
        all.retain(|one| {
            text(one, "/name").eq_ignore_ascii_case(name) && !principal_of(one).is_empty()
        });
        Ok(all)
    }

    /// Returns the display names of principals. Empty when the operator may not read them.
    fn principal_names(&self) -> BTreeMap<String, String> {
        let all =
            [&IDENTITY, &VM].into_iter().flat_map(|kind| self.all(kind, None).unwrap_or_default());
        let own = (self.operator.ids.object_id.to_string(), "me".to_owned());
        let named = all.map(|one| (principal_of(&one).to_owned(), text(&one, "/name").to_owned()));
        named.chain([own]).collect()
    }

    /// Returns the id of a role, from its id or its name on the server.
    fn role(&self, name: &str) -> Result<RoleDefinitionId, ControlError> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let all = self.definitions()?;
        let named = |one: &&Value| text(one, "/properties/roleName").eq_ignore_ascii_case(name);
        let id = all.iter().find(named).and_then(|one| text(one, "/name").parse().ok());
        id.ok_or_else(|| ControlError::NotFound {
            noun: "role",
            name: name.to_owned(),
            place: "",
            remedy: "see the roles with `mintbench role definitions`".to_owned(),
        })
    }

    /// Returns a scope, from its full or its short form.
    fn scope(&self, short: &str) -> Result<Scope, ControlError> {
        let id = match short.split_once('/') {
            Some(("", _)) => short.to_owned(),
            Some(("group", name)) => self.group_path(name)?,
            Some(("identity", name)) => self.id_of(&IDENTITY, name, None)?,
            Some(("vm", name)) => self.id_of(&VM, name, None)?,
            Some(("vault", name)) => match name.split_once('/') {
                Some((vault, key)) if key.starts_with("keys/") => {
                    format!("{}/{key}", self.id_of(&VAULT, vault, None)?)
                }
                Some((vault, secret)) => {
                    format!("{}/secrets/{secret}", self.id_of(&VAULT, vault, None)?)
                }
                None => self.id_of(&VAULT, name, None)?,
            },
            None if short == "subscription" => format!("/subscriptions/{}", self.subscription()?),
            _ => {
                return Err(ControlError::Usage(format!(
                    "`{short}` is not a scope; write it as subscription, group/NAME, identity/NAME, vm/NAME, vault/NAME[/SECRET], vault/NAME/keys/KEY or a path such as /subscriptions/ID"
                )));
            }
        };
        id.parse().map_err(|error: crate::service::world::roles::ParseScopeError| {
            ControlError::Usage(error.to_string())
        })
    }

    fn definitions(&self) -> Result<Vec<Value>, ControlError> {
        self.list(&format!("/subscriptions/{}/{DEFINITIONS}?{API}", self.subscription()?))
    }

    fn assign(
        &self,
        principal: PrincipalId,
        role: RoleDefinitionId,
        scope: &Scope,
    ) -> Result<Value, ControlError> {
        let definition = format!("/subscriptions/{}/{DEFINITIONS}/{role}", self.subscription()?);
        let body = json!({ "properties": {
            "roleDefinitionId": definition,
            "principalId": principal,
            "principalType": "ServicePrincipal",
        } });
        let target = format!("{}/{ASSIGNMENTS}/{}?{API}", path(scope), new_guid()?.hyphenated());
        match self.arm(&Method::PUT, &target, Some(&body)) {
            Ok(made) => Ok(made.body),
            Err(ControlError::Refused { refusal, remedy })
                if refusal.code == "RoleAssignmentExists" =>
            {
                let mut found = self.assignments_of(Some(principal), scope)?;
                found.retain(|one| is(one, Some(role), Some(scope)));
                found.pop().ok_or(ControlError::Refused { refusal, remedy })
            }
            Err(error) => Err(error),
        }
    }

    /// Returns the role assignments of the subscription that match the choice.
    fn assignments(&self, choice: &Choice) -> Result<Vec<Value>, ControlError> {
        let principal = choice.principal.as_deref().map(|name| self.principal(name)).transpose()?;
        let role = choice.role.as_deref().map(|name| self.role(name)).transpose()?;
        let scope = choice.scope.as_deref().map(|scope| self.scope(scope)).transpose()?;
        let everywhere: Scope = self.scope("subscription")?;
        let mut found = self.assignments_of(principal, scope.as_ref().unwrap_or(&everywhere))?;
        found.retain(|one| is(one, role, scope.as_ref()));
        Ok(found)
    }

    fn assignments_of(
        &self,
        principal: Option<PrincipalId>,
        scope: &Scope,
    ) -> Result<Vec<Value>, ControlError> {
        let filter = principal.map_or_else(String::new, |principal| {
            format!("&$filter={}", segment(&format!("principalId eq '{principal}'")))
        });
        self.list(&format!("{}/{ASSIGNMENTS}?{API}{filter}", path(scope)))
    }

    /// Returns the full id of an assignment, from its id or its name.
    fn assignment_id(&self, id: &str) -> Result<String, ControlError> {
        if id.starts_with('/')
            && id.to_ascii_lowercase().contains(&format!("/{ASSIGNMENTS}/").to_ascii_lowercase())
        {
            return Ok(id.to_owned());
        }
        let wrong = |_| {
            ControlError::Usage(format!(
                "`{id}` is not the id of a role assignment; `mintbench role list` shows them"
            ))
        };
        let name: RoleAssignmentId = id.parse().map_err(wrong)?;
        let all = self.assignments_of(None, &self.scope("subscription")?)?;
        let named = |one: &&Value| text(one, "/name").parse() == Ok(name);
        all.iter().find(named).map(|one| text(one, "/id").to_owned()).ok_or_else(|| {
            ControlError::NotFound {
                noun: "role assignment",
                name: id.to_owned(),
                place: "",
                remedy: "see what there is with `mintbench role list`".to_owned(),
            }
        })
    }

    fn remove_assignment(&self, id: &str) -> Result<Output, ControlError> {
        self.arm(&Method::DELETE, &format!("{id}?{API}"), None)?;
        Ok(removed("role assignment", id))
    }
}

/// Returns the path of a scope. The path of `/` is empty.
fn path(scope: &Scope) -> &str {
    if scope.is_root() { "" } else { scope.as_str() }
}

fn is(assignment: &Value, role: Option<RoleDefinitionId>, scope: Option<&Scope>) -> bool {
    let own_role = id_in_resource_id(text(assignment, "/properties/roleDefinitionId"));
    let own_scope = text(assignment, "/properties/scope").parse::<Scope>().ok();
    role.is_none_or(|role| own_role == Some(role))
        && scope.is_none_or(|scope| own_scope.as_ref() == Some(scope))
}

/// Returns the principal of an identity, or of a machine's own identity.
fn principal_of(resource: &Value) -> &str {
    let own = text(resource, "/properties/principalId");
    if own.is_empty() { text(resource, "/identity/principalId") } else { own }
}

fn role_name(assignment: &Value) -> String {
    let id = text(assignment, "/properties/roleDefinitionId");
    let role = id_in_resource_id(id).and_then(by_id);
    role.map_or_else(|| last(id).to_owned(), |role| role.role_name.to_owned())
}

fn list(names: &BTreeMap<String, String>, found: Vec<Value>) -> Output {
    Output::rows(found, ["PRINCIPAL", "ROLE", "SCOPE", "ID"], |one| {
        let principal = text(one, "/properties/principalId");
        let principal = names.get(principal).map_or(principal, String::as_str);
        let (scope, id) = (text(one, "/properties/scope"), text(one, "/name"));
        [principal.to_owned(), role_name(one), scope.to_owned(), id.to_owned()]
    })
}

fn record(assignment: Value) -> Output {
    let fields = vec![
        ("principal", text(&assignment, "/properties/principalId").to_owned()),
        ("role", role_name(&assignment)),
        ("scope", text(&assignment, "/properties/scope").to_owned()),
        ("id", text(&assignment, "/name").to_owned()),
    ];
    Output::record(assignment, fields)
}

fn definitions(all: Vec<Value>) -> Output {
    Output::rows(all, ["NAME", "ID", "DESCRIPTION"], |role| {
        ["/properties/roleName", "/name", "/properties/description"]
            .map(|pointer| text(role, pointer).to_owned())
    })
}
