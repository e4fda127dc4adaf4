use std::sync::Arc;

use jsonwebtoken::jwk::JwkSet as PublishedKeys;
use jsonwebtoken::{DecodingKey, Validation};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::{ArmId, ClientId, PrincipalId, TenantId};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const RESOURCE: &str = "https://vault.azure.net";
const UA: &str = "/subscriptions/00000000-0000-4000-8000-000000000002/resourceGroups/RG/providers/Microsoft.ManagedIdentity/userAssignedIdentities/app";

fn subject(resource_id: &ArmId) -> Subject<'_> {
    Subject {
        tenant_id: TenantId::from_bytes([1; 16]),
        tenant_created: UnixSeconds(7),
        client_id: ClientId::from_bytes([2; 16]),
        principal_id: PrincipalId::from_bytes([3; 16]),
        resource_id: Some(resource_id),
        caller_id: None,
        proof: ClientProof::Certificate,
    }
}

fn issuer(algorithm: Algorithm) -> Issuer {
    let key = SigningKey::generate(algorithm, NOW).unwrap();
    Issuer::new(Arc::new(KeyRing::of(key)), Seconds(86_400))
}

fn mint(issuer: &Issuer, entropy: &Entropy) -> Token {
    issuer.mint(&subject(&UA.parse().unwrap()), RESOURCE, NOW, entropy).unwrap()
}

fn body(token: &Token, now: UnixSeconds) -> String {
    String::from_utf8(token.body(now)).unwrap()
}

/// Returns the claims of a token, verified with nothing but the published key set.
fn verified_claims(issuer: &Issuer, token: &Token) -> Value {
    let published = serde_json::to_string(&JwkSet {
        keys: issuer.keys().published().map(SigningKey::jwk).collect(),
    })
    .unwrap();
    let keys: PublishedKeys = serde_json::from_str(&published).unwrap();
    let header = jsonwebtoken::decode_header(token.jwt()).unwrap();
    let jwk = keys.find(header.kid.as_ref().unwrap()).unwrap();
    let mut validation = Validation::new(header.alg);
    validation.set_audience(&[RESOURCE]);
    jsonwebtoken::decode::<Value>(token.jwt(), &DecodingKey::from_jwk(jwk).unwrap(), &validation)
        .unwrap()
        .claims
}

#[test]
fn tokens_of_every_algorithm_verify_with_the_published_keys() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let issuer = issuer(algorithm);
        let claims = verified_claims(&issuer, &mint(&issuer, &[9; 48]));
        assert_eq!(claims["aud"], RESOURCE, "{algorithm}");
    }
}

#[test]
fn claims_are_those_of_a_managed_identity_token() {
    let issuer = issuer(Algorithm::Es256);
    let mut claims = verified_claims(&issuer, &mint(&issuer, &[9; 48]));
    for opaque in ["aio", "rh", "uti"] {
        assert!(claims.as_object_mut().unwrap().remove(opaque).unwrap().is_string());
    }
    let (tid, oid) =
        ("01010101-0101-0101-0101-010101010101", "03030303-0303-0303-0303-030303030303");
    let iss = format!("https://sts.windows.net/{tid}/");
    let expected = serde_json::json!({
        "aud": RESOURCE, "iss": iss, "iat": NOW.0 - 300, "nbf": NOW.0 - 300, "exp": NOW.0 + 86_400,
        "appid": "02020202-0202-0202-0202-020202020202", "appidacr": "2", "idp": iss, "idtyp": "app",
        "oid": oid, "sub": oid, "tid": tid, "ver": "1.0", "xms_tcdt": 7,
        "xms_mirid": UA.replace("resourceGroups", "resourcegroups"),
    });
    assert_eq!(claims, expected);
}

