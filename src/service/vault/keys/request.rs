//! Parsing and checking of the bodies of requests about keys.

use aws_lc_rs::rsa::KeySize;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::material::{EcParts, KeySpec, Pair, RSA_SIZES, RsaParts, decode};
use super::refusal::KeyRefusal;
use crate::base::secret::{Redacted, SecretText};
use crate::service::vault::error::VaultError;
use crate::service::vault::request::{Attributes, Properties, parse};
use crate::service::world::record::{Curve, KeyOperation, PublicKey, Tags};

/// A requested new key.
#[derive(Debug)]
pub(super) struct NewKey {
    pub(super) spec: KeySpec,
    pub(super) operations: Vec<KeyOperation>,
    pub(super) properties: Properties,
}

/// A key from elsewhere.
#[derive(Debug)]
pub(super) struct ImportedKey {
    pub(super) pair: Pair,
    pub(super) operations: Vec<KeyOperation>,
    pub(super) properties: Properties,
}

/// A requested change of a version of a key.
#[derive(Debug)]
pub(super) struct KeyChange {
    /// Operations as the request names them. Which ones are right depends on the type of the key.
    pub(super) key_ops: Option<Vec<String>>,
    pub(super) properties: Properties,
}

/// A requested use of a key.
#[derive(Debug)]
pub(super) struct KeyUse {
    pub(super) algorithm: Option<String>,
    pub(super) value: Redacted,
    /// The signed digest, for a verification.
    pub(super) digest: Vec<u8>,
}

/// Type of a key as a request names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyType {
    Ec,
    Rsa,
}

