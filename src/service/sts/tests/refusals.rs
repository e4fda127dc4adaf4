use std::sync::LazyLock;

use super::*;

/// Changes to a good request; expected status, `error` and code.
type Row<'a> = (&'a [(&'a str, &'a str)], u16, &'a str, u64);

#[test]
fn every_refusal_has_its_status_error_and_code() {
    let world = World::new();
    let rows: &[Row<'_>] = &[
        (&[("grant_type", "")], 400, "invalid_request", 900_144),
        (&[("grant_type", "password")], 400, "unsupported_grant_type", 70_003),
        (&[("client_id", "")], 400, "invalid_request", 900_144),
        (&[("client_id", "me")], 400, "unauthorized_client", 700_016),
        (
            &[("client_id", "a0000000-0000-4000-8000-000000000000")],
            400,
            "unauthorized_client",
            700_016,
        ),
        (
            &[("client_id", "a0000000-0000-4000-8000-00000000000f")],
            401,
            "invalid_client",
            7_000_229,
        ),
        (&[("client_secret", "")], 401, "invalid_client", 7_000_216),
        (&[("client_secret", "wrong")], 401, "invalid_client", 7_000_215),
        (
            &[("client_assertion", "x"), ("client_assertion_type", ASSERTION_TYPE)],
            400,
            "invalid_request",
            9_002_313,
        ),
        (&[("scope", "")], 400, "invalid_request", 900_144),
        (&[("scope", VAULT)], 400, "invalid_scope", 1_002_012),
        (&[("scope", "/.default")], 400, "invalid_scope", 1_002_012),
        (&[("scope", "openid offline_access profile")], 400, "invalid_scope", 1_002_012),
        (
            &[("scope", "https://vault.azure.net/.default https://a.b/.default")],
            400,
            "invalid_scope",
            700_022,
        ),
        (&[("scope", "api://unknown/.default")], 400, "invalid_resource", 500_011),
        (&[("scope", "https://vault.azure.net//x/.default")], 400, "invalid_resource", 500_011),
        (&[("scope", "vault/.default")], 400, "invalid_resource", 50_001),
        (&[("resource", VAULT)], 400, "invalid_request", 901_002),
        (&[("scope", "https://a/.default"), ("scope", "b")], 400, "invalid_request", 9_000_411),
    ];
    for (changed, status, error, code) in rows {
        let answer = world.post(&with(changed));
        assert_eq!(answer.refusal(), (*status, *error, *code), "{changed:?}");
    }
}

#[test]
fn every_refusal_of_an_assertion_has_its_status_error_and_code() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000_000));
    let stranger = certificate_key(app(), Seconds(7));
    world.register(&key);
    let header = json!({ "alg": "PS256", "x5t#S256": key.certificate().thumbprint() });
    let no_thumbprint = json!({ "alg": "PS256", "typ": "JWT" });
    let unknown = json!({ "alg": "PS256", "x5t#S256": stranger.certificate().thumbprint() });
    let jwt = forged(&header, &claims(&json!({})));
    let (message, _) = jwt.rsplit_once('.').unwrap();
    let rows = [
        ("x.y.z".to_owned(), (400, "invalid_request", 50_027)),
        (format!("{message}.AAAA"), (401, "invalid_client", 700_027)),
        (forged(&unknown, &claims(&json!({}))), (401, "invalid_client", 700_027)),
        (forged(&no_thumbprint, &claims(&json!({}))), (401, "invalid_client", 700_027)),
        (
            forged(&no_thumbprint, &claims(&json!({ "iss": "https://issuer", "sub": "pod" }))),
            (401, "invalid_client", 700_213),
        ),
        (forged(&header, &claims(&json!({ "sub": "me" }))), (401, "invalid_client", 700_021)),
        (
            forged(&header, &claims(&json!({ "iss": foreign().to_string() }))),
            (401, "invalid_client", 700_021),
        ),
        (
            forged(&header, &claims(&json!({ "aud": "https://elsewhere/token" }))),
            (401, "invalid_client", 700_023),
        ),
        (
            forged(&header, &claims(&json!({ "aud": audience().replace(TENANT, OTHER_TENANT) }))),
            (401, "invalid_client", 700_023),
        ),
        (
            forged(&header, &claims(&json!({ "exp": NOW.0 - 300 }))),
            (401, "invalid_client", 700_024),
        ),
        (
            forged(&header, &claims(&json!({ "nbf": NOW.0 + 301 }))),
            (401, "invalid_client", 700_024),
        ),
        (forged(&header, &json!({ "iss": "x", "sub": "x" })), (400, "invalid_request", 50_027)),
    ];
    for (jwt, expected) in rows {
        let answer = world.assert(&jwt);
        assert_eq!(answer.refusal(), expected, "{}", answer.body);
    }
    let untyped = with_assertion(app(), &jwt).into_iter();
    let untyped: Vec<_> = untyped.filter(|(name, _)| *name != "client_assertion_type").collect();
    assert_eq!(world.post(&untyped).refusal(), (400, "invalid_request", 900_144));
}