#[test]
fn claims_are_in_the_order_of_entra_and_the_audience_is_escaped() {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    let own: ArmId = UA.parse().unwrap();
    let subject = Subject { caller_id: Some(&own), ..subject(&own) };
    let token = issuer(Algorithm::Es256).mint(&subject, r#"a"b\c"#, NOW, &[9; 48]).unwrap();
    let claims = token.jwt().split('.').nth(1).unwrap();
    let claims = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    let [tid, appid, oid] = ["01", "02", "03"].map(|byte| {
        let of = |bytes| byte.repeat(bytes);
        format!("{}-{}-{}-{}-{}", of(4), of(2), of(2), of(2), of(6))
    });
    let (iss, rid) =
        (format!("https://sts.windows.net/{tid}/"), UA.replace("resourceGroups", "resourcegroups"));
    let (aio, uti) = ("CQkJ".repeat(16), "CQkJ".repeat(5) + "CQ");
    let (rh, from, to) = ("CQkJ".repeat(10) + "CQk", NOW.0 - 300, NOW.0 + 86_400);
    let expected = format!(
        r#"{{"aud":"a\"b\\c","iss":"{iss}","iat":{from},"nbf":{from},"exp":{to},"aio":"{aio}","appid":"{appid}","appidacr":"2","idp":"{iss}","idtyp":"app","oid":"{oid}","rh":"1.{rh}.","sub":"{oid}","tid":"{tid}","uti":"{uti}","ver":"1.0","xms_az_rid":"{rid}","xms_mirid":"{rid}","xms_tcdt":7}}"#
    );
    assert_eq!(claims, expected);
}

#[test]
fn the_published_key_has_public_fields_only_and_is_named_by_its_certificate() {
    for (algorithm, fields) in [
        (Algorithm::EdDsa, "alg crv kid kty use x x5c x5t"),
        (Algorithm::Es256, "alg crv kid kty use x x5c x5t y"),
        (Algorithm::Rs256, "alg e kid kty n use x5c x5t"),
    ] {
        let issuer = issuer(algorithm);
        let jwk = serde_json::to_value(issuer.keys().current.jwk()).unwrap();
        let mut names: Vec<_> = jwk.as_object().unwrap().keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names.join(" "), fields);
        assert_eq!(jwk["kid"], jwk["x5t"]);
        assert_eq!(jwk["kid"].as_str().unwrap().len(), 27);
    }
}

#[test]
fn the_body_is_eight_strings_in_alphabetical_order() {
    let issuer = issuer(Algorithm::Es256);
    let token = mint(&issuer, &[9; 48]);
    let expected = format!(
        r#"{{"access_token":"{}","client_id":"02020202-0202-0202-0202-020202020202","expires_in":"86400","expires_on":"{}","ext_expires_in":"86399","not_before":"{}","resource":"{RESOURCE}","token_type":"Bearer"}}"#,
        token.jwt(),
        NOW.0 + 86_400,
        NOW.0 - 300
    );
    assert_eq!(body(&token, NOW), expected);
}

#[test]
fn the_fields_of_the_body_are_read_back_one_by_one() {
    let token = mint(&issuer(Algorithm::Es256), &[9; 48]);
    let parts = token.parts();
    assert_eq!((parts.access_token, parts.resource), (token.jwt(), RESOURCE));
    assert_eq!(parts.client_id, "02020202-0202-0202-0202-020202020202");
    let times = [parts.not_before, parts.expires_on].map(|text| text.parse::<u64>().unwrap());
    assert_eq!(times, [NOW.0 - 300, NOW.0 + 86_400]);
}

#[test]
fn neither_tokens_nor_keys_show_themselves_in_debug_output() {
    let issuer = issuer(Algorithm::Es256);
    let token = mint(&issuer, &[9; 48]);
    assert!(!format!("{token:?}").contains(token.jwt()));
    assert!(format!("{issuer:?}").contains("Signer(..)"));
}

#[test]
fn a_bearer_token_is_taken_for_what_it_says_and_only_in_its_time() {
    for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
        let key = SigningKey::generate(algorithm, NOW).unwrap();
        let ring = Arc::new(KeyRing::of(key));
        let issuer = Issuer::new(Arc::clone(&ring), Seconds(1000));
        let token = mint(&issuer, &[9; 48]);
        let verifier = Verifier::new(ring);
        let bearer = verifier.verify(token.jwt(), NOW).unwrap();
        assert_eq!(bearer.audience, RESOURCE);
        assert_eq!(bearer.principal_id, PrincipalId::from_bytes([3; 16]));
        let late = verifier.verify(token.jwt(), NOW + Seconds(1300));
        assert_eq!(late, Err(BearerError::Expired(NOW + Seconds(1000))));
        let early = verifier.verify(token.jwt(), NOW - Seconds(601));
        assert_eq!(early, Err(BearerError::NotYetValid(NOW - Seconds(300))));
    }
}

