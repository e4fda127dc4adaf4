//! Instance metadata service (IMDS): the identity endpoint, and those other parts that SDKs read.
//!
//! Facts and their sources are in `docs/protocol.md`. Checks run in the order of the real service, as far as
//! clients can see it: route, method, `Host`, `X-Forwarded-For`, `Metadata`, form of the query,
//! `api-version`, parameters. Anything that depends on the caller comes last.

mod admission;
mod direct;
mod document;
mod endpoint;
mod error;
mod events;
mod extension;
mod instance;
mod parameters;
mod query;
mod reply;
mod route;
mod token;
mod versions;

pub use endpoint::Imds;
pub(crate) use extension::Extension;
pub use query::{Query, QueryError};
