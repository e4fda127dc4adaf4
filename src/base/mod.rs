//! Tools of both wings: HTTP, TLS, certificates, files, ids and clocks.
//!
//! Nothing here knows of tokens, brokers or load.

pub(crate) mod alarm;
pub(crate) mod assertion;
pub(crate) mod client;
pub mod clock;
pub(crate) mod files;
pub mod http;
pub mod ids;
pub(crate) mod keyed_set;
pub(crate) mod network;
pub(crate) mod printable;
pub(crate) mod process;
pub mod secret;
pub(crate) mod sync;
pub mod synthetic;
pub(crate) mod tls;
pub(crate) mod toml_file;
pub(crate) mod wakes;
pub(crate) mod x509;
