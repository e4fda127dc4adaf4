//! Directory: the current state of the world, and the only way to change it.
//!
//! A write has four steps before it returns. It is planned on the current state, committed to the
//! [`store`](crate::service::store), and applied. Then subscribers are told what it ended. Reads take a lock that no
//! write holds while it waits for the disk. The identity endpoint does not even take that lock: each
//! connection holds the [`VmSlot`] of its caller.

mod addresses;
mod apply;
mod core;
mod credentials;
mod effective;
mod error;
mod key_cache;
mod keys;
mod objects;
mod options;
mod replacement;
mod slot;
mod state;
mod vaults;

pub use self::core::{Audience, Caller, Directory, IdSource};
pub use credentials::Rolled;
pub use effective::Ended;
pub use error::{CredentialError, DirectoryError, ReplaceError, SigningKeyError};
pub use objects::{Object, Objects};
pub use options::{CredentialOptions, DirectoryOptions, SigningOptions};
pub use replacement::{Losses, Replaced};
pub use slot::{Called, VmSlot};
pub use state::{Principal, State, UserAssignedEntry, VmEntry};
pub use vaults::{Content, purge};

pub use crate::service::store::{Fault, StoreError};

#[cfg(test)]
pub(crate) mod tests;
