//! mintbench: a managed-identity token broker, and the harness that measures it.
//!
//! The code has three wings and a door:
//!
//! - [`service`] answers the identity endpoint of Azure's instance metadata service for many virtual
//!   machines, with the control plane, the directory, the token service and the key vaults behind it.
//! - [`harness`] drives that endpoint, or any other, over the network, and reports how fast it is.
//! - [`base`] is what both use: HTTP, TLS, certificates, files, ids and clocks.
//! - [`cli`] is the door: one module per subcommand. Nothing else knows the command line.
//!
//! `service` and `harness` never name each other. Inside each wing, arrows between modules point one way;
//! a test in `tests/architecture` holds the table, and `docs/ARCHITECTURE.md` draws it.
//!
//! # Reading order
//!
//! For the service: [`base::ids`], [`service::world`] (possible items, and the identities that a VM may
//! use), [`service::directory`] (current items and their changes), [`service::broker`] (the use case:
//! select, look up, join or mint), [`service::cache`] (hits, single flight, eviction), [`service::token`]
//! (claims, keys, the response body), [`service::imds`] (the rules of the endpoint), `service::server`
//! (assembly).
//!
//! For the harness: [`harness::scenario`] (what to run), [`harness::schedule`] (when each request is due),
//! [`harness::driver`] (the timed path), [`harness::record`] (what was seen), [`harness::judge`] (what it
//! means), [`harness::session`] (a run from start to end), [`harness::report`].
//!
//! # The path of a request
//!
//! [`base::http`] reads a request from a connection. The address of the connection identifies the virtual
//! machine. [`service::imds`] checks the request and asks [`service::broker`]. A cached token comes from
//! [`service::cache`] at once. A missing token is minted on a mint lane, once for all waiting requests. The
//! body is rendered when the token is minted. Only the digits of `expires_in` are patched for each response.

pub mod base;
#[cfg(not(fuzzing))]
pub mod cli;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
pub mod harness;
pub mod service;
