//! User-assigned identities, and the system-assigned identity of a resource (Microsoft.ManagedIdentity).

use std::sync::Arc;

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::readable;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::{Content, property, unexpected};
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked::{self, Verb, admit, not_found};
use crate::service::directory::{IdSource, State};
use crate::service::world::record::{Change, Record, Tags, UserAssigned};

const KIND: Kind = Kind::UserAssigned;

/// `GET` of an identity.
pub(crate) fn get(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    admit(call, state, Verb::Read, KIND, id)?;
    Ok(Reply::ok(show(state, &*existing(state, id)?)))
}

fn existing(state: &State, id: &ArmId) -> Result<Arc<UserAssigned>, ArmError> {
    let entry = state.user_assigned(id).ok_or_else(|| not_found(KIND, id))?;
    Ok(Arc::clone(&entry.record))
}

/// `GET` of the identities of a subscription or a resource group.
pub(crate) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    readable(
        call,
        state,
        (&Verb::Read.on(KIND), parent.as_str()),
        |after| Box::new(state.user_assigned_below(parent, after)),
        |entry| &entry.record.id,
        |entry| show(state, &entry.record),
    )
}

/// `PUT`: creates the identity and its service principal. An existing identity keeps its principal.
pub(crate) fn put(
    call: &Call,
    state: &State,
    fresh: &mut IdSource<'_>,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    let group = admit(call, state, Verb::Write, KIND, id)?;
    let is_inner = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && name.starts_with(|first: char| first.is_ascii_alphanumeric())
    };
    tracked::require_name(KIND, id.name(), 3..=128, is_inner)?;
    let before = state.user_assigned(id).map(|entry| &entry.record);
    let location = tracked::location(content, KIND, id, before.map(|own| own.location.as_str()))?;
    let identity = UserAssigned {
        id: match before {
            Some(own) => own.id.clone(),
            None => tracked::new_id(&group, KIND, id)?,
        },
        location,
        tags: content.tags().cloned().unwrap_or_default(),
        isolation_scope: isolation_scope(content.properties())?,
        ids: before.map_or_else(|| fresh.identity_ids(), |own| own.ids),
        federated_credentials: before
            .map_or_else(Vec::new, |own| own.federated_credentials.clone()),
    };
    let reply = Reply::put(before, show(state, &identity));
    Ok((vec![Change::Put(Record::UserAssigned(identity))], reply))
}

/// `PATCH`: sets tags and isolation scope if they are given.
pub(crate) fn patch(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Verb::Write, KIND, id)?;
    let mut identity = UserAssigned::clone(&*existing(state, id)?);
    tracked::location(content, KIND, id, Some(&identity.location))?;
    if let Some(tags) = content.tags() {
        identity.tags = tags.clone();
    }
    if let Some(scope) = isolation_scope(content.properties())? {
        identity.isolation_scope = Some(scope);
    }
    let reply = Reply::ok(show(state, &identity));
    Ok((vec![Change::Put(Record::UserAssigned(identity))], reply))
}

/// `DELETE`: removes the identity and its principal. Machines that it is assigned to keep the reference.
pub(crate) fn delete(
    call: &Call,
    state: &State,
    id: &ArmId,
) -> Result<(Vec<Change>, Reply), ArmError> {
    admit(call, state, Verb::Delete, KIND, id)?;
    Ok(match state.user_assigned(id) {
        Some(entry) => {
            let changes = tracked::removal(call, state, KIND, &entry.record.id);
            (changes, Reply::empty(StatusCode::OK))
        }
        None => (Vec::new(), Reply::empty(StatusCode::NO_CONTENT)),
    })
}

fn isolation_scope(properties: &Map<String, Value>) -> Result<Option<String>, ArmError> {
    let given = property(properties, "isolationScope").filter(|value| !value.is_null());
    let Some(given) = given else { return Ok(None) };
    let known = |one: &&str| given.as_str().is_some_and(|text| text.eq_ignore_ascii_case(one));
    let found = ["None", "Regional"].into_iter().find(known);
    let unknown = || unexpected("properties.isolationScope", "'None' or 'Regional'");
    found.map(|one| Some(one.to_owned())).ok_or_else(unknown)
}

fn show(state: &State, identity: &UserAssigned) -> Value {
    let tenant = state.tenant_of(&identity.id).map(|tenant| tenant.id.to_string());
    let mut properties = json!({
        "tenantId": tenant,
        "principalId": identity.ids.principal_id.to_string(),
        "clientId": identity.ids.client_id.to_string(),
    });
    if let (Some(scope), Some(properties)) = (&identity.isolation_scope, properties.as_object_mut())
    {
        properties.insert("isolationScope".to_owned(), scope.as_str().into());
    }
    json!({
        "id": identity.id.as_str(),
        "name": identity.id.name(),
        "type": KIND.resource_type().full_name(),
        "location": identity.location,
        "tags": identity.tags,
        "properties": properties,
    })
}

/// `GET /{resource}/providers/Microsoft.ManagedIdentity/identities/default`.
pub(crate) fn system_assigned(
    call: &Call,
    state: &State,
    owner: &ArmId,
) -> Result<Reply, ArmError> {
    call.require(state, "Microsoft.ManagedIdentity/identities/read", owner.as_str())?;
    tracked::group_of(state, owner)?;
    let missing = || ArmError::ResourceNotFound {
        resource: "Microsoft.ManagedIdentity/identities/default".to_owned(),
        group: owner.resource_group().unwrap_or_default().to_owned(),
    };
    let entry = state.vm(owner).ok_or_else(missing)?;
    let identity = entry.vm.system_assigned().ok_or_else(missing)?;
    let vm = &entry.vm.record;
    let (tenant, ids) = (identity.tenant.id, identity.ids);
    let secret_url = format!(
        "https://control-{}.identity.azure.net{}/credentials?tid={tenant}&oid={}&aid={}",
        vm.location, vm.id, ids.principal_id, ids.client_id
    );
    Ok(Reply::ok(json!({
        "id": format!("{}/providers/Microsoft.ManagedIdentity/identities/default", vm.id),
        "name": "default",
        "type": "Microsoft.ManagedIdentity/identities",
        "location": vm.location,
        "tags": Tags::new(),
        "properties": {
            "tenantId": tenant.to_string(),
            "principalId": ids.principal_id.to_string(),
            "clientId": ids.client_id.to_string(),
            "clientSecretUrl": secret_url,
        },
    })))
}
