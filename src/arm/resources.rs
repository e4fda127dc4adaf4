//! The resources of all kinds in one list (Microsoft.Resources, `resources`).

use std::iter::Peekable;

use serde_json::{Value, json};

use super::call::Call;
use super::error::ArmError;
use super::filter::{self, Term};
use super::list::readable;
use super::reply::Reply;
use super::route::Kind;
use crate::directory::State;
use crate::ids::ArmId;
use crate::world::record::Tags;

const READ: &str = "Microsoft.Resources/subscriptions/resources/read";

/// What the list shows of a resource.
#[derive(Clone, Copy, Debug)]
struct Resource<'a> {
    kind: Kind,
    id: &'a ArmId,
    location: &'a str,
    tags: &'a Tags,
}

/// `GET` of the resources of a subscription or a resource group.
pub(super) fn list(call: &Call, state: &State, parent: &ArmId) -> Result<Reply, ArmError> {
    let terms = filter::parse(call.query.filter(), |term| matches!(term, Term::ResourceType(_)))?;
    let fits = |resource: &Resource<'_>| {
        let name = resource.kind.resource_type().full_name();
        let is_of = |term: &Term| matches!(term, Term::ResourceType(wanted) if wanted.eq_ignore_ascii_case(&name));
        terms.iter().all(is_of)
    };
    readable(
        call,
        state,
        (READ, parent.as_str()),
        |after| Box::new(all(state, parent, after).filter(fits)),
        |resource| resource.id,
        show,
    )
}

/// The resources in the order of their ids, which is that of the pages.
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

/// Two lists that are in order, as one.
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
