//! Minting a token: claims, signature, response body.
//!
//! Comparison: `mint/<alg>/token` is divided by two baselines. `mint/<alg>/bare-signature` is the
//! signature alone, with the same key over the same bytes. `mint/<alg>/jsonwebtoken` is `jsonwebtoken::encode` of the same claims with the same
//! key, over aws-lc-rs. It makes only the JWT, from existing claims, and no response body.

use std::cell::LazyCell;
use std::hint::black_box;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use criterion::Criterion;
use jsonwebtoken::{EncodingKey, Header};
use mintbench::base::secret::Redacted;
use mintbench::service::token::{Algorithm, Signer};
use serde_json::Value;

use crate::support::tokens::{issuer, mint, pkcs8, resource_id};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

pub(crate) fn benches(criterion: &mut Criterion) {
    for algorithm in ALGORITHMS {
        let key = LazyCell::new(|| pkcs8(algorithm));
        token(criterion, algorithm, &key);
        bare_signature(criterion, algorithm, &key);
        jsonwebtoken(criterion, algorithm, &key);
    }
}

type LazyKey<'a, F> = &'a LazyCell<Redacted, F>;

fn token<F: FnOnce() -> Redacted>(
    criterion: &mut Criterion,
    algorithm: Algorithm,
    key: LazyKey<'_, F>,
) {
    let resource_id = resource_id();
    criterion.bench_function(&format!("mint/{algorithm}/token"), |bencher| {
        let issuer = issuer(algorithm, key);
        bencher.iter(|| mint(black_box(&issuer), black_box(&resource_id)));
    });
}

fn bare_signature<F: FnOnce() -> Redacted>(
    criterion: &mut Criterion,
    algorithm: Algorithm,
    key: LazyKey<'_, F>,
) {
    criterion.bench_function(&format!("mint/{algorithm}/bare-signature"), |bencher| {
        let (signer, jwt) = (Signer::new(algorithm, key).unwrap(), jwt(algorithm, key));
        let (message, _) = jwt.rsplit_once('.').unwrap();
        bencher.iter(|| signer.sign(black_box(message.as_bytes())));
    });
}

fn jsonwebtoken<F: FnOnce() -> Redacted>(
    criterion: &mut Criterion,
    algorithm: Algorithm,
    key: LazyKey<'_, F>,
) {
    criterion.bench_function(&format!("mint/{algorithm}/jsonwebtoken"), |bencher| {
        let (jwt, key) = (jwt(algorithm, key), encoding_key(algorithm, key));
        let (header, claims) = (jsonwebtoken::decode_header(&jwt).unwrap(), claims(&jwt));
        bencher.iter(|| encode(black_box(&header), black_box(&claims), &key));
    });
}

fn encode(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

fn jwt(algorithm: Algorithm, key: &Redacted) -> String {
    let issuer = issuer(algorithm, key);
    mint(&issuer, &resource_id()).jwt().to_owned()
}

fn claims(jwt: &str) -> Value {
    let payload = jwt.split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

fn encoding_key(algorithm: Algorithm, pkcs8: &Redacted) -> EncodingKey {
    /// Length of the PKCS #8 (RFC 5208) header before the PKCS #1 key of RSA-2048, which is needed
    /// here.
    const RSA_2048_WRAPPING_LEN: usize = 26;
    let pkcs8 = pkcs8.expose();
    match algorithm {
        Algorithm::EdDsa => EncodingKey::from_ed_der(pkcs8),
        Algorithm::Es256 => EncodingKey::from_ec_der(pkcs8),
        Algorithm::Rs256 => EncodingKey::from_rsa_der(pkcs8.get(RSA_2048_WRAPPING_LEN..).unwrap()),
    }
}
