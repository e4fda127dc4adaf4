//! Whether the sampled answers are right: signature, audience, expiry and identity.
//!
//! Runs after the load. The keys come from the issuer's published set; which identity a VM may use
//! comes from the rules of the synthetic world, never from the broker that is measured.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;

use super::fetch::{self, FetchError};
use super::sample::Sampled;
use super::target::HttpUrl;
use super::workload::{Ask, Selector};
use crate::clock::UnixSeconds;
use crate::world::synthetic::{IdentityIds, Synthetic};

/// The published keys of an issuer, by their id.
pub struct Keys(BTreeMap<String, DecodingKey>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Why there are no keys to verify with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The set could not be read.
    #[error("cannot read the signing keys")]
    Fetch(#[from] FetchError),
    /// The set is not one.
    #[error("the signing keys at {url} are not a JSON Web Key Set")]
    Syntax {
        /// Where they were read.
        url: String,
        /// What is wrong with them.
        source: serde_json::Error,
    },
}

impl Keys {
    /// Reads the key set at exactly this URL.
    ///
    /// # Errors
    /// [`KeysError`] when there is none.
    pub fn read(url: &HttpUrl) -> Result<Self, KeysError> {
        Self::parse(&fetch::get(url, "")?)
            .map_err(|source| KeysError::Syntax { url: url.to_string(), source })
    }

    /// Reads the key set of the world's tenant from a token service.
    ///
    /// # Errors
    /// [`KeysError`] when there is none.
    pub fn of_tenant(sts: &HttpUrl, world: &Synthetic) -> Result<Self, KeysError> {
        let path = format!("{}/{}/discovery/v2.0/keys", sts.path, world.tenant_id());
        Self::read(&HttpUrl { path, ..sts.clone() })
    }

    fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let set: JwkSet = serde_json::from_str(text)?;
        let keys = set.keys.iter().filter_map(|jwk| {
            let key = DecodingKey::from_jwk(jwk).ok()?;
            Some((jwk.common.key_id.clone()?, key))
        });
        Ok(Self(keys.collect()))
    }
}

/// How many sampled answers were wrong, and how; an answer can be wrong in several ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Answers looked at.
    pub sampled: u64,
    /// No token, an unknown key, or a signature that does not match.
    pub bad_signature: u64,
    /// A token of an identity that the VM did not ask for; unknown for a foreign target.
    pub wrong_identity: Option<u64>,
    /// A token for another resource.
    pub wrong_audience: u64,
    /// A token that had expired.
    pub expired: u64,
}

impl Verdict {
    /// How many faults were found.
    pub fn faults(&self) -> u64 {
        let identity = self.wrong_identity.unwrap_or(0);
        self.bad_signature + identity + self.wrong_audience + self.expired
    }
}

/// Whether the identities of the answers are known.
#[derive(Clone, Copy, Debug)]
pub enum Identities<'a> {
    /// They follow from the world.
    Of(&'a Synthetic),
    /// The target is foreign.
    Unknown,
}

/// Judges every sampled answer as of `now`.
pub fn verify(
    samples: &[Sampled],
    keys: &Keys,
    identities: Identities<'_>,
    now: UnixSeconds,
) -> Verdict {
    let wrong_identity = matches!(identities, Identities::Of(_)).then_some(0);
    let mut verdict = Verdict { wrong_identity, ..Verdict::default() };
    for sample in samples {
        verdict.sampled += 1;
        let Some((body, claims)) = signed_claims(&sample.body, keys) else {
            verdict.bad_signature += 1;
            continue;
        };
        verdict.wrong_audience += u64::from(claims.aud != sample.ask.resource());
        verdict.expired += u64::from(claims.exp <= now.0);
        if let (Identities::Of(world), Some(wrong)) = (identities, &mut verdict.wrong_identity) {
            *wrong += u64::from(!belongs(&expected(world, &sample.ask), &body, &claims));
        }
    }
    verdict
}

/// The body of a token answer.
#[derive(Debug, Deserialize)]
struct Body {
    access_token: String,
    client_id: Option<String>,
}

