//! The mix of a phase: weighted shares of its requests, each with its own choice of keys.

use super::key::VmKey;
use crate::base::synthetic::Synthetic;

/// A share of the requests of a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share {
    /// The weight of the share, relative to the weights of the other shares.
    pub weight: f64,
    /// The choice of keys.
    pub kind: Kind,
    /// The identities of a VM that are asked for. Ignored for [`Kind::New`], which takes the keys
    /// that no other share uses.
    pub identities: Identities,
    /// The index of the resource in
    /// [`WELL_KNOWN_RESOURCES`](crate::base::synthetic::WELL_KNOWN_RESOURCES). Ignored for
    /// [`Kind::New`].
    pub resource: u8,
}

/// The choice of keys of a share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Keys that nobody has asked for before, each `repeat` times in a row. A `repeat` of 1 mints
    /// every time; a higher one is a herd on a cold key.
    New {
        /// Requests for each key.
        repeat: u32,
    },
    /// VMs by Zipf popularity, VM 0 first. Each identity of a VM is equally likely.
    Popular {
        /// The exponent of the Zipf law: 0 makes all VMs equally popular, 1 is the classic law.
        exponent: f64,
    },
    /// All keys in turn, each `repeat` times in a row, then again from the first, as when machines
    /// boot.
    Turn {
        /// Requests for each key.
        repeat: u32,
    },
}

/// A selection of the identities of a VM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Identities {
    /// All identities, equally likely.
    #[default]
    All,
    /// The system-assigned identity.
    System,
    /// The user-assigned identities, equally likely.
    UserAssigned,
}

impl Identities {
    /// Returns the range of identity numbers as (first, end); the end is excluded, and 0 is the
    /// system-assigned identity.
    pub(crate) const fn slots(self, world: &Synthetic) -> (u32, u32) {
        let end = world.user_assigned + 1;
        match self {
            Self::All => (0, end),
            Self::System => (0, 1),
            Self::UserAssigned => (1, end),
        }
    }
}

impl Share {
    /// Returns true if the VMs of `world` have the identities that the share asks for.
    pub fn fits(&self, world: &Synthetic) -> bool {
        let (from, to) = self.identities.slots(world);
        self.is_new() || from < to
    }

    /// Returns true if the share asks for the same keys again and again.
    pub(crate) const fn returns(&self) -> bool {
        matches!(self.kind, Kind::Popular { .. })
    }

    /// Returns true if the share asks for new keys.
    pub const fn is_new(&self) -> bool {
        matches!(self.kind, Kind::New { .. })
    }

    /// Returns the keys of the share for each VM; none for new keys.
    pub(crate) fn vm_keys(&self, world: &Synthetic) -> impl Iterator<Item = VmKey> {
        let (from, to) = self.identities.slots(world);
        let to = if self.is_new() { from } else { to };
        let resource = self.resource;
        (from..to).map(move |slot| (slot, resource))
    }
}
