//! Access tokens: claims, signing keys, the published key set, and the response body that carries
//! a token.
//!
//! Knows nothing of HTTP, caches or who may have which token. Keys are parsed once, when they are
//! made; [`TokenSource::mint`] only builds the claims, signs and renders.

mod body;
mod claims;
mod issuer;
mod jwks;
mod keys;
mod ring;
mod signer;
mod verify;

pub use body::Token;
pub use claims::Subject;
pub use issuer::{Entropy, Issuer, MintError, TokenSource};
pub use jwks::{Jwk, JwkSet};
pub use keys::{Algorithm, KeyError, KeyMaterial, SigningKey};
pub use ring::{KeyRing, Keys};
pub use signer::{Backend, Signer};
pub use verify::{Bearer, BearerError, Verifier};

#[cfg(test)]
mod tests;