#[test]
fn no_spelling_lets_in_who_has_not_the_key() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000));
    let stranger = certificate_key(app(), Seconds(7));
    world.register(&key);
    let sha1 = BASE64_URL_SAFE.encode(key.certificate().sha1());
    let other = BASE64_URL_SAFE.encode(stranger.certificate().sha1());
    let x5c = [BASE64_STANDARD.encode(key.certificate().der())];
    let rows = [
        (json!({ "alg": "RS256", "kid": other }), 700_027),
        (json!({ "alg": "RS256", "kid": sha1.to_lowercase() }), 700_027),
        (json!({ "alg": "RS256", "kid": "whatever" }), 700_027),
        // A `kid` never replaces a thumbprint that does not match.
        (json!({ "alg": "RS256", "kid": sha1, "x5t": other }), 700_027),
        (json!({ "alg": "RS256", "kid": other, "x5c": x5c }), 700_027),
        (json!({ "alg": "RS256", "x5t": client::hex(&stranger.certificate().sha1()) }), 700_027),
        (json!({ "alg": "RS256", "x5t": sha1, "x5t#S256": other }), 700_027),
        (json!({ "alg": "none", "kid": sha1 }), 50_027),
        (json!({ "alg": "HS256", "kid": sha1 }), 50_027),
    ];
    for (header, code) in rows {
        let answer = world.assert(&forged(&header, &claims(&json!({}))));
        assert_eq!(answer.refusal().2, code, "{header}");
    }
    let jwt = forged(&json!({ "alg": "RS256", "kid": sha1 }), &claims(&json!({})));
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let other_claims = claims(&json!({ "jti": "2" })).to_string();
    let (header, _) = message.split_once('.').unwrap();
    for forged in [
        format!("{message}."),
        format!("{message}=.{signature}"),
        format!("{header}.{}.{signature}", BASE64_URL_SAFE.encode(other_claims)),
    ] {
        assert_eq!(world.assert(&forged).refusal().2, 700_027, "{forged}");
    }
    // The public key used as a shared secret.
    let public_key = key.certificate().rsa_public_key().unwrap();
    let secret = jsonwebtoken::EncodingKey::from_secret(public_key).unwrap();
    let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
    header.kid = Some(sha1);
    let jwt = jsonwebtoken::encode(&header, &claims(&json!({})), &secret).unwrap();
    assert_eq!(world.assert(&jwt).refusal().2, 50_027);
}

#[test]
fn a_token_of_another_issuer_is_one_whatever_its_kid_looks_like() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000));
    world.register(&key);
    let kid = BASE64_URL_SAFE_NO_PAD.encode(key.certificate().sha256());
    let claims = claims(&json!({ "iss": "https://issuer", "sub": "pod" }));
    let answer = world.assert(&forged(&json!({ "alg": "RS256", "kid": kid }), &claims));
    assert_eq!(answer.refusal(), (401, "invalid_client", 700_213));
}

#[test]
fn tenants_methods_and_bodies_that_are_no_use_are_refused() {
    let world = World::new();
    let at = |tenant: &str| {
        let refused = world.post_to(&format!("/{tenant}/oauth2/v2.0/token"), &with(&[]));
        refused.refusal().2
    };
    assert_eq!(["common", "Organizations", "CONSUMERS"].map(at), [50_059; 3]);
    assert_eq!([&TENANT.replace('7', "8"), "contoso.com", "-"].map(at), [90_002; 3]);
    let got = world.get(&format!("/{TENANT}/oauth2/token"));
    assert_eq!(got.refusal(), (405, "invalid_request", 900_561));
    assert_eq!(got.headers[ALLOW], "POST");
    let mut wrong = request(&format!("/{TENANT}/oauth2/token"), &with(&[]));
    wrong.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    assert_eq!(world.ask(&wrong).refusal(), (400, "invalid_request", 900_144));
    let (parts, _) = request(&format!("/{TENANT}/oauth2/token"), &[]).into_parts();
    let status = world.sts.answer(Scheme::Http, &parts, &Body::TooLarge).status();
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    let no_resource = world.post_to(&format!("/{TENANT}/oauth2/token"), &with(&[]));
    assert!(no_resource.body["error_description"].as_str().unwrap().contains("'resource'"));
}