/// Threat 13 of `docs/reliability.md`. The endpoints that take tokens check their audience and issuer.
#[test]
fn threat_13_a_token_is_signed_by_a_published_key_with_its_algorithm_and_in_time() {
    let key = SigningKey::generate(Algorithm::Rs256, NOW).unwrap();
    let kid = key.jwk().kid.clone();
    let ring = Arc::new(KeyRing::of(key));
    let token = mint(&Issuer::new(Arc::clone(&ring), Seconds(1000)), &[9; 48]);
    let verifier = Verifier::new(ring);
    let (message, signature) = token.jwt().rsplit_once('.').unwrap();
    let (_, claims) = message.split_once('.').unwrap();
    assert!(verifier.verify(token.jwt(), NOW).is_ok());
    let encode =
        |text: String| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    for (alg, kid, signature, refusal) in [
        ("none", &*kid, "", BearerError::Malformed),
        ("HS256", &*kid, signature, BearerError::UnknownKey),
        ("RS512", &*kid, signature, BearerError::UnknownKey),
        ("RS256", "another", signature, BearerError::UnknownKey),
        ("RS256", &*kid, signature, BearerError::Signature),
    ] {
        // The keys in the header are the attacker's.
        let header = format!(
            r#"{{"alg":"{alg}","kid":"{kid}","jku":"https://evil.example/keys","x5u":"https://evil.example"}}"#
        );
        let jwt = format!("{}.{claims}.{signature}", encode(header));
        assert_eq!(verifier.verify(&jwt, NOW), Err(refusal), "{alg} {kid}");
    }
    for now in [NOW + Seconds(1300), NOW - Seconds(601)] {
        assert!(verifier.verify(token.jwt(), now).is_err(), "{now}");
    }
}

#[test]
fn a_forged_bearer_token_is_refused() {
    let key = SigningKey::generate(Algorithm::Rs256, NOW).unwrap();
    let kid = key.jwk().kid.clone();
    let ring = Arc::new(KeyRing::of(key));
    let token = mint(&Issuer::new(Arc::clone(&ring), Seconds(1000)), &[9; 48]);
    let verifier = Verifier::new(ring);
    let [header, claims, signature] = token.jwt().split('.').collect::<Vec<_>>()[..] else {
        panic!()
    };
    let encode =
        |text: String| base64::Engine::encode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, text);
    let none = encode(format!(r#"{{"alg":"none","kid":"{kid}"}}"#));
    let shared = encode(format!(r#"{{"alg":"HS256","kid":"{kid}"}}"#));
    let other = encode(r#"{"alg":"RS256","kid":"another"}"#.to_owned());
    let swapped = encode(r#"{"aud":"x","iss":"x","nbf":0,"exp":9999999999}"#.to_owned());
    for (jwt, expected) in [
        (format!("{none}.{claims}."), BearerError::Malformed),
        (format!("{shared}.{claims}.{signature}"), BearerError::UnknownKey),
        (format!("{other}.{claims}.{signature}"), BearerError::UnknownKey),
        (format!("{header}.{swapped}.{signature}"), BearerError::Signature),
        (format!("{header}.{claims}"), BearerError::Malformed),
        (String::new(), BearerError::Malformed),
    ] {
        assert_eq!(verifier.verify(&jwt, NOW), Err(expected), "{jwt}");
    }
    let another = SigningKey::generate(Algorithm::Rs256, NOW).unwrap();
    let stranger = Verifier::new(Arc::new(KeyRing::of(another)));
    assert_eq!(stranger.verify(token.jwt(), NOW), Err(BearerError::UnknownKey));
}

proptest! {
    #[test]
    fn expires_in_counts_down_and_is_never_zero(age in 0_u64..200_000) {
        let issuer = issuer(Algorithm::EdDsa);
        let token = mint(&issuer, &[9; 48]);
        let answer: Value = serde_json::from_str(&body(&token, NOW + Seconds(age))).unwrap();
        let expires_in: u64 = answer["expires_in"].as_str().unwrap().parse().unwrap();
        prop_assert_eq!(expires_in, 86_400_u64.saturating_sub(age).max(1));
    }

    #[test]
    fn different_entropy_makes_different_tokens(a: [u8; 32], b: [u8; 32]) {
        prop_assume!(a != b);
        let issuer = issuer(Algorithm::EdDsa);
        let entropy = |half: [u8; 32]| { let mut all = [0; 48]; all[..32].copy_from_slice(&half); all };
        let (a, b) = (mint(&issuer, &entropy(a)), mint(&issuer, &entropy(b)));
        prop_assert_ne!(a.jwt(), b.jwt());
    }
}