#[derive(Deserialize)]
struct CreateBody {
    kty: Option<String>,
    key_size: Option<u64>,
    public_exponent: Option<u64>,
    crv: Option<String>,
    key_ops: Option<Vec<String>>,
    attributes: Option<Attributes>,
    tags: Option<Tags>,
    release_policy: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct ImportBody {
    /// Clients write this name with a capital or without one.
    #[serde(rename = "Hsm", alias = "hsm")]
    is_hsm: Option<bool>,
    key: Option<Jwk>,
    attributes: Option<Attributes>,
    tags: Option<Tags>,
    release_policy: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct UpdateBody {
    key_ops: Option<Vec<String>>,
    attributes: Option<Attributes>,
    tags: Option<Tags>,
    release_policy: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct UseBody {
    alg: Option<String>,
    value: Option<SecretText>,
    digest: Option<String>,
}

/// A private JWK (RFC 7518 section 6).
#[derive(Deserialize)]
struct Jwk {
    kty: Option<String>,
    crv: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<SecretText>,
    e: Option<SecretText>,
    d: Option<SecretText>,
    p: Option<SecretText>,
    q: Option<SecretText>,
    dp: Option<SecretText>,
    dq: Option<SecretText>,
    qi: Option<SecretText>,
    x: Option<SecretText>,
    y: Option<SecretText>,
}

impl NewKey {
    /// Parses the body of a creation.
    pub(super) fn parse(json: &[u8]) -> Result<Self, VaultError> {
        let body: CreateBody = parse(json)?;
        let key_type = KeyType::of(body.kty.as_deref())?;
        let spec = match key_type {
            KeyType::Ec => KeySpec::Ec(curve_of(body.crv.as_deref().unwrap_or("P-256"))?),
            KeyType::Rsa => KeySpec::Rsa(size_of(body.key_size)?),
        };
        if body.public_exponent.is_some_and(|exponent| exponent != 65_537) {
            return Err(KeyRefusal::Exponent.into());
        }
        let operations = operations_of(key_type, body.key_ops)?;
        let properties = properties(body.tags, body.attributes, body.release_policy)?;
        Ok(Self { spec, operations, properties })
    }
}

impl ImportedKey {
    /// Parses the body of an import, and checks the key.
    pub(super) fn parse(json: &[u8]) -> Result<Self, VaultError> {
        let body: ImportBody = parse(json)?;
        if body.is_hsm == Some(true) {
            return Err(KeyRefusal::Type.into());
        }
        let mut jwk = body.key.ok_or(KeyRefusal::Encoding("key"))?;
        let key_type = KeyType::of(jwk.kty.as_deref())?;
        let operations = operations_of(key_type, jwk.key_ops.take())?;
        let properties = properties(body.tags, body.attributes, body.release_policy)?;
        let pair = match key_type {
            KeyType::Ec => Pair::import_ec(&jwk.ec_parts()?)?,
            KeyType::Rsa => Pair::import_rsa(&jwk.rsa_parts()?)?,
        };
        Ok(Self { pair, operations, properties })
    }
}

impl KeyChange {
    /// Parses the body of a PATCH.
    pub(super) fn parse(json: &[u8]) -> Result<Self, VaultError> {
        let body: UpdateBody = parse(json)?;
        let properties = properties(body.tags, body.attributes, body.release_policy)?;
        Ok(Self { key_ops: body.key_ops, properties })
    }

    /// Returns the new operations for a key, if they change.
    pub(super) fn operations(
        key_ops: Option<Vec<String>>,
        public: &PublicKey,
    ) -> Result<Option<Vec<KeyOperation>>, KeyRefusal> {
        let key_type = match public {
            PublicKey::Ec { .. } => KeyType::Ec,
            PublicKey::Rsa { .. } => KeyType::Rsa,
        };
        key_ops.map(|key_ops| operations_of(key_type, Some(key_ops))).transpose()
    }
}

impl KeyUse {
    /// Parses the body of a use.
    pub(super) fn parse(json: &[u8]) -> Result<Self, VaultError> {
        let body: UseBody = parse(json)?;
        let value = number(body.value, "value")?;
        let digest = match body.digest {
            Some(text) => decode(text.as_bytes()).ok_or(KeyRefusal::Encoding("digest"))?,
            None => Vec::new(),
        };
        Ok(Self { algorithm: body.alg, value, digest })
    }
}

impl Jwk {
    fn rsa_parts(self) -> Result<RsaParts, KeyRefusal> {
        Ok(RsaParts {
            modulus: number(self.n, "n")?,
            exponent: number(self.e, "e")?,
            private_exponent: number(self.d, "d")?,
            primes: [number(self.p, "p")?, number(self.q, "q")?],
            prime_exponents: [number(self.dp, "dp")?, number(self.dq, "dq")?],
            coefficient: number(self.qi, "qi")?,
        })
    }

    fn ec_parts(self) -> Result<EcParts, KeyRefusal> {
        Ok(EcParts {
            curve: curve_of(self.crv.as_deref().unwrap_or_default())?,
            point: [number(self.x, "x")?, number(self.y, "y")?],
            private_key: number(self.d, "d")?,
        })
    }
}

impl KeyType {
    fn of(kty: Option<&str>) -> Result<Self, KeyRefusal> {
        match kty {
            Some("EC") => Ok(Self::Ec),
            Some("RSA") => Ok(Self::Rsa),
            _ => Err(KeyRefusal::Type),
        }
    }

    /// Returns the operations that a key of this type can do, which are its operations if none are named.
    fn operations(self) -> &'static [KeyOperation] {
        match self {
            Self::Ec => &[KeyOperation::Sign, KeyOperation::Verify],
            Self::Rsa => &KeyOperation::ALL,
        }
    }
}

fn curve_of(name: &str) -> Result<Curve, KeyRefusal> {
    Curve::ALL.into_iter().find(|curve| curve.name() == name).ok_or(KeyRefusal::Curve)
}

fn size_of(bits: Option<u64>) -> Result<KeySize, KeyRefusal> {
    let bits = bits.unwrap_or(2048);
    let found = RSA_SIZES.iter().find(|(known, _)| u64::try_from(*known) == Ok(bits));
    found.map(|(_, size)| *size).ok_or(KeyRefusal::Size)
}

fn operations_of(
    key_type: KeyType,
    names: Option<Vec<String>>,
) -> Result<Vec<KeyOperation>, KeyRefusal> {
    let possible = key_type.operations();
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok(possible.to_vec()) };
    let mut operations: Vec<KeyOperation> = Vec::new();
    for name in names {
        let found = possible.iter().find(|operation| operation.name() == name);
        let operation = *found.ok_or(KeyRefusal::Operations)?;
        if !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    Ok(operations)
}

/// Checks the properties of a body.
fn properties(
    tags: Option<Tags>,
    attributes: Option<Attributes>,
    release_policy: Option<IgnoredAny>,
) -> Result<Properties, VaultError> {
    let exportable = attributes.as_ref().and_then(|attributes| attributes.exportable);
    if exportable == Some(true) || release_policy.is_some() {
        return Err(KeyRefusal::Exportable.into());
    }
    Ok(Properties::new(tags, attributes)?)
}

/// Decodes a base64url property. `name` names it in the refusal.
fn number(text: Option<SecretText>, name: &'static str) -> Result<Redacted, KeyRefusal> {
    let text = text.ok_or(KeyRefusal::Encoding(name))?;
    decode(text.0.expose()).map(Redacted::new).ok_or(KeyRefusal::Encoding(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn spec(json: &str) -> Result<(KeySpec, Vec<KeyOperation>), String> {
        let new = NewKey::parse(json.as_bytes()).map_err(|error| error.to_string())?;
        Ok((new.spec, new.operations))
    }

    #[test]
    fn a_key_has_the_type_that_is_asked_for_and_may_do_all_that_its_type_can() {
        let all = KeyOperation::ALL.to_vec();
        let signs = vec![KeyOperation::Sign, KeyOperation::Verify];
        for (json, expected) in [
            (r#"{"kty":"RSA"}"#, (KeySpec::Rsa(KeySize::Rsa2048), all.clone())),
            (
                r#"{"kty":"RSA","key_size":4096,"key_ops":[]}"#,
                (KeySpec::Rsa(KeySize::Rsa4096), all),
            ),
            (r#"{"kty":"EC"}"#, (KeySpec::Ec(Curve::P256), signs.clone())),
            (r#"{"kty":"EC","crv":"P-521"}"#, (KeySpec::Ec(Curve::P521), signs)),
            (
                r#"{"kty":"RSA","public_exponent":65537,"key_ops":["wrapKey","sign","sign"]}"#,
                (KeySpec::Rsa(KeySize::Rsa2048), vec![KeyOperation::WrapKey, KeyOperation::Sign]),
            ),
        ] {
            assert_eq!(spec(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn keys_that_a_vault_does_not_make_are_refused() {
        let refusal = |json: &str| match NewKey::parse(json.as_bytes()) {
            Err(VaultError::Key(refusal)) => refusal,
            other => panic!("{json}: {other:?}"),
        };
        for (json, expected) in [
            ("{}", KeyRefusal::Type),
            (r#"{"kty":"RSA-HSM"}"#, KeyRefusal::Type),
            (r#"{"kty":"oct"}"#, KeyRefusal::Type),
            (r#"{"kty":"RSA","key_size":1024}"#, KeyRefusal::Size),
            (r#"{"kty":"RSA","key_size":2049}"#, KeyRefusal::Size),
            (r#"{"kty":"RSA","public_exponent":3}"#, KeyRefusal::Exponent),
            (r#"{"kty":"EC","crv":"P-255"}"#, KeyRefusal::Curve),
            (r#"{"kty":"EC","key_ops":["encrypt"]}"#, KeyRefusal::Operations),
            (r#"{"kty":"RSA","key_ops":["export"]}"#, KeyRefusal::Operations),
            (r#"{"kty":"RSA","attributes":{"exportable":true}}"#, KeyRefusal::Exportable),
            (r#"{"kty":"RSA","release_policy":{"data":"x"}}"#, KeyRefusal::Exportable),
        ] {
            assert_eq!(refusal(json), expected, "{json}");
        }
        for json in ["", "[]", r#"{"kty":1}"#] {
            let refused = NewKey::parse(json.as_bytes());
            assert!(matches!(refused, Err(VaultError::BodyRefused(_))), "{json}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_readers_panic(bytes: Vec<u8>, shaped in "[{}\\[\\]\",:a-zA-Z0-9_]{0,40}") {
            for json in [&bytes[..], shaped.as_bytes()] {
                let _ = (NewKey::parse(json), ImportedKey::parse(json));
                let _ = (KeyChange::parse(json), KeyUse::parse(json));
            }
        }
    }
}