#[test]
fn a_refusal_says_what_entra_says_and_repeats_no_secret() {
    let world = World::new();
    let id = "11111111-2222-4333-8444-555555555555";
    for (version, end) in [("oauth2", "\r\n"), ("oauth2/v2.0", " ")] {
        let mut asked = request(
            &format!("/{TENANT}/{version}/token"),
            &with(&[("client_secret", "not this one")]),
        );
        asked.headers_mut().insert("client-request-id", HeaderValue::from_static(id));
        asked.headers_mut().insert("return-client-request-id", HeaderValue::from_static("true"));
        if version == "oauth2" {
            asked.body_mut().extend(b"&resource=https://vault.azure.net");
        }
        let Answer { headers, body, .. } = world.ask(&asked);
        let trace = body["trace_id"].as_str().unwrap();
        let text = body["error_description"].as_str().unwrap();
        let tail = format!(
            "{end}Trace ID: {trace}{end}Correlation ID: {id}{end}Timestamp: 2027-01-15 08:00:00Z"
        );
        assert!(text.starts_with("AADSTS7000215: Invalid client secret provided."), "{text}");
        assert!(text.ends_with(&tail), "{text}");
        assert_eq!(body["timestamp"], "2027-01-15 08:00:00Z");
        assert_eq!(body["error_uri"], "https://login.microsoftonline.com/error?code=7000215");
        assert_eq!(
            (&headers["x-ms-request-id"], &headers["client-request-id"]),
            (&HeaderValue::from_str(trace).unwrap(), &HeaderValue::from_static(id))
        );
        assert!(!body.to_string().contains("not this one"));
    }
}

static WORLD: LazyLock<World> = LazyLock::new(World::new);

proptest! {
    #[test]
    fn no_form_and_no_assertion_makes_the_service_panic(
        name in "(client_id|client_secret|client_assertion|scope|grant_type|resource|x)",
        value in "\\PC{0,60}",
        header in "\\PC{0,40}",
        bytes: Vec<u8>,
    ) {
        let world = &*WORLD;
        let answer = world.post(&with(&[(&name, &value)]));
        prop_assert!(answer.status < 500);
        let jwt = forged(&json!({ "alg": "PS256", "x5t": header, "x5c": [header] }), &claims(&json!({ "iss": value })));
        prop_assert!(world.assert(&jwt).status < 500);
        let mut raw = request(&format!("/{TENANT}/oauth2/token"), &[]);
        *raw.body_mut() = bytes;
        if let Ok(basic) = HeaderValue::from_str(&format!("Basic {header}")) {
            raw.headers_mut().insert(AUTHORIZATION, basic);
        }
        prop_assert!(world.ask(&raw).status < 500);
    }
}

#[test]
fn an_audience_ends_with_one_slash_or_none() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(9_000));
    world.register(&key);
    let header = json!({ "alg": "PS256", "x5t#S256": key.certificate().thumbprint() });
    let ask = |audience: &str| world.assert(&forged(&header, &claims(&json!({ "aud": audience }))));
    for base in [
        audience(),
        format!("https://sts.windows.net/{TENANT}"),
        format!("http://sts.localhost:8170/{TENANT}"),
    ] {
        for slashes in ["", "/"] {
            assert_eq!(ask(&format!("{base}{slashes}")).status, 200, "{base}{slashes}");
        }
        for slashes in ["//", "///", "/ ", "%2F"] {
            let refusal = ask(&format!("{base}{slashes}"));
            assert_eq!(refusal.refusal(), (401, "invalid_client", 700_023), "{base}{slashes}");
        }
    }
}

#[test]
fn a_service_of_this_server_is_named_with_one_slash_or_none() {
    let world = World::new();
    let ask = |resource: &str| {
        let path = format!("/{TENANT}/oauth2/token");
        world.post_to(&path, &with(&[("scope", ""), ("resource", resource)])).status
    };
    assert_eq!(ask("https://127.0.0.1:8180"), 200);
    assert_eq!(ask("https://127.0.0.1:8180/"), 200);
    assert_eq!(ask("https://127.0.0.1:8180//"), 400);
}

#[test]
fn a_long_assertion_is_taken_unless_the_longest_time_is_set() {
    let century = Seconds(100 * 365 * 86_400);
    let ask = |longest: Option<Seconds>, left: u64, used: u64| {
        let world = World::with(Vec::new(), longest);
        let key = certificate_key(app(), century);
        world.register(&key);
        let header = json!({ "alg": "PS256", "x5t#S256": key.certificate().thumbprint() });
        let claims = claims(&json!({ "exp": NOW.0 + left }));
        world.clock.advance(Seconds(used));
        let answer = world.assert(&forged(&header, &claims));
        let why = answer.body["error_description"].as_str().unwrap_or_default().to_owned();
        (answer.status, why)
    };
    assert_eq!(ask(None, century.0, 0).0, 200);
    let ten_minutes = Some(Seconds(600));
    // Clocks may differ by five minutes.
    assert_eq!(ask(ten_minutes, 900, 0).0, 200);
    let (status, why) = ask(ten_minutes, 901, 0);
    assert!(status == 401 && why.starts_with("AADSTS700024"), "{status} {why}");
    assert!(why.contains("within 600 s"), "{why}");
    assert_eq!(ask(ten_minutes, century.0, 0).0, 401);
    // The remaining lifetime counts, not the whole lifetime.
    assert_eq!(ask(ten_minutes, 4_000, 3_500).0, 200);
}
