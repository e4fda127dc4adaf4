//! Errors of the directory, its signing keys and its certificates.

use crate::base::clock::UnixSeconds;
use crate::base::ids::{ClientId, PrincipalId};
use crate::base::x509::CertificateError;
use crate::service::store::StoreError;
use crate::service::token::{ClientKeyError, KeyError};

/// Reasons why the directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The store cannot be read or written.
    #[error("cannot load the world")]
    Store(#[from] StoreError),
    /// There is no signing key.
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    /// A record names something that does not exist.
    #[error(
        "the record `{key}` names the {what}, which is not there; restore the folder from a backup"
    )]
    Dangling {
        /// Key of the record.
        key: String,
        /// The missing thing that it names.
        what: String,
    },
}

/// Greatest number of published keys; RSA keys then take about 50 kB.
pub(super) const KEYS_MAX: usize = 32;

/// Reasons why there is no signing key, or why it cannot change.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// A key cannot be generated or parsed.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A stored key is not valid.
    #[error("the stored signing key `{0}` cannot be read; restore the folder from a backup")]
    Stored(String),
    /// The change was not stored.
    #[error("cannot store a signing key")]
    Store(#[from] StoreError),
    /// The next key was published too recently.
    #[error(
        "verifiers may not have read the next key yet: rotate again in {} s",
        until.since(*now).0
    )]
    TooSoon {
        /// Time of the attempt.
        now: UnixSeconds,
        /// Time from which the next key may sign.
        until: UnixSeconds,
    },
    /// The greatest number of keys is published, and tokens of each may still be valid.
    #[error(
        "{KEYS_MAX} keys are published, and each may have signed a token that still lives: rotate again in {} s",
        until.since(*now).0
    )]
    TooMany {
        /// Time of the attempt.
        now: UnixSeconds,
        /// Time at which the first of them is removed.
        until: UnixSeconds,
    },
}

/// Reasons why a world is not replaced.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// Items of the old world would be lost.
    #[error("{count} items of this server would be lost or changed, first `{first}`")]
    Occupied {
        /// Number of the items.
        count: usize,
        /// Key of the first one.
        first: String,
    },
    /// The change was not stored.
    #[error("cannot store the world")]
    Store(#[from] StoreError),
}

/// Reasons why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// A new or stored certificate cannot be parsed.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The stored certificate of a principal cannot be used.
    #[error(
        "the stored certificate `{thumbprint}` cannot be used; restore the folder from a backup"
    )]
    Stored {
        /// Thumbprint of the certificate.
        thumbprint: String,
        /// Cause of the error.
        source: ClientKeyError,
    },
    /// A key or certificate cannot be generated.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The principal is an application, which keeps its private keys itself.
    #[error("the private keys of the application `{0}` are not kept here; use its own certificate")]
    NotKept(ClientId),
    /// The change was not stored.
    #[error("cannot store a certificate")]
    Store(#[from] StoreError),
    /// No such principal exists, or it was removed.
    #[error("there is no service principal `{0}`; make its identity first")]
    UnknownPrincipal(PrincipalId),
}
