//! Broken tokens, for tests of verifiers. Each is a good token with one flaw.

use std::sync::{Arc, OnceLock};

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::assertion::unverified_claims;
use super::keys::SigningKey;
use super::ring::KeyRing;
use crate::base::clock::UnixSeconds;
use crate::base::x509::public_key_info;

/// Flaw of a token that a verifier must refuse.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Flaw {
    /// One bit of the signature differs.
    WrongSignature,
    /// A key that is not published has signed it.
    UnknownKey,
    /// `iss` names another issuer. The signature is right.
    WrongIssuer,
    /// `aud` names another resource. The signature is right.
    WrongAudience,
    /// `exp` was an hour before the token became valid. The signature is right.
    Expired,
    /// `nbf` is an hour after the token expires. The signature is right.
    NotYetValid,
    /// The header says `alg: none`, and there is no signature (RFC 8725 section 2.1).
    AlgNone,
    /// The header says `alg: HS256`, and the key of the signature is the public key as PEM (RFC 8725 section 2.1).
    Hs256PublicKey,
    /// The token has 300,000 characters. The signature is right.
    Oversized,
}

/// Issuer and resource of tokens with a wrong one.
const ELSEWHERE: &str = "https://wrong.example/";

/// Seconds by which a token misses the present.
const MISSED_BY: u64 = 3600;

/// Length of an oversized token in characters. Verifiers of .NET take 250 kB at most.
const OVERSIZED_CHARS: usize = 300_000;

impl Flaw {
    /// All flaws.
    pub const ALL: [Self; 9] = [
        Self::WrongSignature,
        Self::UnknownKey,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::Expired,
        Self::NotYetValid,
        Self::AlgNone,
        Self::Hs256PublicKey,
        Self::Oversized,
    ];
}

/// Maker of broken tokens.
#[derive(Debug)]
pub struct TokenBreaker {
    ring: Arc<KeyRing>,
    /// A key that is never published, made when it is first needed.
    unknown: OnceLock<Option<SigningKey>>,
}

impl TokenBreaker {
    /// Creates a maker of tokens that the current key of `ring` signs.
    pub const fn new(ring: Arc<KeyRing>) -> Self {
        Self { ring, unknown: OnceLock::new() }
    }

