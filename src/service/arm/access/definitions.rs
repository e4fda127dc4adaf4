//! Role definitions (Microsoft.Authorization, `roleDefinitions`). Only the built-in roles exist.

use hyper::StatusCode;
use serde_json::{Value, json};

use crate::service::arm::error::ArmError;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::filter::{Field, Filter, Term, Test};
use crate::service::directory::State;
use crate::service::world::roles;
use crate::service::world::roles::{RoleDefinition, Scope};

const READ: &str = "Microsoft.Authorization/roleDefinitions/read";

/// `GET` of the definitions that can be assigned at a scope.
pub(crate) fn list(call: &Call, state: &State, scope: &Scope) -> Result<Reply, ArmError> {
    require(call, state, scope)?;
    let filter = Filter::parse(call.query.filter(), is_about_definitions)?;
    let fits = |role: &&RoleDefinition| filter.passes(|term| holds(term, role));
    let shown: Vec<Value> =
        roles::built_ins().iter().filter(fits).map(|role| show(role, scope)).collect();
    Ok(Reply::ok(json!({"value": shown})))
}

const fn is_about_definitions(term: &Term) -> bool {
    matches!(
        term,
        Term::AtScope
            | Term::AtScopeAndBelow
            | Term::Field(Field::RoleName | Field::Type, Test::Equal(_))
    )
}

fn holds(term: &Term, role: &RoleDefinition) -> bool {
    match term {
        Term::Field(Field::RoleName, test) => test.fits(role.role_name),
        Term::Field(_, test) => test.fits("BuiltInRole"),
        _ => true,
    }
}

/// `GET` of a definition.
pub(crate) fn get(
    call: &Call,
    state: &State,
    scope: &Scope,
    name: &str,
) -> Result<Reply, ArmError> {
    require(call, state, scope)?;
    let role = name.parse().ok().and_then(roles::by_id);
    let missing = || ArmError::RoleDefinitionDoesNotExist {
        id: name.replace('-', "").to_ascii_lowercase(),
        status: StatusCode::NOT_FOUND,
    };
    Ok(Reply::ok(show(role.ok_or_else(missing)?, scope)))
}

/// Checks the right to read definitions. Every known caller may read those of the whole tenant; any other
/// scope needs a role.
fn require(call: &Call, state: &State, scope: &Scope) -> Result<(), ArmError> {
    if scope.is_root() { Ok(()) } else { call.require(state, READ, scope.as_str()) }
}

fn show(role: &RoleDefinition, scope: &Scope) -> Value {
    json!(role.resource(scope.subscription()))
}
