//! Tokens of other issuers (RFC 7519), and the key sets that verify them (RFC 7517).
//!
//! Nothing in a token says which key is right except its `kid`: keys in it (`jwk`, `jku`, `x5c`, `x5u`) are
//! ignored. The algorithm must fit the key (RFC 8725 section 3.1), and only public keys verify.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::Value;

use super::assertion::{AssertionClaims, Parts};
use super::keys::SigningKey;
use super::ring::Keys;

/// Reasons why a token of another issuer proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ForeignError {
    /// It is no JWT with the required claims, is too long, or has no signature by a public key.
    #[error("the token is not a well-formed JWT with a signature by a public key")]
    Malformed,
    /// The signature does not match.
    #[error("the signature of the token is wrong")]
    Signature,
    /// The issuer has no key that the token names.
    #[error("the token is not signed with a key of its issuer")]
    UnknownKey,
}

/// Fields of a header that matter.
#[derive(Deserialize)]
struct Header {
    alg: Algorithm,
    kid: Option<String>,
    crit: Option<Value>,
}

/// A token that was parsed but not verified.
#[derive(Debug)]
pub(crate) struct ForeignToken<'a> {
    /// Header and claims as sent: the text that the signature covers.
    message: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    kid: Option<String>,
    claims: AssertionClaims,
}

impl<'a> ForeignToken<'a> {
    /// Parses a token in compact serialization.
    ///
    /// # Errors
    /// Returns `Malformed` when it is no token that a public key can verify.
    pub(crate) fn parse(jwt: &'a str) -> Result<Self, ForeignError> {
        Self::read(jwt).ok_or(ForeignError::Malformed)
    }

    fn read(jwt: &'a str) -> Option<Self> {
        let Parts { message, header, claims, signature } = Parts::of(jwt)?;
        let header: Header = serde_json::from_slice(&decoded(header)?).ok()?;
        if header.alg.family() == AlgorithmFamily::Hmac || header.crit.is_some() {
            return None;
        }
        let claims = serde_json::from_slice(&decoded(claims)?).ok()?;
        Some(Self { message, signature, algorithm: header.alg, kid: header.kid, claims })
    }

    /// Returns the claims without verification: anybody could have written them.
    pub(crate) const fn unverified(&self) -> &AssertionClaims {
        &self.claims
    }

    /// Returns the name of the key that signed the token, if the token has one.
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Returns the claims if one of `keys` signed the token. The caller checks issuer, audience and time.
    ///
    /// # Errors
    /// Returns `UnknownKey` when no key fits, and `Signature` when none of the fitting keys signed the token.
    pub(crate) fn verify(&self, keys: &ForeignKeys) -> Result<&AssertionClaims, ForeignError> {
        let mut fitting = keys.0.iter().filter(|key| key.fits(self)).peekable();
        if fitting.peek().is_none() {
            return Err(ForeignError::UnknownKey);
        }
        let message = self.message.as_bytes();
        let signed = |key: &ForeignKey| {
            matches!(crypto::verify(self.signature, message, &key.key, self.algorithm), Ok(true))
        };
        if fitting.any(signed) { Ok(&self.claims) } else { Err(ForeignError::Signature) }
    }
}

/// Public keys of an issuer.
#[derive(Clone, Debug, Default)]
pub(crate) struct ForeignKeys(Vec<ForeignKey>);

#[derive(Clone, Debug)]
struct ForeignKey {
    kid: Option<String>,
    /// The only algorithm of the key, if it names one.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl ForeignKeys {
    /// Greatest number of keys in a set. It bounds the work for a token without `kid`.
    const KEYS_MAX: usize = 64;

    /// Parses a JWK set. Keys that verify no signatures, and those of unknown kinds, are left out (RFC 7517
    /// section 5). The text may begin with a byte order mark. Returns `None` if no key remains.
    pub(crate) fn parse(json: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let json = json.strip_prefix("\u{feff}".as_bytes()).unwrap_or(json);
        let Set { keys } = serde_json::from_slice(json).ok()?;
        let keys: Vec<_> =
            keys.into_iter().filter_map(ForeignKey::read).take(Self::KEYS_MAX).collect();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Returns the published keys of an issuer of this directory.
    pub(crate) fn of(keys: &Keys) -> Self {
        let published = keys.published().map(SigningKey::jwk);
        let values = published.filter_map(|jwk| serde_json::to_value(jwk).ok());
        Self(values.filter_map(ForeignKey::read).collect())
    }

    /// Returns true if the set has the key that a token names. A token that names none may be of any key.
    pub(crate) fn has(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.0.iter().any(|key| key.kid.as_deref() == Some(kid)))
    }
}

