//! Key pairs: generated here, or imported. Private parts are kept as PKCS #8 (RFC 5958).

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPairComponents, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P256K1_SHA256_FIXED_SIGNING,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair as _, RsaKeyPair,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::refusal::KeyRefusal;
use crate::base::secret::Redacted;
use crate::service::world::record::{Curve, PublicKey};

/// Type and size of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeySpec {
    Ec(Curve),
    Rsa(KeySize),
}

/// A key pair, ready to be stored.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) public: PublicKey,
    pub(super) private_key: Redacted,
}

/// The numbers of a private RSA key, big-endian (RFC 7518 section 6.3).
#[derive(Debug)]
pub(super) struct RsaParts {
    pub(super) modulus: Redacted,
    pub(super) exponent: Redacted,
    pub(super) private_exponent: Redacted,
    pub(super) primes: [Redacted; 2],
    pub(super) prime_exponents: [Redacted; 2],
    pub(super) coefficient: Redacted,
}

/// The numbers of a private EC key, big-endian (RFC 7518 section 6.2).
#[derive(Debug)]
pub(super) struct EcParts {
    pub(super) curve: Curve,
    pub(super) point: [Redacted; 2],
    pub(super) private_key: Redacted,
}

/// Every size of an RSA key in a vault, with its bits.
pub(super) const RSA_SIZES: [(usize, KeySize); 3] =
    [(2048, KeySize::Rsa2048), (3072, KeySize::Rsa3072), (4096, KeySize::Rsa4096)];

impl KeySpec {
    /// Returns the type and size of a key. Returns `None` for a key that cannot be in a vault.
    pub(super) fn of(public: &PublicKey) -> Option<Self> {
        match public {
            PublicKey::Ec { crv, .. } => Some(Self::Ec(*crv)),
            PublicKey::Rsa { n, .. } => rsa_size(&decode(n.as_bytes())?).map(Self::Rsa),
        }
    }
}

/// Returns the size of a modulus, if a key in a vault may have it.
fn rsa_size(modulus: &[u8]) -> Option<KeySize> {
    let zeros = modulus.first()?.leading_zeros() as usize;
    let bits = modulus.len() * 8 - zeros;
    RSA_SIZES.iter().find(|(size, _)| *size == bits).map(|(_, size)| *size)
}

impl Pair {
    /// Generates a key pair. An RSA key takes from 100 ms to some seconds. Fails only when the
    /// library does.
    pub(super) fn generate(spec: KeySpec) -> Result<Self, KeyRefusal> {
        let pair = match spec {
            KeySpec::Ec(curve) => {
                EcdsaKeyPair::generate(ecdsa(curve)).ok().and_then(|pair| Self::of_ec(curve, &pair))
            }
            KeySpec::Rsa(size) => {
                RsaKeyPair::generate(size).ok().and_then(|pair| Self::of_rsa(&pair))
            }
        };
        pair.ok_or(KeyRefusal::Failed)
    }

    /// Imports an RSA key. The library checks that its parts belong together.
    pub(super) fn import_rsa(parts: &RsaParts) -> Result<Self, KeyRefusal> {
        let RsaParts { primes: [p, q], prime_exponents: [dp, dq], .. } = parts;
        let n = without_zeros(parts.modulus.expose());
        rsa_size(n).ok_or(KeyRefusal::Material)?;
        let components = KeyPairComponents {
            public_key: PublicKeyComponents { n, e: without_zeros(parts.exponent.expose()) },
            d: parts.private_exponent.expose(),
            p: p.expose(),
            q: q.expose(),
            dP: dp.expose(),
            dQ: dq.expose(),
            qInv: parts.coefficient.expose(),
        };
        let pair = RsaKeyPair::from_components(&components).map_err(|_| KeyRefusal::Material)?;
        Self::of_rsa(&pair).ok_or(KeyRefusal::Material)
    }

