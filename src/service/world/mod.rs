//! The world: tenants, virtual machines, identities, and the identities that each VM may use. Pure rules, no
//! I/O.
//!
//! [`record`] holds the stored records. `seed` builds the first records of a world, from a
//! `file` or a `synthetic` shape. [`Vm`] and [`Identity`] are the rules that the broker
//! follows. `directory` holds the current world.

pub(crate) mod archive;
pub mod federation;
pub(crate) mod file;
pub(crate) mod left_out;
pub mod record;
pub(crate) mod roles;
pub(crate) mod seed;
pub mod vault;

mod address;
mod audiences;
mod identity;
mod names;
mod own_services;
mod period;
mod resources;
mod throttle;

pub use address::{Address, AddressError};
pub use identity::{
    Held, HoldingIndex, Identity, IdentityIndex, IdentityKind, SelectError, Selector, Vm,
};
pub use names::{is_object_name, is_vault_name};
pub(crate) use own_services::OwnServices;
pub use period::{ParsePeriodError, Period};
pub use resources::{Known, ResourceIndex, Resources};
pub use throttle::{Category, Limits, Meter, Permit, Throttle, ThrottleError, Throttled};

#[cfg(test)]
pub(crate) mod tests;