impl ForeignKey {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_for_signatures = jwk
            .common
            .public_key_use
            .as_ref()
            .is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| is_for_signatures)?;
        if key.family() == AlgorithmFamily::Hmac {
            return None;
        }
        let named = jwk.common.key_algorithm.map(|named| Algorithm::try_from(named).ok());
        let algorithm = match named {
            // An algorithm that the library does not know, or one of encryption.
            Some(None) => return None,
            Some(Some(known)) => Some(known),
            None => None,
        };
        Some(Self { kid: jwk.common.key_id, algorithm, key })
    }

    /// Returns true if the key may have signed the token, by the token's header.
    fn fits(&self, token: &ForeignToken<'_>) -> bool {
        let is_named = token.kid.is_none() || token.kid == self.kid;
        let is_of_kind = self.key.family() == token.algorithm.family();
        is_named && is_of_kind && self.algorithm.is_none_or(|own| own == token.algorithm)
    }
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    BASE64_URL_SAFE_NO_PAD.decode(part).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::clock::{Seconds, UnixSeconds};
    use crate::service::token::Algorithm as OwnAlgorithm;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);

    fn key(algorithm: OwnAlgorithm) -> SigningKey {
        SigningKey::generate(algorithm, NOW).unwrap()
    }

    /// Returns a token with this header and these claims, signed with `key`.
    fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = key.signer().sign(message.as_bytes()).unwrap();
        format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }

    fn claims() -> Value {
        json!({ "iss": "https://issuer", "sub": "pod", "aud": ["a", "b"], "iat": 1.5, "exp": 2 })
    }

    fn set(keys: &[Value]) -> ForeignKeys {
        ForeignKeys::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
    }

    fn jwk(key: &SigningKey, changed: &Value) -> Value {
        let mut jwk = json!(key.jwk());
        let fields = changed.as_object().unwrap();
        for (name, value) in fields {
            match value {
                Value::Null => jwk.as_object_mut().unwrap().remove(name),
                value => jwk.as_object_mut().unwrap().insert(name.clone(), value.clone()),
            };
        }
        jwk
    }

    #[test]
    fn tokens_of_every_algorithm_are_verified_by_the_set_of_their_issuer() {
        for algorithm in [OwnAlgorithm::EdDsa, OwnAlgorithm::Es256, OwnAlgorithm::Rs256] {
            let (own, other) = (key(algorithm), key(algorithm));
            let kid = &own.jwk().kid;
            let jwt = signed(&own, &json!({ "alg": algorithm.name(), "kid": kid }), &claims());
            let token = ForeignToken::parse(&jwt).unwrap();
            let keys = set(&[json!(other.jwk()), json!(own.jwk())]);
            let found = token.verify(&keys).unwrap();
            assert_eq!((found.issuer.as_str(), found.subject.as_str()), ("https://issuer", "pod"));
            assert_eq!(found.audiences(), ["a", "b"]);
            assert_eq!(found.issued_at(), Some(UnixSeconds(1)));
            assert!(found.is_in_time(UnixSeconds(1), Seconds(0)));
            let others = set(&[json!(other.jwk())]);
            assert_eq!(token.verify(&others), Err(ForeignError::UnknownKey), "{algorithm}");
            // Another key under the same name.
            let namesake = set(&[jwk(&other, &json!({ "kid": kid }))]);
            assert_eq!(token.verify(&namesake), Err(ForeignError::Signature), "{algorithm}");
        }
    }

    #[test]
    fn a_token_without_kid_is_tried_with_every_key_of_its_kind() {
        let (first, second) = (key(OwnAlgorithm::Es256), key(OwnAlgorithm::Es256));
        let jwt = signed(&second, &json!({ "alg": "ES256" }), &claims());
        let token = ForeignToken::parse(&jwt).unwrap();
        assert_eq!(token.kid(), None);
        let both = set(&[json!(first.jwk()), jwk(&second, &json!({ "kid": null, "alg": null }))]);
        assert!(token.verify(&both).is_ok() && both.has(None));
        let first = set(&[json!(first.jwk())]);
        assert_eq!(token.verify(&first), Err(ForeignError::Signature));
    }

    #[test]
    fn keys_for_other_purposes_and_of_other_kinds_verify_nothing() {
        let own = key(OwnAlgorithm::Rs256);
        let jwt = signed(&own, &json!({ "alg": "RS256", "kid": own.jwk().kid }), &claims());
        let token = ForeignToken::parse(&jwt).unwrap();
        let elliptic = jwk(&key(OwnAlgorithm::Es256), &json!({ "kid": own.jwk().kid }));
        for other in [
            jwk(&own, &json!({ "use": "enc" })),
            jwk(&own, &json!({ "alg": "RS512" })),
            jwk(&own, &json!({ "kid": "x" })),
            jwk(&own, &json!({ "kid": null })),
            elliptic,
        ] {
            let keys = ForeignKeys::parse(json!({ "keys": [other] }).to_string().as_bytes());
            let verified = token.verify(&keys.unwrap_or_default()).map(drop);
            assert_eq!(verified, Err(ForeignError::UnknownKey), "{other}");
        }
        // The usual sets have keys that this library does not know among the others.
        let odd = [
            json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "a" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
            json!({ "kty": "future" }),
            json!(1),
            jwk(&own, &json!({ "use": null, "alg": null, "x5c": null })),
        ];
        assert!(token.verify(&set(&odd)).is_ok());
    }

    #[test]
    fn shared_secrets_none_and_critical_headers_are_malformed() {
        let own = key(OwnAlgorithm::Rs256);
        for header in [
            json!({ "alg": "none" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": "RS256", "crit": ["b64"] }),
            json!({ "kid": "a" }),
        ] {
            let jwt = signed(&own, &header, &claims());
            assert_eq!(
                ForeignToken::parse(&jwt).map(drop),
                Err(ForeignError::Malformed),
                "{header}"
            );
        }
        let header = json!({ "alg": "RS256" });
        for claims in [json!({}), json!({ "iss": "a", "sub": "b", "aud": "c" }), json!([])] {
            let jwt = signed(&own, &header, &claims);
            assert!(ForeignToken::parse(&jwt).is_err(), "{claims}");
        }
        for jwt in ["", "a.b", "a.b.c", &"a".repeat(20_000)] {
            assert!(ForeignToken::parse(jwt).is_err());
        }
    }

    #[test]
    fn a_changed_token_is_refused() {
        let own = key(OwnAlgorithm::Es256);
        let jwt = signed(&own, &json!({ "alg": "ES256", "kid": own.jwk().kid }), &claims());
        let [header, _, signature] = jwt.split('.').collect::<Vec<_>>()[..] else { panic!() };
        let mut changed = claims();
        changed["sub"] = json!("another");
        let changed = BASE64_URL_SAFE_NO_PAD.encode(changed.to_string());
        let keys = set(&[json!(own.jwk())]);
        for jwt in [format!("{header}.{changed}.{signature}"), format!("{header}.{changed}.")] {
            let token = ForeignToken::parse(&jwt).unwrap();
            assert_eq!(token.verify(&keys), Err(ForeignError::Signature));
        }
    }

    #[test]
    fn what_is_no_key_set_has_no_keys() {
        for text in
            ["", "{}", "[]", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"RSA"}]}"#, r#"{"keys":1}"#]
        {
            assert!(ForeignKeys::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,80}", bytes: Vec<u8>, kid in "\\PC{0,9}") {
            let _ = (ForeignToken::parse(&text).map(drop), ForeignKeys::parse(&bytes));
            let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
            let header = json!({ "alg": "ES256", "kid": kid });
            let jwt = format!("{}.{}.AA", encode(&header), encode(&claims()));
            let token = ForeignToken::parse(&jwt).unwrap();
            prop_assert!(token.verify(&ForeignKeys::default()).is_err());
        }
    }
}
