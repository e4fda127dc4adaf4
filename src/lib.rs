//! mintbench: a managed-identity token broker, and the harness that measures it.
//!
//! mintbench has two halves that never call each other. The serving half answers the identity endpoint of
//! Azure's instance metadata service for many virtual machines. The measuring half drives it, or any other
//! endpoint, over the network, and reports how fast it is.
//!
//! # Reading order
//!
//! For the serving half: [`ids`], [`world`] (possible items, and the identities that a VM may use),
//! [`directory`] (current items and their changes), [`broker`] (the use case: select, look up, join or mint),
//! [`cache`] (hits, single flight, eviction), [`token`] (claims, keys, the response body), [`imds`] (the
//! rules of the endpoint), [`server`] (assembly). For the measuring half: [`load`] from `schedule` through
//! `generator` to `validity`, [`stats`], [`report`].
//!
//! # The path of a request
//!
//! [`http`] reads a request from a connection. The address of the connection identifies the virtual machine.
//! [`imds`] checks the request and asks [`broker`]. A cached token comes from [`cache`] at once. A missing
//! token is minted on a mint lane, once for all waiting requests. The body is rendered when the token is
//! minted. Only the digits of `expires_in` are patched for each response.
//!
//! A table in `tests/architecture` lists the allowed dependencies between modules. `docs/ARCHITECTURE.md`
//! draws them.

pub mod admin;
pub mod arm;
pub mod assertion;
pub mod broker;
pub mod cache;
pub mod class;
pub mod cli;
pub mod client;
pub mod clock;
pub mod directory;
pub mod document;
pub mod files;
pub mod gate;
pub mod http;
pub mod ids;
pub mod imds;
pub mod load;
pub mod machine;
pub mod plan;
pub mod printable;
pub mod report;
pub mod secret;
pub mod server;
pub mod source;
pub mod stats;
pub mod store;
pub mod sts;
mod sync;
pub mod tls;
pub mod token;
mod toml_file;
pub mod vault;
pub mod world;
pub mod x509;
