//! Access tokens: claims, signing keys, the published key set, and the response body that carries a token.
//! Also the assertions with which clients ask for tokens, and the tokens of other issuers.
//!
//! This module knows nothing of HTTP, caches or permissions. Keys are parsed once, when they are made;
//! [`TokenSource::mint`] only builds the claims, signs and renders.

mod algorithm;
mod assertion;
mod body;
mod claims;
mod client_key;
mod flaw;
mod foreign;
mod issuer;
mod jwks;
mod keys;
mod ring;
mod signer;
mod verify;

pub use crate::base::assertion::{AssertionForm, CertificateKey, ClientAssertion, ClientKeyError};
pub use algorithm::{Algorithm, KeyError};
pub(crate) use assertion::unverified_claims;
pub use assertion::{AssertionClaims, AssertionError, PresentedAssertion, verify_assertion};
pub use body::Token;
pub use claims::{ClientProof, Subject};
pub use client_key::{
    CertificateIssuer, CertificateRequest, SelfSigned, certify_client, generate_client_key,
};
pub use flaw::{Flaw, TokenBreaker};
pub(crate) use foreign::{ForeignError, ForeignKeys, ForeignToken};
pub use issuer::{Entropy, Issuer, MintError, TokenSource};
pub use jwks::{Jwk, JwkSet};
pub use keys::{KeyMaterial, SigningKey};
pub use ring::{KeyRing, Keys};
pub use signer::Signer;
pub use verify::{Bearer, BearerError, Verifier};

#[cfg(test)]
pub(crate) use assertion::tests::{PRIVATE_KEY, certificate_key};
#[cfg(test)]
mod tests;