    /// Returns a token like `jwt` with this flaw. Returns `None` if `jwt` is no token, or a library fails.
    pub fn break_token(&self, jwt: &str, flaw: Flaw) -> Option<String> {
        let (signed, signature) = jwt.rsplit_once('.')?;
        let claims = Claims(unverified_claims(jwt)?);
        let key = &self.ring.keys().current;
        match flaw {
            Flaw::WrongSignature => {
                let mut signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
                *signature.last_mut()? ^= 1;
                Some(joined(signed, &signature))
            }
            Flaw::UnknownKey => {
                let make = || SigningKey::generate(key.algorithm(), UnixSeconds(0)).ok();
                claims.signed_by(self.unknown.get_or_init(make).as_ref()?)
            }
            Flaw::WrongIssuer => claims.with("iss", ELSEWHERE.into()).signed_by(key),
            Flaw::WrongAudience => claims.with("aud", ELSEWHERE.into()).signed_by(key),
            Flaw::Expired => {
                let end = claims.time("nbf")?.saturating_sub(MISSED_BY);
                let begin = end.saturating_sub(MISSED_BY);
                claims.valid(begin, end).signed_by(key)
            }
            Flaw::NotYetValid => {
                let begin = claims.time("exp")?.saturating_add(MISSED_BY);
                claims.valid(begin, begin.saturating_add(MISSED_BY)).signed_by(key)
            }
            Flaw::AlgNone => Some(claims.under(r#"{"typ":"JWT","alg":"none"}"#) + "."),
            Flaw::Hs256PublicKey => {
                let kid = &key.jwk().kid;
                let signed =
                    claims.under(&format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#));
                let secret = hmac::Key::new(hmac::HMAC_SHA256, key.public_pem()?.as_bytes());
                Some(joined(&signed, hmac::sign(&secret, signed.as_bytes()).as_ref()))
            }
            Flaw::Oversized => {
                // Three bytes of JSON become four characters.
                let padding = OVERSIZED_CHARS.saturating_sub(jwt.len()) / 4 * 3;
                claims.with("padding", "x".repeat(padding).into()).signed_by(key)
            }
        }
    }
}

/// Claims of a token.
struct Claims(Map<String, Value>);

impl Claims {
    fn time(&self, name: &str) -> Option<u64> {
        self.0.get(name)?.as_u64()
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    fn valid(self, begin: u64, end: u64) -> Self {
        self.with("iat", begin.into()).with("nbf", begin.into()).with("exp", end.into())
    }

    /// Returns header and payload in compact serialization.
    fn under(&self, header: &str) -> String {
        let claims = Value::Object(self.0.clone()).to_string();
        let encode = |part: &str| BASE64_URL_SAFE_NO_PAD.encode(part);
        format!("{}.{}", encode(header), encode(&claims))
    }

    fn signed_by(&self, key: &SigningKey) -> Option<String> {
        let claims = Value::Object(self.0.clone()).to_string();
        let signed = format!("{}{}", key.header(), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = key.signer().sign(signed.as_bytes())?;
        Some(joined(&signed, signature.as_ref()))
    }
}

fn joined(signed: &str, signature: &[u8]) -> String {
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

impl SigningKey {
    /// Returns the public key as PEM (RFC 7468 section 13).
    fn public_pem(&self) -> Option<String> {
        let [certificate] = &self.jwk().x5c;
        let certificate = BASE64_STANDARD.decode(certificate).ok()?;
        let key = public_key_info(&certificate)?;
        let text = BASE64_STANDARD.encode(key);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
        let text = lines.join("\n");
        Some(format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Seconds;
    use crate::base::ids::{ClientId, PrincipalId, TenantId};
    use crate::service::token::{
        Algorithm, Bearer, BearerError, ClientProof, Issuer, Subject, TokenSource as _, Verifier,
    };

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const RESOURCE: &str = "https://vault.azure.net";

    fn subject() -> Subject<'static> {
        Subject {
            tenant_id: TenantId::from_bytes([1; 16]),
            tenant_created: UnixSeconds(7),
            client_id: ClientId::from_bytes([2; 16]),
            principal_id: PrincipalId::from_bytes([3; 16]),
            resource_id: None,
            caller_id: None,
            proof: ClientProof::Certificate,
        }
    }

    #[test]
    fn a_broken_token_has_its_flaw_and_no_other() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            let ring = Arc::new(KeyRing::of(SigningKey::generate(algorithm, NOW).unwrap()));
            let issuer = Issuer::new(Arc::clone(&ring), Seconds(86_400));
            let token = issuer.mint(&subject(), RESOURCE, NOW, &[9; 48]).unwrap();
            let (breaker, verifier) = (TokenBreaker::new(Arc::clone(&ring)), Verifier::new(ring));
            let broken = |flaw| breaker.break_token(token.jwt(), flaw).unwrap();
            let judged = |flaw| verifier.verify(&broken(flaw), NOW);
            let good = verifier.verify(token.jwt(), NOW).unwrap();
            let begin = NOW - Issuer::BACKDATED;
            for (flaw, verdict) in [
                (Flaw::WrongSignature, Err(BearerError::Signature)),
                (Flaw::UnknownKey, Err(BearerError::UnknownKey)),
                (Flaw::Expired, Err(BearerError::Expired(begin - Seconds(MISSED_BY)))),
                (
                    Flaw::NotYetValid,
                    Err(BearerError::NotYetValid(NOW + Seconds(86_400 + MISSED_BY))),
                ),
                (Flaw::AlgNone, Err(BearerError::Malformed)),
                (Flaw::Hs256PublicKey, Err(BearerError::UnknownKey)),
                (Flaw::WrongIssuer, Ok(Bearer { issuer: ELSEWHERE.to_owned(), ..good.clone() })),
                (
                    Flaw::WrongAudience,
                    Ok(Bearer { audience: ELSEWHERE.to_owned(), ..good.clone() }),
                ),
                (Flaw::Oversized, Ok(good.clone())),
            ] {
                assert_eq!(judged(flaw), verdict, "{algorithm} {flaw:?}");
            }
            let len = broken(Flaw::Oversized).len();
            assert!((OVERSIZED_CHARS - 100..=OVERSIZED_CHARS + 100).contains(&len), "{len}");
        }
    }

    #[test]
    fn the_shared_secret_of_hs256_is_the_public_key_as_pem() {
        let key = SigningKey::generate(Algorithm::Rs256, NOW).unwrap();
        let pem = key.public_pem().unwrap();
        let ring = Arc::new(KeyRing::of(key));
        let issuer = Issuer::new(Arc::clone(&ring), Seconds(86_400));
        let token = issuer.mint(&subject(), RESOURCE, NOW, &[9; 48]).unwrap();
        let broken = TokenBreaker::new(ring).break_token(token.jwt(), Flaw::Hs256PublicKey);
        // The mistake that the token is made for: a verifier that trusts the algorithm in the header.
        let mut naive = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
        (naive.validate_exp, naive.validate_aud) = (false, false);
        let secret = jsonwebtoken::DecodingKey::from_secret(pem.as_bytes()).unwrap();
        jsonwebtoken::decode::<Value>(&broken.unwrap(), &secret, &naive).unwrap();
    }

    #[test]
    fn what_is_no_token_is_not_broken() {
        let ring = Arc::new(KeyRing::of(SigningKey::generate(Algorithm::Es256, NOW).unwrap()));
        let breaker = TokenBreaker::new(ring);
        for text in ["", "a", "a.b.c", "..", "e30.e30.", "e30.W10.e30"] {
            for flaw in [Flaw::Expired, Flaw::NotYetValid, Flaw::WrongSignature] {
                assert_eq!(breaker.break_token(text, flaw), None, "{text} {flaw:?}");
            }
        }
    }
}
