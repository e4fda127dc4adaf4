//! TLS configurations of clients, by the authorities that they trust.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use super::error::TlsError;
use super::settings::{CERTIFICATE, alpn, provider};
use super::verifier::{Naming, Unchecked};

/// Returns the configuration of a client that trusts exactly the authorities whose certificates `ca_pem`
/// contains, with HTTP/1.1. The text may begin with a byte order mark.
///
/// # Errors
/// Returns `Pem` when the text contains no certificate, and `Config` when a certificate does not belong to an
/// authority.
pub(crate) fn client_config(ca_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
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
pub(crate) fn unchecked_client_config() -> Result<Arc<ClientConfig>, TlsError> {
    verifying(Arc::new(Unchecked(provider().signature_verification_algorithms)))
}

/// Returns the configuration of a client that trusts the authorities of this machine, with HTTP/1.1. Each
/// call reads the files of the authorities, which takes some milliseconds.
///
/// # Errors
/// Returns `NoRoots` when the machine has no authorities. Unreadable files are ignored, as other programs do.
pub(crate) fn system_client_config() -> Result<Arc<ClientConfig>, TlsError> {
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

/// The byte order mark in UTF-8. Some editors write it at the start of a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
