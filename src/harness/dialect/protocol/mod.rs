//! The protocols by which tokens are requested.
//!
//! A `Dialect` is a protocol with its settings. A `Recipe` is derived from it once the target and
//! the length of the run are known. It holds every constant part of a request, encoded once.
//! Nothing here signs, or sends a request, while the load runs.

mod dialect;
mod expect;
mod header;
mod lease;
mod oauth2;
mod plain;

pub(crate) use self::dialect::{Dialect, Protocol};
pub(crate) use self::expect::Expect;
pub(crate) use self::header::{Header, HeaderError};
pub(crate) use self::lease::{Lease, SESSION_SECONDS};
pub(crate) use self::oauth2::{ASSERTION_SPAN, ClientAuth, OAuth2, Proof, RunSpan};
pub(crate) use self::plain::{Method, Plain};
