//! Threats to the token service, by their numbers in `docs/reliability.md`. Each test fails without its guards.

use super::*;

#[test]
fn threat_14_an_assertion_is_for_this_service_from_its_client_signed_by_it_and_in_time() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(900));
    world.register(&key);
    let header = json!({ "alg": "PS256", "x5t#S256": key.certificate().thumbprint() });
    let status = |changed: Value| world.assert(&forged(&header, &claims(&changed))).status;
    assert_eq!(status(json!({})), 200);
    for changed in [
        json!({ "aud": "https://evil.example/" }),
        json!({ "aud": [] }),
        json!({ "iss": foreign().to_string() }),
        json!({ "sub": foreign().to_string() }),
        json!({ "exp": NOW.0 - 301 }),
        json!({ "nbf": NOW.0 + 301 }),
    ] {
        assert_eq!(status(changed.clone()), 401, "{changed}");
    }
    let good = forged(&header, &claims(&json!({})));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = message.split_once('.').unwrap();
    let other = BASE64_URL_SAFE_NO_PAD.encode(claims(&json!({ "jti": "2" })).to_string());
    assert_eq!(world.assert(&format!("{header}.{other}.{signature}")).status, 401);
}
