//! Resource groups (Microsoft.Resources, `resourceGroups`).

use std::sync::Arc;

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::readable;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::content::Content;
use crate::service::arm::request::filter::{Field, Filter, Term, is_of_tags};
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked::{group_of, removal_of_one, role_assignments_within};
use crate::service::arm::version;
use crate::service::directory::State;
use crate::service::world::record::{Change, Key, Record, ResourceGroup};

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
pub(crate) const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const DELETE: &str = "Microsoft.Resources/subscriptions/resourceGroups/delete";

/// `GET` and `HEAD` of a group.
pub(crate) fn get(call: &Call, state: &State, id: &ArmId) -> Result<Reply, ArmError> {
    call.require(state, READ, id.as_str())?;
    let group = group_of(state, id)?;
    Ok(match call.method {
        Method::HEAD => Reply::empty(StatusCode::NO_CONTENT),
        _ => Reply::ok(show(&group)),
    })
}

/// `GET /subscriptions/{id}/resourceGroups`.
pub(crate) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    let takes = |term: &Term| is_of_tags(term) || matches!(term, Term::Field(Field::Name, _));
    let filter = Filter::parse(call.query.filter(), takes)?;
    let fits = |group: &&Arc<ResourceGroup>| {
        filter.passes_tagged(
            &group.tags,
            |term| matches!(term, Term::Field(_, test) if test.fits(group.id.name())),
        )
    };
    readable(
        call,
        state,
        (READ, parent.as_str()),
        |after| Box::new(state.groups(parent, after).filter(fits)),
        |group| &group.id,
        |group| show(group),
    )
}

/// `PUT`: creates the group, or sets its tags.
pub(crate) fn put(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, WRITE, id.as_str())?;
    let existing = state.group(id);
    let group = planned(content, id, existing.map(|group| &**group))?;
    let reply = Reply::put(existing, show(&group));
    Ok((vec![Change::Put(Record::ResourceGroup(group))], reply))
}

/// Returns the group that a `PUT` asks for.
fn planned(
    content: &Content,
    id: &ArmId,
    existing: Option<&ResourceGroup>,
) -> Result<ResourceGroup, ArmError> {
    let location = content.location(&version::GROUPS)?.ok_or(ArmError::LocationRequired)?;
    let tags = content.tags().cloned().unwrap_or_default();
    match existing {
        Some(group) if group.location != location => {
            Err(ArmError::GroupLocation { location, existing: group.location.clone() })
        }
        Some(group) => Ok(ResourceGroup { tags, ..group.clone() }),
        None => Ok(ResourceGroup { id: id.clone(), location, tags }),
    }
}

/// `PATCH`: sets its tags.
pub(crate) fn patch(
    call: &Call,
    state: &State,
    id: &ArmId,
    content: &Content,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, WRITE, id.as_str())?;
    let mut group = ResourceGroup::clone(&*group_of(state, id)?);
    if let Some(tags) = content.tags() {
        group.tags = tags.clone();
    }
    let reply = Reply::ok(show(&group));
    Ok((vec![Change::Put(Record::ResourceGroup(group))], reply))
}

/// `DELETE`: removes the group and everything in it. Its vaults can be recovered once the group exists again.
pub(crate) fn delete(
    call: &Call,
    state: &State,
    id: &ArmId,
) -> Result<(Vec<Change>, Reply), ArmError> {
    call.require(state, DELETE, id.as_str())?;
    let group = group_of(state, id)?;
    let id = &group.id;
    let mut changes = role_assignments_within(state, id);
    let remove = |kind, one| removal_of_one(call, state, kind, one);
    let vms = state.vms_below(id, None).map(|entry| &entry.vm.record.id);
    changes.extend(vms.flat_map(|vm| remove(Kind::VirtualMachine, vm)));
    let identities = state.user_assigned_below(id, None).map(|entry| &entry.record.id);
    changes.extend(identities.flat_map(|one| remove(Kind::UserAssigned, one)));
    let vaults = state.vaults_below(id, None).map(|vault| &vault.id);
    changes.extend(vaults.flat_map(|vault| remove(Kind::Vault, vault)));
    changes.push(Change::Remove(Key::ResourceGroup(id.clone())));
    Ok((changes, Reply::empty(StatusCode::OK)))
}

fn show(group: &ResourceGroup) -> Value {
    json!({
        "id": group.id.as_str(),
        "name": group.id.name(),
        "type": "Microsoft.Resources/resourceGroups",
        "location": group.location,
        "tags": group.tags,
        "properties": {"provisioningState": "Succeeded"},
    })
}
