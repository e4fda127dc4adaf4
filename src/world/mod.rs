//! The world: tenants, virtual machines, identities and which VM may use which. Pure rules, no I/O.
//!
//! [`record`] is what is stored, [`seed`] what a world begins with (from a [`file`](mod@file) or made up by
//! [`synthetic`]); [`Vm`] and [`Identity`] are the rules that the broker goes by. Who holds the world as
//! it is now is `directory`.

pub mod file;
pub mod record;
pub mod roles;
pub mod seed;
pub mod synthetic;
pub mod vault;

mod address;
mod audiences;
mod identity;
mod names;
mod resources;

pub use address::{Address, AddressError};
pub use identity::{
    Held, HoldingIndex, Identity, IdentityIndex, IdentityKind, SelectError, Selector, Vm,
};
pub use names::{is_secret_name, is_vault_name};
pub use resources::{Known, ResourceIndex, Resources};

#[cfg(test)]
pub(crate) mod tests;
