//! Reasons why flags make no target.

use std::path::PathBuf;

use crate::base::assertion::ClientKeyError;
use crate::base::files;
use crate::base::files::{ReadError, SecretFileError};
use crate::base::tls::TlsError;
use crate::harness::dialect::protocol::{HeaderError, Protocol};

/// Reason why the flags make no target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error(
        "--{flag} is of no use with the protocol `{protocols}`; leave it out, or choose another"
    )]
    Unused { flag: &'static str, protocols: String },
    #[error("--{0} is of no use beside a target file; write it into the file")]
    UnusedBesideFile(&'static str),
    #[error("--{0} is about a target and there is none; name one with --target URL")]
    NoTarget(&'static str),
    #[error("--audience is judged with the keys of --jwks; name them, or leave it out")]
    Audience,
    #[error(
        "--client-auth says how a secret is sent, and --client-certificate sends none; leave one out"
    )]
    ClientAuth,
    #[error("--insecure checks no certificate and --ca says which count; leave one out")]
    Insecure,
    #[error("the protocol `{protocol}` needs {what}")]
    Missing { protocol: Protocol, what: &'static str },
    #[error("--protocol {given} and {written} before the URL are two; leave one out")]
    Protocols { given: Protocol, written: Protocol },
    #[error(transparent)]
    File(#[from] ReadError),
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    #[error("no PEM block of `{path}` holds {what}", path = path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("--role `{0}` cannot stand in a path; write its letters, digits and +=,.@_- only")]
    Role(String),
    #[error("{0} holds no secret that can be sent: it is empty, or not one line of text")]
    Secret(String),
    #[error("--body and --body-file are two bodies; leave one out")]
    Bodies,
    #[error("--body begins with @ and is no file; name the file with --body-file")]
    BodyFile,
    #[error("--body has more than {} bytes; shorten it", files::REQUEST_BODY_BYTES_MAX)]
    BodyLength,
    #[error("a header of --header cannot be sent")]
    Header(#[from] HeaderError),
    #[error("--client-certificate and --client-key cannot be used")]
    ClientKey(#[from] ClientKeyError),
    #[error("cannot trust the authorities of `{path}`", path = path.display())]
    Authorities { path: PathBuf, source: TlsError },
    #[error(
        "cannot check the certificate of an https URL; name its authority's certificate with --ca"
    )]
    System(#[source] TlsError),
    #[error("cannot set up TLS")]
    Unchecked(#[source] TlsError),
}