/// The claims that are judged.
#[derive(Debug, Deserialize)]
struct Claims {
    aud: String,
    exp: u64,
    appid: Option<String>,
    oid: Option<String>,
}

fn signed_claims(body: &[u8], keys: &Keys) -> Option<(Body, Claims)> {
    let body: Body = serde_json::from_slice(body).ok()?;
    let header = decode_header(&body.access_token).ok()?;
    let key = keys.0.get(header.kid.as_deref()?)?;
    if !matches!(header.alg, Algorithm::EdDSA | Algorithm::ES256 | Algorithm::RS256) {
        return None;
    }
    let mut validation = Validation::new(header.alg);
    // Judged here, each with its own counter.
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    let token = decode::<Claims>(&body.access_token, key, &validation).ok()?;
    Some((body, token.claims))
}

fn expected(world: &Synthetic, ask: &Ask) -> IdentityIds {
    match ask.selector {
        Selector::Default => world.system_assigned(ask.vm),
        Selector::UserAssigned(index) => world.user_assigned(ask.vm, index),
    }
}

fn belongs(expected: &IdentityIds, body: &Body, claims: &Claims) -> bool {
    let client_id = expected.client_id.to_string();
    let client_id = Some(client_id.as_str());
    let principal_id = expected.principal_id.to_string();
    claims.appid.as_deref() == client_id
        && claims.oid.as_deref() == Some(principal_id.as_str())
        && body.client_id.as_deref() == client_id
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    const WORLD: Synthetic = Synthetic { vms: 3, user_assigned: 1, seed: 5 };
    const ASK: Ask = Ask { vm: 2, selector: Selector::UserAssigned(0), resource: 2 };
    const NOW: UnixSeconds = UnixSeconds(1_000);

    fn b64(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Verifies one token with these claims; `tamper` changes the finished token.
    fn check(ids: IdentityIds, aud: &str, exp: u64, tamper: impl Fn(String) -> String) -> Verdict {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let set = serde_json::json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1",
            "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
        let keys = Keys::parse(&set.to_string()).unwrap();
        let header = b64(br#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#);
        let (client_id, oid) = (ids.client_id.to_string(), ids.principal_id.to_string());
        let claims =
            serde_json::json!({"aud": aud, "exp": exp, "appid": client_id, "oid": oid}).to_string();
        let signed = format!("{header}.{}", b64(claims.as_bytes()));
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        let token = tamper(format!("{signed}.{}", b64(signature.as_ref())));
        let body = serde_json::json!({"access_token": token, "client_id": client_id}).to_string();
        let sample = Sampled { ask: ASK, body: body.into_bytes() };
        verify(&[sample], &keys, Identities::Of(&WORLD), NOW)
    }

    const GOOD: Verdict = Verdict {
        sampled: 1,
        bad_signature: 0,
        wrong_identity: Some(0),
        wrong_audience: 0,
        expired: 0,
    };

    #[test]
    fn a_right_token_has_no_faults() {
        let verdict = check(WORLD.user_assigned(2, 0), ASK.resource(), 1_001, |token| token);
        assert_eq!(verdict, GOOD);
    }

    #[test]
    fn each_fault_is_counted_as_itself() {
        let right = WORLD.user_assigned(2, 0);
        let other = WORLD.user_assigned(1, 0);
        let aud = ASK.resource();
        let same = |token: String| token;
        assert_eq!(check(other, aud, 1_001, same).wrong_identity, Some(1));
        assert_eq!(check(right, "https://graph.microsoft.com/", 1_001, same).wrong_audience, 1);
        assert_eq!(check(right, aud, 1_000, same).expired, 1);
        let cut = |token: String| token[..token.len() - 8].to_owned() + "AAAAAAAA";
        assert_eq!(check(right, aud, 1_001, cut).bad_signature, 1);
        assert_eq!(check(right, aud, 1_001, |_| "nonsense".to_owned()).faults(), 1);
    }
}
