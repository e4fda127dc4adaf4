//! One connection: plain or TLS, its requests, and the set of all connections of a worker.

mod direct;
mod heads;
mod last_head;
mod plain;
mod received;
mod requests;
mod set;
mod stream;
mod tls;

pub(super) use requests::{Connection, reset_when_dropped};
pub(super) use set::Connections;
pub(super) use tls::Handshake;
pub use tls::Transport;

#[cfg(test)]
mod tests;
