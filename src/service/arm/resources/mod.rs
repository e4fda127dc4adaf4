//! Subscriptions, resource groups, and the resources in them other than virtual machines.

pub(super) mod deleted_vaults;
pub(super) mod every;
pub(super) mod federated_credentials;
pub(super) mod groups;
pub(super) mod identities;
pub(super) mod locations;
pub(super) mod subscriptions;
mod vault_settings;
pub(super) mod vaults;
