//! Authentication and authorization of callers: the bearer token and the caller's roles.

use hyper::header::HeaderMap;

use super::error::{AccessError, Denied};
use super::located::{AUDIENCE, Located};
use super::operation::Operation;
use crate::base::clock::UnixSeconds;
use crate::base::http::bearer_token;
use crate::service::directory::{Directory, State};
use crate::service::token::{Bearer, BearerError, Issuer, Verifier};
use crate::service::world::roles::{Action, Scope};

/// App id of the resource, which a token may name instead.
const APP_ID: &str = "cfa8b339-82a2-471a-a3c9-0fc0be7a4093";

/// Verifies the token of a request and returns its claims.
///
/// The audience has two spellings, without a slash at the end. The issuer must be the tenant that the vault's
/// subscription trusts. Tokens of a deleted principal are refused at once. Azure accepts them until they
/// expire.
pub(super) fn authenticate(
    headers: &HeaderMap,
    verifier: &Verifier,
    directory: &Directory,
    located: &Located,
    now: UnixSeconds,
) -> Result<Bearer, AccessError> {
    let jwt = bearer_token(headers).ok_or(AccessError::Missing)?;
    let bearer = verifier.verify(jwt, now).map_err(|error| match error {
        BearerError::Expired(_) => AccessError::Expired,
        BearerError::Malformed => AccessError::Malformed,
        other => AccessError::Invalid(other),
    })?;
    if ![AUDIENCE, APP_ID].contains(&bearer.audience.as_str()) {
        return Err(AccessError::Audience(bearer.audience));
    }
    let expected = Issuer::url(located.tenant_id);
    if bearer.issuer != expected || bearer.tenant_id != located.tenant_id {
        return Err(AccessError::Issuer { expected, found: bearer.issuer });
    }
    if !directory.read().knows(&bearer) {
        return Err(AccessError::Gone(bearer.principal_id));
    }
    Ok(bearer)
}

/// Checks that a role assignment at the secret or key, the vault or above permits the operation.
pub(super) fn authorize(
    state: &State,
    located: &Located,
    bearer: &Bearer,
    operation: &Operation<'_>,
    now: UnixSeconds,
) -> Result<(), Box<Denied>> {
    let (vault, action) = (&located.vault, operation.action());
    let resource = match operation.name() {
        Some(name) => format!("{}/{}/{name}", vault.id, operation.kind().collection()),
        None => vault.id.to_string(),
    };
    let scope = resource.parse::<Scope>().ok();
    let permits = |action, scope: &Scope| {
        state.permits(bearer.principal_id, Action::DataPlane(action), scope, now).is_some()
    };
    let mut actions = [action].into_iter().chain(operation.other_action());
    if scope.is_some_and(|scope| actions.any(|action| permits(action, &scope))) {
        return Ok(());
    }
    Err(Box::new(Denied {
        bearer: bearer.clone(),
        action,
        resource: resource.to_lowercase(),
        vault: vault.id.name().to_owned(),
        location: vault.location.clone(),
    }))
}
