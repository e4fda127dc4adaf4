//! Federated credentials of user-assigned identities (Microsoft.ManagedIdentity).

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::Page;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::{Content, property, unexpected};
use crate::service::arm::tracked::group_of;
use crate::service::arm::version;
use crate::service::directory::State;
use crate::service::world::federation::{FederatedCredential, FederationError};
use crate::service::world::record::{Change, Record, UserAssigned};

const READ: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/read";
pub(crate) const WRITE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write";
const DELETE: &str =
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/delete";

/// Credential that a `PUT` asks for, still without its name.
#[derive(Debug)]
pub(crate) struct Wanted {
    issuer: String,
    subject: String,
    audiences: Vec<String>,
}

impl Wanted {
    /// Reads the content of a `PUT`.
    pub(crate) fn read(content: &Content) -> Result<Self, ArmError> {
        let properties = content.properties();
        let given = |name| property(properties, name).filter(|value| !value.is_null());
        if given("claimsMatchingExpression").is_some() {
            let message = "The property 'claimsMatchingExpression' is not supported by this server; give 'subject' instead.";
            return Err(ArmError::BadRequest(message.to_owned()));
        }
        Ok(Self {
            issuer: text(properties, "issuer")?,
            subject: text(properties, "subject")?,
            audiences: audiences(given("audiences"))?,
        })
    }
}

/// Returns a text, empty if it is missing.
fn text(properties: &Map<String, Value>, name: &str) -> Result<String, ArmError> {
    match property(properties, name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(unexpected(&format!("properties.{name}"), "a string")),
    }
}

fn audiences(given: Option<&Value>) -> Result<Vec<String>, ArmError> {
    let Some(given) = given else { return Ok(Vec::new()) };
    let texts = given.as_array().and_then(|items| {
        items.iter().map(|it| it.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
    });
    texts.ok_or_else(|| unexpected("properties.audiences", "a list of strings"))
}

/// `GET` of a credential.
pub(crate) fn get(
    call: &Call,
    state: &State,
    identity: &ArmId,
    id: &ArmId,
) -> Result<Reply, ArmError> {
    call.require(state, READ, id.as_str())?;
    let owner = owner(state, identity)?;
    let held = owner.federated_credentials.iter().find(|own| own.is_named(id.name()));
    Ok(Reply::ok(show(owner, held.ok_or_else(|| not_found(id))?)))
}

/// `GET` of the credentials of an identity.
pub(crate) fn list(call: &Call, state: &State, identity: &ArmId) -> Result<Reply, ArmError> {
    call.require(state, READ, identity.as_str())?;
    let owner = owner(state, identity)?;
    let page = Page::of(call)?;
    let key = |own: &&FederatedCredential| own.name.to_ascii_lowercase();
    let is_left = |own: &&FederatedCredential| {
        page.after.as_ref().is_none_or(|after| key(own) > after.to_ascii_lowercase())
    };
    let items = owner.federated_credentials.iter().filter(is_left);
    Ok(page.reply(call, items, key, |own| show(owner, own)))
}

/// `PUT`: adds the credential, or replaces it.
pub(crate) fn put(
    call: &Call,
    state: &State,
    (identity, id): (&ArmId, &ArmId),
    wanted: Wanted,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, WRITE, id.as_str())?;
    let mut owner = owner(state, identity)?.clone();
    let name = id.name().to_owned();
    let before = owner.federated_credentials.iter().find(|own| own.is_named(&name)).cloned();
    let Wanted { issuer, subject, audiences } = wanted;
    let credential = FederatedCredential { name, issuer, subject, audiences };
    credential.add_to(&mut owner.federated_credentials).map_err(|error| refused(&error))?;
    let held = owner.federated_credentials.iter().find(|own| own.is_named(id.name()));
    let shown = held.map_or(Value::Null, |own| show(&owner, own));
    let reply = Reply::put(before.as_ref(), shown);
    Ok((vec![Change::Put(Record::UserAssigned(owner))], reply))
}

/// `DELETE`: removes the credential.
pub(crate) fn delete(
    call: &Call,
    state: &State,
    identity: &ArmId,
    id: &ArmId,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, DELETE, id.as_str())?;
    let mut owner = owner(state, identity)?.clone();
    let count = owner.federated_credentials.len();
    owner.federated_credentials.retain(|own| !own.is_named(id.name()));
    if owner.federated_credentials.len() == count {
        return Ok((Vec::new(), Reply::empty(StatusCode::NO_CONTENT)));
    }
    Ok((vec![Change::Put(Record::UserAssigned(owner))], Reply::empty(StatusCode::OK)))
}

/// Returns the identity that owns the credentials.
fn owner<'a>(state: &'a State, identity: &ArmId) -> Result<&'a UserAssigned, ArmError> {
    group_of(state, identity)?;
    let entry = state.user_assigned(identity);
    let missing = || ArmError::ParentResourceNotFound(identity.name().to_owned());
    Ok(&entry.ok_or_else(missing)?.record)
}

fn not_found(id: &ArmId) -> ArmError {
    let identity = id.segment("userAssignedIdentities").unwrap_or_default();
    let kind = &version::USER_ASSIGNED.full_name();
    ArmError::ResourceNotFound {
        resource: format!("{kind}/{identity}/federatedIdentityCredentials/{}", id.name()),
        group: id.resource_group().unwrap_or_default().to_owned(),
    }
}

/// Returns the refusal of a credential. The texts of a missing value and of a taken pair are known.
fn refused(error: &FederationError) -> ArmError {
    let message = error.to_string();
    match error {
        FederationError::Name(_) => ArmError::InvalidName { code: "InvalidResourceName", message },
        FederationError::Taken => ArmError::Conflict(message),
        FederationError::Audiences
        | FederationError::Incomplete
        | FederationError::Issuer(_)
        | FederationError::TooLong(_)
        | FederationError::TooMany => ArmError::BadRequest(message),
    }
}

fn show(owner: &UserAssigned, own: &FederatedCredential) -> Value {
    let FederatedCredential { name, issuer, subject, audiences } = own;
    json!({
        "id": format!("{}/federatedIdentityCredentials/{name}", owner.id),
        "name": name,
        "type": version::FEDERATED_CREDENTIALS.full_name(),
        "properties": { "issuer": issuer, "subject": subject, "audiences": audiences },
    })
}