    /// Imports an EC key. The library checks that its parts belong together.
    pub(super) fn import_ec(parts: &EcParts) -> Result<Self, KeyRefusal> {
        let (curve, [x, y]) = (parts.curve, &parts.point);
        let padded = |number: &Redacted| padded(curve, number.expose());
        let (d, x, y) = (padded(&parts.private_key)?, padded(x)?, padded(y)?);
        let point = [&[UNCOMPRESSED][..], x.expose(), y.expose()].concat();
        let pair = EcdsaKeyPair::from_private_key_and_public_key(ecdsa(curve), d.expose(), &point);
        let pair = pair.map_err(|_| KeyRefusal::Material)?;
        Self::of_ec(curve, &pair).ok_or(KeyRefusal::Material)
    }

    fn of_rsa(pair: &RsaKeyPair) -> Option<Self> {
        let key = pair.public_key();
        let n = encode(key.modulus().big_endian_without_leading_zero());
        let e = encode(key.exponent().big_endian_without_leading_zero());
        let private_key = AsDer::<Pkcs8V1Der<'_>>::as_der(pair).ok()?.as_ref().to_vec();
        Some(Self { public: PublicKey::Rsa { n, e }, private_key: Redacted::new(private_key) })
    }

    fn of_ec(crv: Curve, pair: &EcdsaKeyPair) -> Option<Self> {
        // The byte 4, then x, then y (SEC 1 section 2.3.3).
        let point = pair.public_key().as_ref().strip_prefix(&[UNCOMPRESSED])?;
        let (x, y) = point.split_at_checked(field_bytes(crv))?;
        let public = PublicKey::Ec { crv, x: encode(x), y: encode(y) };
        let private_key = pair.to_pkcs8v1().ok()?.as_ref().to_vec();
        Some(Self { public, private_key: Redacted::new(private_key) })
    }
}

/// First byte of an uncompressed point (SEC 1 section 2.3.3).
pub(super) const UNCOMPRESSED: u8 = 4;

/// Returns the algorithm that signs with a key on a curve.
pub(super) fn ecdsa(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P256K => &ECDSA_P256K1_SHA256_FIXED_SIGNING,
        Curve::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}

/// Returns the length of a number of the curve's field, in bytes.
const fn field_bytes(curve: Curve) -> usize {
    match curve {
        Curve::P256 | Curve::P256K => 32,
        Curve::P384 => 48,
        Curve::P521 => 66,
    }
}

/// Returns a number with zeros in front, as long as the curve's field.
fn padded(curve: Curve, number: &[u8]) -> Result<Redacted, KeyRefusal> {
    let number = without_zeros(number);
    let zeros = field_bytes(curve).checked_sub(number.len()).ok_or(KeyRefusal::Material)?;
    Ok(Redacted::new([vec![0; zeros].as_slice(), number].concat()))
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let start = number.iter().position(|byte| *byte != 0).unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}

/// Encodes bytes as base64url.
pub(super) fn encode(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url. Clients may pad it.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let end = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    BASE64_URL_SAFE_NO_PAD.decode(text.get(..end)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_is_of_the_type_that_was_asked_for() {
        let specs = Curve::ALL.map(KeySpec::Ec).into_iter();
        for spec in specs.chain([KeySpec::Rsa(KeySize::Rsa2048)]) {
            let pair = Pair::generate(spec).unwrap();
            assert_eq!(KeySpec::of(&pair.public), Some(spec));
            assert!(format!("{pair:?}").contains("private_key: Redacted(..)"));
        }
    }

    #[test]
    fn numbers_may_have_zeros_in_front_but_not_be_too_long() {
        assert_eq!(padded(Curve::P256, &[0, 0, 1]).unwrap().expose().len(), 32);
        assert_eq!(padded(Curve::P521, &[1; 66]).unwrap().expose(), [1; 66]);
        assert_eq!(padded(Curve::P384, &[1; 49]), Err(KeyRefusal::Material));
        assert_eq!(rsa_size(&[0x80; 256]), Some(KeySize::Rsa2048));
        for modulus in [&[0x80; 255][..], &[0x40; 256], &[0x80; 257], &[]] {
            assert_eq!(rsa_size(modulus), None);
        }
    }

    #[test]
    fn base64url_may_be_padded() {
        assert_eq!((decode(b"AQ"), decode(b"AQ==")), (Some(vec![1]), Some(vec![1])));
        assert_eq!((decode(b""), decode(b"+/"), decode(b"A=Q")), (Some(Vec::new()), None, None));
    }
}
