//! A local certificate authority: servers that present its certificates, and clients that trust it.
//!
//! Keys are ECDSA on P-256. Only authorities that this module has created can be read back.

mod authority;
mod fault;
mod folder;
mod server;
mod verifier;
mod x509;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::base::clock::UnixSeconds;
use crate::base::files::{ReadError, SecretFileError};

pub use authority::Authority;
pub use fault::Fault;
pub use server::ServerTls;
use verifier::{Naming, Unchecked};

/// The files of an authority in its folder.
pub const FILES: [&str; 2] = [folder::CERTIFICATE_FILE, folder::KEY_FILE];

/// Error of an authority, a certificate or a configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or its key could not be created.
    #[error("cannot make {what}")]
    Certify {
        /// Owner of the certificate or key.
        what: &'static str,
        /// The error of the library.
        source: rcgen::Error,
    },
    /// The authority's name does not fit into a certificate (RFC 5280 appendix A.1).
    #[error("`{0}` cannot name an authority; take 1 to 64 bytes")]
    CommonName(String),
    /// A certificate or key is refused.
    #[error("the TLS library refuses the certificate or its key")]
    Config(#[from] rustls::Error),
    /// Others can read the key of the authority.
    #[error(transparent)]
    Exposed(#[from] SecretFileError),
    /// The authority's certificate is no longer valid.
    #[error("the certificate expired at {not_after} (Unix time)")]
    Expired {
        /// The last second of its validity.
        not_after: UnixSeconds,
    },
    /// A file or folder of the authority cannot be written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// The failed action.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The files do not form an authority.
    #[error(
        "the certificate authority in {} cannot be used; restore its ca.pem and ca.key, or remove both to have new ones made",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The problem with the files.
        source: Box<TlsError>,
    },
    /// The certificate was not created by this module.
    #[error("the certificate is not one that mintbench made for an authority")]
    Foreign,
    /// There is a certificate without its private key.
    #[error("there is a certificate without its private key")]
    NoKey,
    /// The certificate would have no names. No client accepts that.
    #[error("a server's certificate needs a name; give a DNS name or an IP address")]
    NoNames,
    /// The machine has no trusted authorities.
    #[error("this machine has no certificate authorities: {0}")]
    NoRoots(String),
    /// A certificate cannot contain this name.
    #[error("`{0}` is not a DNS name or an IP address")]
    Name(String),
    /// A file of the authority cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A text contains no PEM block of this kind.
    #[error("no PEM block holds {0}")]
    Pem(&'static str),
}

/// Returns the configuration of a client that trusts exactly the authorities whose certificates `ca_pem`
/// contains, with HTTP/1.1. The text may begin with a byte order mark.
///
/// # Errors
/// Returns `Pem` when the text contains no certificate, and `Config` when a certificate does not belong to an
/// authority.
pub fn client_config(ca_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let ca_pem = ca_pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(ca_pem);
    let named: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca_pem).collect();
    let named = named.ok().filter(|named| !named.is_empty()).ok_or(TlsError::Pem(CERTIFICATE))?;
    let mut roots = RootCertStore::empty();
    for certificate in &named {
        roots.add(certificate.clone())?;
    }
    verifying(Arc::new(Naming { library: library_verifier(roots)?, named }))
}

/// Returns the configuration of a client that accepts every certificate, with HTTP/1.1.
///
/// # Errors
/// Returns `Config` when the library refuses its own settings.
pub fn unchecked_client_config() -> Result<Arc<ClientConfig>, TlsError> {
    verifying(Arc::new(Unchecked(provider().signature_verification_algorithms)))
}

/// Returns the configuration of a client that trusts the authorities of this machine, with HTTP/1.1. Each
/// call reads the files of the authorities, which takes some milliseconds.
///
/// # Errors
/// Returns `NoRoots` when the machine has no authorities. Unreadable files are ignored, as other programs do.
pub fn system_client_config() -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map(ToString::to_string);
        return Err(TlsError::NoRoots(
            why.unwrap_or_else(|| "no file of them was found".to_owned()),
        ));
    }
    verifying(library_verifier(roots)?)
}

fn library_verifier(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    let built = WebPkiServerVerifier::builder_with_provider(roots.into(), provider()).build();
    built.map_err(|error| rustls::Error::General(error.to_string()))
}

fn verifying(verifier: Arc<dyn ServerCertVerifier>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = alpn();
    Ok(Arc::new(config))
}

const CERTIFICATE: &str = "a certificate";

/// The byte order mark in UTF-8. Some editors write it at the start of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns the cryptographic library. It is named so that the global default does not matter.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Returns the ALPN protocols: only HTTP/1.1 (RFC 7301 section 6).
fn alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}

#[cfg(test)]
mod tests;
