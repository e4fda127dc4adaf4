//! A local certificate authority: servers that present its certificates, and clients that trust it.
//!
//! Keys are ECDSA on P-256. Only authorities that this module has created can be read back.

mod authority;
mod client;
mod error;
mod fault;
mod folder;
mod server;
mod settings;
mod verifier;
mod x509;

pub(crate) use authority::Authority;
pub(crate) use client::{client_config, system_client_config, unchecked_client_config};
pub(crate) use error::TlsError;
pub(crate) use fault::Fault;
pub(crate) use server::ServerTls;

/// The files of an authority in its folder.
pub(crate) const FILES: [&str; 2] = [folder::CERTIFICATE_FILE, folder::KEY_FILE];

#[cfg(test)]
mod tests;
