//! Instance metadata service (IMDS): the identity endpoint, and those other parts that SDKs read. Also the two
//! endpoints that give the same tokens in other forms, of the VM extension and of App Service.
//!
//! Facts and their sources are in `docs/protocol.md`. Checks run in the order of the real service, as far as
//! clients can see it: route, method, `Host`, `X-Forwarded-For`, `Metadata`, form of the query,
//! `api-version`, parameters. Anything that depends on the caller comes last.

mod admission;
mod app_service;
mod direct;
mod document;
mod endpoint;
mod error;
mod events;
mod extension;
mod gateway;
mod instance;
mod parameters;
mod query;
mod reply;
mod route;
mod token;
mod versions;

pub(crate) use app_service::AppService;
pub use endpoint::Imds;
pub(crate) use extension::Extension;
pub(crate) use gateway::GatewayNotice;
pub use query::{Query, QueryError};
