//! A small client: HTTP/1.1, plain or over TLS, with whole bodies and a connection pool.
//!
//! It follows no redirects, keeps no cookies and uses no proxies, because it only calls configured services.

mod blocking;
mod connection;
mod error;
mod exchange;
mod origin;
mod pool;

pub(crate) use blocking::BlockingClient;
pub(crate) use error::ClientError;
pub(crate) use exchange::{Client, ClientLimits};
pub(crate) use origin::Origin;

#[cfg(test)]
mod tests;
