//! The world: tenants, VMs, identities and assignments. Pure rules, no I/O.

pub mod synthetic;
