use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::base::clock::{Monotonic, UnixSeconds};
use crate::base::ids::PrincipalId;
use crate::harness::judge::ledger::SlotChange;
use crate::harness::nanos::Nanos;

const WORLD: Synthetic = Synthetic { vms: 3, user_assigned: 1, seed: 5 };
const KEY: RequestKey = RequestKey { vm: 2, selector: Selector::UserAssigned(0), resource: 2 };
/// The zero of the clock: the request is written at 990 and answered at 1,000.
const ZERO: UnixSeconds = UnixSeconds(900);

fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn claims() -> Value {
    let ids = WORLD.user_assigned(2, 0);
    let tenant = WORLD.tenant_id().to_string();
    json!({
        "aud": KEY.resource(), "exp": 1_001, "appid": ids.client_id.to_string(),
        "oid": ids.principal_id.to_string(), "sub": ids.principal_id.to_string(),
        "iss": format!("https://sts.windows.net/{tenant}/"), "tid": tenant,
    })
}

/// A key pair with its key id.
pub(crate) struct Pair(&'static str, EcdsaKeyPair);

impl Pair {
    pub(crate) fn new(kid: &'static str) -> Self {
        Self(kid, EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub(crate) fn published(pairs: &[&Self]) -> Keys {
        let jwk = |Self(kid, key): &Self| {
            let point = key.public_key().as_ref();
            json!({"kty": "EC", "crv": "P-256", "kid": kid,
                "x": b64(&point[1..33]), "y": b64(&point[33..])})
        };
        let keys: Vec<Value> = pairs.iter().map(|pair| jwk(pair)).collect();
        Keys::parse(&json!({ "keys": keys }).to_string()).unwrap()
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let Self(kid, key) = self;
        let header = json!({"alg": "ES256", "kid": kid, "typ": "JWT"}).to_string();
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.to_string().as_bytes()));
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", b64(signature.as_ref()))
    }
}

/// Verifies one answer whose correct claims and body were altered by `change`.
fn check(change: impl FnOnce(&mut Value, &mut Value)) -> Verdict {
    let pair = Pair::new("k1");
    let keys = Pair::published(&[&pair]);
    let mut claims = claims();
    let mut body = json!({"access_token": null, "client_id": claims["appid"],
        "expires_in": "5", "expires_on": "1001", "resource": KEY.resource()});
    change(&mut claims, &mut body);
    if body["access_token"].is_null() {
        body["access_token"] = pair.token(&claims).into();
    }
    let sample = Sampled {
        key: KEY,
        written: Nanos::from_secs(90),
        end: Nanos::from_secs(100),
        body: body.to_string().into_bytes(),
    };
    let epoch = Epoch { clock: Monotonic::start(), wall: ZERO };
    verify(&[sample], &keys, Identities::Fixed(&WORLD), epoch)
}

const GOOD: Verdict = Verdict {
    sampled: 1,
    bad_signature: 0,
    wrong_identity: Some(0),
    wrong_audience: Some(0),
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
    assert_eq!(aud, Verdict { wrong_audience: Some(1), ..GOOD });
    for claim in ["iss", "tid"] {
        let issuer = check(|claims, _| claims[claim] = "other".into());
        assert_eq!(issuer, Verdict { wrong_issuer: Some(1), ..GOOD });
    }
    let forged = check(|_, body| body["access_token"] = "e30.e30.AAAA".into());
    assert_eq!(forged, Verdict { bad_signature: 1, ..GOOD });
}

#[test]
fn expiry_is_judged_when_the_answer_came_and_not_later() {
    // The answer came at 1,000: a token until 1,001 was good, a token until 1,000 was not.
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
    // 11 seconds were left at the request and 1 at the answer, each with a tolerance of 2.
    for (left, verdict) in [("13", GOOD), ("14", wrong), ("1", GOOD), ("soon", wrong)] {
        assert_eq!(check(|_, body| body["expires_in"] = left.into()), verdict, "{left}");
    }
    let echo = check(|_, body| body["resource"] = "https://graph.microsoft.com/".into());
    assert_eq!(echo, Verdict { wrong_audience: Some(1), ..GOOD });
    assert_eq!(check(|_, body| body["client_id"] = "other".into()).wrong_identity, Some(1));
}

/// Returns a token of the system-assigned identity of VM 0, requested now, with these ids.
fn system_assigned(pair: &Pair, clock: Monotonic, ids: IdentityIds) -> Sampled {
    let (appid, oid) = (ids.client_id.to_string(), ids.principal_id.to_string());
    let key = RequestKey { vm: 0, selector: Selector::Default, resource: 0 };
    let tenant = WORLD.tenant_id().to_string();
    let claims = json!({"aud": key.resource(), "exp": 5_000, "appid": appid, "oid": oid,
        "sub": oid, "iss": format!("https://sts.windows.net/{tenant}/"), "tid": tenant});
    let body = json!({"access_token": pair.token(&claims), "client_id": appid});
    let at = Nanos::now(clock);
    Sampled { key, written: at, end: at, body: body.to_string().into_bytes() }
}

#[test]
fn a_re_enabled_identity_is_the_one_that_the_control_plane_named_and_no_longer_the_old_one() {
    let (pair, clock) = (Pair::new("k1"), Monotonic::start());
    let (ledger, slot) = (Ledger::new(clock), Slot { vm: 0, selector: Selector::Default });
    let old = WORLD.system_assigned(0);
    let new = WORLD.system_assigned(1);
    let faults = |ids: IdentityIds| {
        let samples = [system_assigned(&pair, clock, ids)];
        let epoch = Epoch { clock, wall: ZERO };
        let identities = Identities::Changing(&WORLD, &ledger);
        verify(&samples, &Pair::published(&[&pair]), identities, epoch).wrong_identity
    };
    assert_eq!((faults(old), faults(new)), (Some(0), Some(1)));
    ledger.sending(slot, SlotChange::Removal);
    assert_eq!(faults(old), Some(0), "the removal may not be in effect yet");
    ledger.acknowledged(slot, None);
    assert_eq!(faults(old), Some(1));
    ledger.sending(slot, SlotChange::Return);
    ledger.acknowledged(slot, Some(new.principal_id));
    assert_eq!((faults(old), faults(new)), (Some(1), Some(0)));
    let stale_client = IdentityIds { client_id: old.client_id, ..new };
    assert_eq!(faults(stale_client), Some(1));
    let stranger = IdentityIds { principal_id: PrincipalId::from_bytes([9; 16]), ..new };
    assert_eq!(faults(stranger), Some(1));
}
