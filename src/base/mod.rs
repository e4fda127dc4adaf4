//! What both wings use: HTTP, TLS, certificates, files, ids and clocks.
//!
//! Nothing here knows of tokens, brokers or load.

pub mod assertion;
pub mod client;
pub mod clock;
pub mod files;
pub mod http;
pub mod ids;
pub mod printable;
pub mod process;
pub mod secret;
pub mod sync;
pub mod synthetic;
pub mod tls;
pub mod toml_file;
pub mod x509;
