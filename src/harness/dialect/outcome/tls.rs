//! Faults of a TLS connection, by their names.

use std::fmt;
use std::io::{self, ErrorKind};

use crate::base::tls::Fault;

/// Fault of a TLS connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsFault {
    /// The target sent this alert (RFC 8446 section 6).
    Alert(u8),
    /// The target closed the connection during the handshake.
    Closed,
    /// The certificate does not count, or the target does not speak TLS.
    Known(Fault),
    /// The target broke the protocol.
    Protocol,
    /// The target reset the connection during the handshake.
    Reset,
}

impl TlsFault {
    /// Returns the fault that the TLS library found, if `error` is one of its errors.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        let raised = error.get_ref()?.downcast_ref::<rustls::Error>()?;
        Some(match (raised, Fault::of(error)) {
            (rustls::Error::AlertReceived(alert), _) => Self::Alert(u8::from(*alert)),
            (_, Some(fault)) => Self::Known(fault),
            (_, None) => Self::Protocol,
        })
    }

    /// Returns the fault behind an error of a handshake, if the target caused it.
    pub(super) fn of_handshake(error: &io::Error) -> Option<Self> {
        Self::of(error).or_else(|| match error.kind() {
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Some(Self::Reset),
            ErrorKind::InvalidData => Some(Self::Protocol),
            ErrorKind::UnexpectedEof => Some(Self::Closed),
            _ => None,
        })
    }
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alert(code) => match alert(*code) {
                Some(name) => return write!(f, "TLS alert: {name}"),
                None => return write!(f, "TLS alert: number {code}"),
            },
            Self::Closed => "TLS handshake: closed",
            Self::Known(fault) => of_known(*fault),
            Self::Protocol => "TLS: protocol violated",
            Self::Reset => "TLS handshake: reset",
        })
    }
}

const fn of_known(fault: Fault) -> &'static str {
    match fault {
        Fault::Authority | Fault::Issuer => "TLS certificate: not trusted",
        Fault::Certificate => "TLS certificate: not valid",
        Fault::Expired => "TLS certificate: expired",
        Fault::Name => "TLS certificate: for another name",
        Fault::NotTls => "TLS handshake: the answer is not TLS",
        Fault::NotYetValid => "TLS certificate: not valid yet",
        Fault::Refused => "TLS handshake: refused",
    }
}

/// Returns the name of an alert, as the registry of TLS writes it.
fn alert(code: u8) -> Option<&'static str> {
    ALERTS.iter().find(|(known, _)| *known == code).map(|(_, name)| *name)
}

/// Alerts that servers send: RFC 8446 section 6, RFC 5246 section 7.2 and RFC 9849.
const ALERTS: [(u8, &str); 27] = [
    (0, "close_notify"),
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (22, "record_overflow"),
    (40, "handshake_failure"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (90, "user_canceled"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError, Error};

    #[test]
    fn faults_of_tls_have_the_names_of_the_standard() {
        let shown = |error: Error| {
            let error = io::Error::new(ErrorKind::InvalidData, error);
            TlsFault::of(&error).unwrap().to_string()
        };
        for (error, expected) in [
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "TLS alert: handshake_failure",
            ),
            (Error::AlertReceived(AlertDescription::UnknownCA), "TLS alert: unknown_ca"),
            (Error::AlertReceived(AlertDescription::from(77)), "TLS alert: number 77"),
            (Error::InvalidCertificate(CertificateError::Expired), "TLS certificate: expired"),
            (Error::DecryptError, "TLS: protocol violated"),
        ] {
            assert_eq!(shown(error), expected);
        }
        assert!(ALERTS.is_sorted());
        assert_eq!(TlsFault::of(&io::Error::other("?")), None);
    }
}
