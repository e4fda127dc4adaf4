//! Kinds of resources.

use crate::base::ids::ArmId;
use crate::service::arm::version::{self, ResourceType};

/// The resource types that lie in resource groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    UserAssigned,
    VirtualMachine,
    Vault,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::UserAssigned, Self::VirtualMachine, Self::Vault];

    pub(crate) const fn resource_type(self) -> &'static ResourceType {
        match self {
            Self::UserAssigned => &version::USER_ASSIGNED,
            Self::VirtualMachine => &version::VIRTUAL_MACHINES,
            Self::Vault => &version::VAULTS,
        }
    }

    /// Returns the kind of a resource id. The id must name a whole resource, not a part of one.
    pub(crate) fn of(id: &ArmId) -> Option<Self> {
        let mut segments = id.as_str().split('/').skip(1);
        let in_group = segments.next().is_some()
            && segments.next().is_some()
            && segments.next().is_some_and(|key| key.eq_ignore_ascii_case("resourceGroups"))
            && segments.next().is_some()
            && segments.next().is_some_and(|key| key.eq_ignore_ascii_case("providers"));
        let (namespace, name) = (segments.next()?, segments.next()?);
        let is_whole = segments.next().is_some() && segments.next().is_none();
        Self::ALL.into_iter().find(|kind| {
            let kind = kind.resource_type();
            in_group
                && is_whole
                && kind.namespace.eq_ignore_ascii_case(namespace)
                && kind.name.eq_ignore_ascii_case(name)
        })
    }
}
