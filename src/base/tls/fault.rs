//! Reasons for a failed TLS handshake, and their remedies.

use std::io;

use rustls::CertificateError;

/// Reason why a client cannot set up TLS with a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The certificate belongs to an authority that is not named as trusted.
    Authority,
    /// The certificate has expired.
    Expired,
    /// No trusted authority has issued the certificate.
    Issuer,
    /// The certificate is for another name.
    Name,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The server does not speak TLS.
    NotTls,
    /// The server aborts the handshake with an alert.
    Refused,
    /// The certificate has another fault.
    Certificate,
}

impl Fault {
    /// Returns the fault of `error`, if the TLS library raised it.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(reason) => Some(Self::of_certificate(reason)),
            rustls::Error::InvalidMessage(_) => Some(Self::NotTls),
            rustls::Error::AlertReceived(_) => Some(Self::Refused),
            _ => None,
        }
    }

    fn of_certificate(reason: &CertificateError) -> Self {
        match reason {
            CertificateError::UnknownIssuer => Self::Issuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::Name
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            reason if is_authority(reason) => Self::Authority,
            _ => Self::Certificate,
        }
    }

    /// Returns true if the server's certificate is at fault.
    pub const fn is_of_certificate(self) -> bool {
        !matches!(self, Self::NotTls | Self::Refused)
    }

    /// Returns the remedy. `ca` is the flag that names an authority's certificate.
    pub fn remedy(self, ca: &str) -> String {
        match self {
            Self::Authority => format!(
                "it is an authority's certificate (CA:TRUE): name it with {ca}, or make one with basicConstraints=critical,CA:FALSE"
            ),
            Self::Expired => "it has expired: renew it, or set this machine's clock".to_owned(),
            Self::Issuer => format!(
                "no trusted authority has issued it: name its authority's certificate with {ca}"
            ),
            Self::Name => {
                "it is for another name: write the name in the URL that the certificate is for"
                    .to_owned()
            }
            Self::NotYetValid => {
                "it is not valid yet: set the clocks of this machine and of its issuer".to_owned()
            }
            Self::NotTls => "the server does not speak TLS there: write http://".to_owned(),
            Self::Refused => {
                "the server ends the handshake: let it accept TLS 1.2 or 1.3 without a client certificate"
                    .to_owned()
            }
            Self::Certificate => "replace the server's certificate".to_owned(),
        }
    }
}

/// Returns true if a certificate is refused because it belongs to an authority and a server shows it as its
/// own. The library exposes this reason only as text.
pub(super) fn is_authority(reason: &CertificateError) -> bool {
    matches!(reason, CertificateError::Other(other) if other.to_string() == "CaUsedAsEndEntity")
}
