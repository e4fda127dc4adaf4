//! Settings that clients and servers share.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// Returns the cryptographic library. It is named so that the global default does not matter.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Returns the ALPN protocols: only HTTP/1.1 (RFC 7301 section 6).
pub(super) fn alpn() -> Vec<Vec<u8>> {
    vec![b"http/1.1".to_vec()]
}

/// Kind of PEM block that holds a certificate, for [`TlsError::Pem`](super::TlsError::Pem).
pub(super) const CERTIFICATE: &str = "a certificate";
