//! Operations that roles permit.

/// An operation to be checked, such as `Microsoft.KeyVault/vaults/secrets/getSecret/action`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Operation on a resource through Azure Resource Manager: `actions` decide.
    ControlPlane(&'a str),
    /// Operation on the data within a resource, through its own endpoint: `dataActions` decide.
    DataPlane(&'a str),
}

impl<'a> Action<'a> {
    /// Returns the name of the operation in its given spelling.
    pub const fn name(self) -> &'a str {
        match self {
            Self::ControlPlane(name) | Self::DataPlane(name) => name,
        }
    }
}
