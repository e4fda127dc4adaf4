use super::*;
use crate::clock::{Monotonic, UnixSeconds};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const WORLD: Synthetic = Synthetic { vms: 3, user_assigned: 1, seed: 5 };
const ASK: Ask = Ask { vm: 2, selector: Selector::UserAssigned(0), resource: 2 };
/// The request is written at 990 and answered at 1,000.
const ZERO: UnixSeconds = UnixSeconds(900);
const SECOND_NS: u64 = 1_000_000_000;

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn claims() -> Value {
    let ids = WORLD.user_assigned(2, 0);
    let tenant = WORLD.tenant_id().to_string();
    json!({
        "aud": ASK.resource(), "exp": 1_001, "appid": ids.client_id.to_string(),
        "oid": ids.principal_id.to_string(), "sub": ids.principal_id.to_string(),
        "iss": format!("https://sts.windows.net/{tenant}/"), "tid": tenant,
    })
}

/// Verifies one answer whose claims and body were changed after they were right.
fn check(change: impl FnOnce(&mut Value, &mut Value)) -> Verdict {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k1",
        "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
    let keys = Keys::parse(&set.to_string()).unwrap();
    let mut claims = claims();
    let mut body = json!({"access_token": null, "client_id": claims["appid"],
        "expires_in": "5", "expires_on": "1001", "resource": ASK.resource()});
    change(&mut claims, &mut body);
    let header = b64(br#"{"alg":"ES256","kid":"k1","typ":"JWT"}"#);
    let signed = format!("{header}.{}", b64(claims.to_string().as_bytes()));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    if body["access_token"].is_null() {
        body["access_token"] = format!("{signed}.{}", b64(signature.as_ref())).into();
    }
    let sample = Sampled {
        ask: ASK,
        written_ns: 90 * SECOND_NS,
        end_ns: 100 * SECOND_NS,
        body: body.to_string().into_bytes(),
    };
    let epoch = Epoch { clock: Monotonic::start(), wall: ZERO };
    verify(&[sample], &keys, Identities::Of(&WORLD), epoch)
}

const GOOD: Verdict = Verdict {
    sampled: 1,
    bad_signature: 0,
    wrong_identity: Some(0),
    wrong_audience: 0,
    wrong_issuer: Some(0),
    wrong_expiry: 0,
    expired: 0,
};

#[test]
fn a_right_answer_has_no_faults() {
    assert_eq!(check(|_, _| ()), GOOD);
}

#[test]
fn each_fault_of_the_token_is_counted_as_itself() {
    let other = WORLD.user_assigned(1, 0);
    let of_other = check(|claims, _| {
        claims["appid"] = other.client_id.to_string().into();
        claims["oid"] = other.principal_id.to_string().into();
        claims["sub"] = claims["oid"].clone();
    });
    assert_eq!(of_other, Verdict { wrong_identity: Some(1), ..GOOD });
    let sub = check(|claims, _| claims["sub"] = other.principal_id.to_string().into());
    assert_eq!(sub, Verdict { wrong_identity: Some(1), ..GOOD });
    let aud = check(|claims, _| claims["aud"] = "https://graph.microsoft.com/".into());
    assert_eq!(aud, Verdict { wrong_audience: 1, ..GOOD });
    for claim in ["iss", "tid"] {
        let issuer = check(|claims, _| claims[claim] = "other".into());
        assert_eq!(issuer, Verdict { wrong_issuer: Some(1), ..GOOD });
    }
    let forged = check(|_, body| body["access_token"] = "e30.e30.AAAA".into());
    assert_eq!(forged, Verdict { bad_signature: 1, ..GOOD });
}

#[test]
fn expiry_is_judged_when_the_answer_came_and_not_later() {
    // At 1,000, when the answer came, a token until 1,001 was good; one until 1,000 was not.
    let expired = check(|claims, body| {
        claims["exp"] = 1_000.into();
        body["expires_on"] = "1000".into();
    });
    assert_eq!(expired, Verdict { expired: 1, ..GOOD });
}

#[test]
fn the_body_must_agree_with_its_token() {
    let wrong = Verdict { wrong_expiry: 1, ..GOOD };
    assert_eq!(check(|_, body| body["expires_on"] = "1002".into()), wrong);
    // 11 seconds were left when it was asked for and 1 when it came, each give or take 2.
    for (left, verdict) in [("13", GOOD), ("14", wrong), ("1", GOOD), ("soon", wrong)] {
        assert_eq!(check(|_, body| body["expires_in"] = left.into()), verdict, "{left}");
    }
    let echo = check(|_, body| body["resource"] = "https://graph.microsoft.com/".into());
    assert_eq!(echo, Verdict { wrong_audience: 1, ..GOOD });
    assert_eq!(check(|_, body| body["client_id"] = "other".into()).wrong_identity, Some(1));
}
