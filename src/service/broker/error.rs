//! Reasons why a request gets no token.

use crate::base::ids::TenantId;
use crate::service::cache::{Abandoned, Cache};
use crate::service::token::{MintError, Token};
use crate::service::world::{SelectError, Throttled};

/// Reasons why a request gets no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The mint that the caller waited for ended without a result.
    #[error("the mint of the token was given up")]
    Abandoned,
    /// Too many mints wait for a lane.
    #[error("too many tokens are waiting to be minted")]
    Busy,
    /// The token source failed.
    #[error("the token could not be minted")]
    Mint(#[source] MintError),
    /// No virtual machine has the caller's address.
    #[error("the caller is not a virtual machine of this world")]
    UnknownCaller,
    /// The request selects no identity of the caller.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The caller has reached a limit of its requests.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The tenant has no such resource.
    #[error("the resource `{resource}` is not known in the tenant {tenant}")]
    UnknownResource {
        /// Resource in the request.
        resource: String,
        /// Tenant in which it was looked up.
        tenant: TenantId,
    },
}

impl From<Abandoned> for TokenError {
    fn from(_: Abandoned) -> Self {
        Self::Abandoned
    }
}

/// The cache of the broker.
pub(crate) type TokenCache = Cache<Token, TokenError>;
