//! mintbench: a managed-identity token broker, and the harness that measures it.
//!
//! Two halves that never call each other. The serving half answers the identity endpoint of Azure's
//! instance metadata service for many virtual machines; the measuring half drives it, or any other
//! endpoint, over the network, and says how fast it is.
//!
//! # Reading order
//!
//! One sitting: [`ids`], [`world`] (what can exist, and which identity a VM may use), [`directory`]
//! (what exists now, and how it changes), [`broker`] (the use case: select, look up, join or mint),
//! [`cache`] (hits, single flight, eviction), [`token`] (claims, keys, the response body), [`imds`] (the
//! rules of the endpoint), [`server`] (assembly). Then, for the other half, [`load`] from `schedule` through `generator` to `validity`, [`stats`],
//! [`report`].
//!
//! # The way of a request
//!
//! [`http`] reads a request from a connection whose virtual machine is known by its address;
//! [`imds`] checks it and asks [`broker`]; a held token comes from [`cache`] at once, a missing one
//! is minted once for all who wait, on a mint lane; the body, rendered when the token was minted, goes
//! out with the digits of `expires_in` patched.
//!
//! Who may name whom is a table in `tests/architecture`, drawn in `docs/ARCHITECTURE.md`.

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
