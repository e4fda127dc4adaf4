//! Reasons why a key is not made, changed or used. No message contains private material.

use hyper::StatusCode;

/// Reason for refusing an operation on a key. Those marked (seen) come from the real service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::service::vault) enum KeyRefusal {
    #[error("The property alg is missing or not supported; use one of {0}.")]
    Algorithm(&'static str),
    #[error("The property value cannot be decrypted with this key and algorithm.")]
    Ciphertext,
    #[error("The property crv must be one of P-256, P-256K, P-384 and P-521.")]
    Curve,
    #[error(
        "Key and signing algorithm are incompatible. Key {id} uses curve '{curve}', and algorithm '{algorithm}' can only be used with curve '{expected}'."
    )] // (seen)
    CurveMismatch {
        id: String,
        curve: &'static str,
        algorithm: &'static str,
        expected: &'static str,
    },
    #[error(
        "Invalid length of 'value': {found} bytes. {algorithm} requires {expected} bytes, encoded with base64url."
    )] // (seen)
    DigestLength { algorithm: &'static str, found: usize, expected: usize },
    #[error("The property {0} is missing or not base64url.")]
    Encoding(&'static str),
    #[error("Operation {operation} is not allowed on an expired key.")]
    Expired { operation: &'static str },
    #[error("The property public_exponent must be 65537.")]
    Exponent,
    /// The key was right when it was made, so the fault is not the caller's.
    #[error("The cryptographic library failed.")]
    Failed,
    #[error("No key of this server can be exported: leave out exportable and release_policy.")]
    Exportable,
    #[error(
        "The parts of the key do not belong together, or it is not an RSA key of 2048, 3072 or 4096 bits or an EC key on a supported curve."
    )]
    Material,
    #[error("Operation {0} is not permitted on this key.")] // (seen)
    NotPermitted(&'static str),
    #[error("Operation {operation} is not allowed on a key that is not yet valid.")]
    NotYetValid { operation: &'static str },
    #[error(
        "The property key_ops may hold encrypt, decrypt, sign, verify, wrapKey and unwrapKey, and for a key of type EC only sign and verify."
    )]
    Operations,
    #[error("The plaintext is longer than {max} bytes, the most that this key encrypts at once.")]
    PlaintextLength { max: usize },
    #[error(
        "A rotation policy has at most one action Rotate and one action Notify, each with one trigger; Notify takes timeBeforeExpiry only."
    )]
    PolicyAction,
    #[error(
        "The periods of a rotation policy are written as in ISO 8601, such as P90D: expiryTime of at least 28 days, triggers of at least 7 days that lie 7 days before the other end of the key's life."
    )]
    PolicyPeriod,
    #[error("An action with timeBeforeExpiry needs an expiryTime.")]
    PolicyWithoutExpiry,
    #[error("The property key_size must be 2048, 3072 or 4096.")]
    Size,
    #[error("The property kty must be RSA or EC; this server has no keys in hardware.")]
    Type,
    #[error(
        "Key and algorithm are incompatible. Key {id} is of type '{kty}', and algorithm '{algorithm}' can only be used with a key of type '{expected}'."
    )]
    TypeMismatch { id: String, kty: &'static str, algorithm: &'static str, expected: &'static str },
}

impl KeyRefusal {
    pub(in crate::service::vault) const fn status(&self) -> StatusCode {
        match self {
            Self::Expired { .. } | Self::NotPermitted(_) | Self::NotYetValid { .. } => {
                StatusCode::FORBIDDEN
            }
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns `code`, and the `code` of the inner error.
    pub(in crate::service::vault) const fn codes(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Self::Expired { .. } => ("Forbidden", Some("KeyExpired")),
            Self::NotPermitted(_) => ("Forbidden", Some("KeyOperationForbidden")),
            Self::NotYetValid { .. } => ("Forbidden", Some("KeyNotYetValid")),
            Self::Failed => ("InternalServerError", None),
            _ => ("BadParameter", None),
        }
    }
}
