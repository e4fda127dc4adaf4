//! Errors of authorities, certificates and configurations.

use std::path::PathBuf;

use crate::base::clock::UnixSeconds;
use crate::base::files::{ReadError, SecretFileError};

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
