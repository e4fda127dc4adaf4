//! The resources of all kinds in one list (Microsoft.Resources, `resources`).

use std::iter::Peekable;

use serde_json::{Value, json};

use crate::base::ids::ArmId;
use crate::service::arm::error::ArmError;
use crate::service::arm::list::readable;
use crate::service::arm::reply::Reply;
use crate::service::arm::request::call::Call;
use crate::service::arm::request::filter::{Field, Filter, Term};
use crate::service::arm::request::route::Kind;
use crate::service::arm::tracked::group_of;
use crate::service::arm::version::ResourceType;
use crate::service::directory::State;
use crate::service::world::record::Tags;
use crate::service::world::roles::Scope;

const READ: &str = "Microsoft.Resources/subscriptions/resources/read";

/// Fields of a resource that the list shows.
#[derive(Clone, Copy, Debug)]
struct Resource<'a> {
    kind: Kind,
    id: &'a ArmId,
    location: &'a str,
    tags: &'a Tags,
}

/// `GET` of the resources of a subscription or a resource group.
pub(crate) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    let filter = Filter::parse(call.query.filter(), is_about_resources)?;
    let fits =
        |resource: &Resource<'_>| filter.passes_tagged(resource.tags, |term| holds(term, resource));
    let shows_state = expands(call, "provisioningState")?;
    readable(
        call,
        state,
        (READ, parent.as_str()),
        |after| Box::new(all(state, parent, after).filter(fits)),
        |resource| resource.id,
        |resource| {
            let mut shown = show(resource);
            if shows_state && let Some(shown) = shown.as_object_mut() {
                shown.insert("provisioningState".to_owned(), "Succeeded".into());
            }
            shown
        },
    )
}

/// `GET` of the resources of a type that is always empty here.
pub(crate) fn none(
    call: &Call,
    state: &State,
    resource_type: &ResourceType,
    scope: &Scope,
) -> Result<Reply, ArmError> {
    let action = format!("{}/read", resource_type.full_name());
    if !call.actor.may_below(state, &action, scope.as_str()) {
        call.require(state, &action, scope.as_str())?;
    }
    if let Ok(id) = scope.as_str().parse::<ArmId>()
        && id.resource_group().is_some()
    {
        group_of(state, &id)?;
    }
    Ok(Reply::ok(json!({"value": []})))
}

/// `GET` of one resource of a type that is always empty here.
pub(crate) fn absent(
    call: &Call,
    state: &State,
    resource_type: &ResourceType,
    id: &ArmId,
) -> Result<Reply, ArmError> {
    let full_name = resource_type.full_name();
    call.require(state, &format!("{full_name}/read"), id.as_str())?;
    group_of(state, id)?;
    Err(ArmError::ResourceNotFound {
        resource: format!("{full_name}/{}", id.name()),
        group: id.resource_group().unwrap_or_default().to_owned(),
    })
}

const fn is_about_resources(term: &Term) -> bool {
    !matches!(
        term,
        Term::AtScope
            | Term::AtScopeAndBelow
            | Term::Principal(_)
            | Term::AssignedTo(_)
            | Term::Field(Field::RoleName | Field::ScaleSet | Field::Type, _)
    )
}

fn holds(term: &Term, resource: &Resource<'_>) -> bool {
    let Term::Field(field, test) = term else { return false };
    match field {
        Field::Location => test.fits(resource.location),
        Field::Name => test.fits(resource.id.name()),
        Field::ResourceGroup => test.fits(resource.id.resource_group().unwrap_or_default()),
        Field::ResourceType => test.fits(&resource.kind.resource_type().full_name()),
        _ => false,
    }
}

/// Returns true if `$expand` names `wanted`. Times may be named, as in Azure, but are not shown because they
/// are not recorded.
fn expands(call: &Call, wanted: &str) -> Result<bool, ArmError> {
    const KNOWN: [&str; 3] = ["createdTime", "changedTime", "provisioningState"];
    let named = call.query.get("$expand").unwrap_or_default();
    let mut named = named.split(',').map(str::trim).filter(|name| !name.is_empty());
    let unknown = |name: &&str| !KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name));
    if let Some(name) = named.clone().find(unknown) {
        return Err(ArmError::InvalidQuery(format!(
            "The value '{name}' of the query parameter '$expand' is invalid; take {}.",
            KNOWN.join(", ")
        )));
    }
    Ok(named.any(|name| name.eq_ignore_ascii_case(wanted)))
}

/// Returns the resources in the order of their ids, which is also the order of pages.
fn all<'a>(
    state: &'a State,
    parent: &'a ArmId,
    after: Option<&ArmId>,
) -> impl Iterator<Item = Resource<'a>> + use<'a> {
    let vms = state.vms_below(parent, after).map(|entry| {
        let vm = &entry.vm.record;
        Resource { kind: Kind::VirtualMachine, id: &vm.id, location: &vm.location, tags: &vm.tags }
    });
    let vaults = state.vaults_below(parent, after).map(|own| Resource {
        kind: Kind::Vault,
        id: &own.id,
        location: &own.location,
        tags: &own.tags,
    });
    let identities = state.user_assigned_below(parent, after).map(|entry| {
        let own = &entry.record;
        Resource { kind: Kind::UserAssigned, id: &own.id, location: &own.location, tags: &own.tags }
    });
    in_order(in_order(vms, vaults), identities)
}

/// Merges two sorted lists.
fn in_order<'a>(
    left: impl Iterator<Item = Resource<'a>>,
    right: impl Iterator<Item = Resource<'a>>,
) -> impl Iterator<Item = Resource<'a>> {
    let (mut left, mut right) = (left.peekable(), right.peekable());
    std::iter::from_fn(
        move || {
            if precedes(&mut left, &mut right) { left.next() } else { right.next() }
        },
    )
}

fn precedes<'a>(
    left: &mut Peekable<impl Iterator<Item = Resource<'a>>>,
    right: &mut Peekable<impl Iterator<Item = Resource<'a>>>,
) -> bool {
    match (left.peek(), right.peek()) {
        (Some(left), Some(right)) => left.id < right.id,
        (left, _) => left.is_some(),
    }
}

fn show(resource: &Resource<'_>) -> Value {
    json!({
        "id": resource.id.as_str(),
        "name": resource.id.name(),
        "type": resource.kind.resource_type().full_name(),
        "location": resource.location,
        "tags": resource.tags,
    })
}
