//! Settings of the directory.

use std::sync::Arc;

use crate::base::clock::Seconds;
use crate::service::token::{Algorithm, CertificateIssuer, SelfSigned};
use crate::service::world::Throttle;

/// Settings of the directory.
#[derive(Clone, Debug)]
pub struct DirectoryOptions {
    /// Time until the identity endpoint follows a change; zero for at once.
    pub propagation_delay: Seconds,
    /// Seed of the ids that the directory creates.
    pub seed: [u8; 32],
    /// Settings for signing tokens.
    pub signing: SigningOptions,
    /// Settings for the certificates of service principals.
    pub credentials: CredentialOptions,
    /// Limits of the VMs that have none of their own.
    pub throttle: Throttle,
}

#[cfg(any(test, fuzzing))]
impl DirectoryOptions {
    /// Creates settings for tests: keys sign as soon as they are published.
    pub(crate) fn for_tests(propagation_delay: Seconds) -> Self {
        Self {
            propagation_delay,
            seed: [7; 32],
            signing: SigningOptions {
                algorithm: Algorithm::Es256,
                token_lifetime: Seconds(86_400),
                min_distance: Seconds(0),
            },
            credentials: CredentialOptions::default(),
            throttle: Throttle::Off,
        }
    }
}

/// Settings for signing tokens.
#[derive(Clone, Copy, Debug)]
pub struct SigningOptions {
    /// Signature algorithm.
    pub algorithm: Algorithm,
    /// Longest lifetime of the tokens that are signed from now on.
    pub token_lifetime: Seconds,
    /// Shortest time between a key's publication and its first signature, so that verifiers can read it.
    pub min_distance: Seconds,
}

/// Settings for the certificates of service principals.
#[derive(Clone, Debug)]
pub struct CredentialOptions {
    /// Validity period of a certificate.
    pub lifetime: Seconds,
    /// Age of the newest certificate at which the next one is issued.
    pub roll_after: Seconds,
    /// Issuer of the certificates.
    pub issuer: Arc<dyn CertificateIssuer>,
}

impl Default for CredentialOptions {
    /// Returns the settings of Azure: valid for 90 days, rolled after 45.
    fn default() -> Self {
        let (lifetime, roll_after) = (Seconds(90 * 86_400), Seconds(45 * 86_400));
        Self { lifetime, roll_after, issuer: Arc::new(SelfSigned) }
    }
}
