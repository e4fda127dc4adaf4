use super::*;
use crate::base::clock::UnixSeconds;
use crate::base::x509;
use crate::service::token::{CertificateIssuer, CertificateRequest, KeyError, certify_client};

#[test]
fn version_1_answers_in_strings_and_version_2_in_numbers() {
    let world = World::new();
    let v2 = world.post(&with(&[]));
    let fields = |body: &Value| body.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(fields(&v2.body), ["access_token", "expires_in", "ext_expires_in", "token_type"]);
    assert_eq!((v2.status, &v2.body["expires_in"]), (200, &json!(3_599)));
    assert_eq!(v2.headers[CACHE_CONTROL], "no-store, no-cache");
    assert_eq!(
        (&v2.headers[PRAGMA], &v2.headers[X_CONTENT_TYPE_OPTIONS]),
        (&HeaderValue::from_static("no-cache"), &HeaderValue::from_static("nosniff"))
    );
    assert!(v2.headers["p3p"].to_str().unwrap().starts_with("CP="));
    assert!(!v2.headers.contains_key("client-request-id"));
    let slashed = [("scope", ""), ("resource", "https://vault.azure.net/")];
    let v1 = world.post_to(&format!("/{TENANT}/oauth2/token"), &with(&slashed));
    assert_eq!(v1.claims()["aud"], "https://vault.azure.net/");
    let mut body = v1.body.clone();
    body["access_token"] = "".into();
    assert_eq!(
        body,
        json!({
            "token_type": "Bearer", "expires_in": "3599", "ext_expires_in": "3599",
            "expires_on": (NOW.0 + 3_600).to_string(), "not_before": (NOW.0 - 300).to_string(),
            "resource": "https://vault.azure.net/", "access_token": "",
        })
    );
}

#[test]
fn an_application_gets_a_token_for_its_secret_however_it_shows_it() {
    let world = World::new();
    let posted = world.post(&with(&[]));
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pair = BASE64_STANDARD.encode(format!("{}:{}", app(), encode(SECRET)));
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let mut basic = request(&path, &with(&[("client_secret", ""), ("client_id", "")]));
    let header = HeaderValue::from_str(&format!("Basic {pair}")).unwrap();
    basic.headers_mut().insert(AUTHORIZATION, header);
    for answer in [posted, world.ask(&basic)] {
        let claims = answer.claims();
        assert_eq!(claims["appid"], app().to_string());
        assert_eq!((&claims["appidacr"], &claims["aud"]), (&json!("1"), &json!(VAULT)));
        assert_eq!(claims.get("xms_mirid"), None);
        let jwt = answer.body["access_token"].as_str().unwrap();
        let bearer = Verifier::new(world.directory.ring()).verify(jwt, NOW).unwrap();
        assert_eq!((bearer.client_id, bearer.tenant_id.to_string()), (app(), TENANT.to_owned()));
    }
    for (posted, status) in [(app(), 200), (foreign(), 400)] {
        let id = posted.to_string();
        let mut named = request(&path, &with(&[("client_secret", ""), ("client_id", &id)]));
        named.headers_mut().insert(AUTHORIZATION, basic.headers()[AUTHORIZATION].clone());
        assert_eq!(world.ask(&named).status, status, "{id}");
    }
    let two = with(&[]);
    let mut both = request(&path, &two);
    both.headers_mut().insert(AUTHORIZATION, basic.headers()[AUTHORIZATION].clone());
    assert_eq!(world.ask(&both).refusal().2, 9_002_313);
}

#[test]
fn the_scopes_of_openid_connect_beside_a_resource_change_nothing() {
    let world = World::new();
    for scope in [
        "https://vault.azure.net/.default openid offline_access profile",
        "openid offline_access profile https://vault.azure.net/.default",
    ] {
        assert_eq!(world.post(&with(&[("scope", scope)])).claims()["aud"], VAULT, "{scope}");
    }
    let v1 = [("resource", VAULT), ("scope", "openid offline_access profile")];
    let v1 = world.post_to(&format!("/{TENANT}/oauth2/token"), &with(&v1));
    assert_eq!(v1.claims()["aud"], VAULT);
}

#[test]
fn the_url_of_a_service_of_this_server_stands_for_its_audience() {
    let world = World::new();
    for (resource, audience) in [
        ("https://127.0.0.1:8180", ARM),
        ("https://STS.localhost:8180/", ARM),
        ("https://[::1]:8180", ARM),
        ("https://vault.localhost", VAULT),
    ] {
        let answer = world.post(&with(&[("scope", &format!("{resource}/.default"))]));
        assert_eq!(answer.claims()["aud"], audience, "{resource}");
    }
    for resource in [
        "http://127.0.0.1:8180",
        "https://127.0.0.1:8181",
        "https://elsewhere:8180",
        "https://me@127.0.0.1:8180",
        "https://127.0.0.1:8180/path",
        "https://demo.vault.localhost",
    ] {
        let answer = world.post(&with(&[("scope", &format!("{resource}/.default"))]));
        assert_eq!(answer.refusal().2, 500_011, "{resource}");
    }
}

#[test]
fn an_application_gets_a_token_for_its_certificate_in_every_form() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000));
    world.register(&key);
    let sha1 = BASE64_URL_SAFE_NO_PAD.encode(key.certificate().sha1());
    let sha256 = key.certificate().thumbprint();
    let mut jwts = vec![
        signed(&key, app(), AssertionForm::Ps256),
        signed(&key, app(), AssertionForm::Rs256),
        signed(&key, app(), AssertionForm::Ps256WithCertificate),
    ];
    for header in [
        json!({ "alg": "RS256", "x5t#S256": sha256 }),
        json!({ "alg": "PS256", "x5t": sha1 }),
        json!({ "alg": "RS256", "x5t": format!("{sha1}="), "kid": "whatever" }),
    ] {
        jwts.push(forged(&header, &claims(&json!({}))));
    }
    // MSAL for Python sends fractions and no `nbf`.
    let now = NOW.0;
    let fractions = format!(
        r#"{{"aud":"{}","iss":"{}","sub":"{}","exp":{}.25,"iat":{now}.25,"jti":"j"}}"#,
        audience(),
        app(),
        app(),
        now + 600
    );
    let fractions = serde_json::from_str(&fractions).unwrap();
    jwts.push(forged(&json!({ "alg": "PS256", "x5t#S256": format!("{sha256}=") }), &fractions));
    for jwt in jwts {
        let claims = world.assert(&jwt).claims();
        assert_eq!((&claims["appidacr"], &claims["oid"]), (&json!("2"), &json!(app().to_string())));
        // The service does not remember a `jti`: the same assertion works again.
        assert_eq!(world.assert(&jwt).status, 200);
    }
}

#[test]
fn an_assertion_may_name_its_certificate_as_released_clients_spell_it() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000));
    world.register(&key);
    let (sha1, sha256) = (key.certificate().sha1(), key.certificate().sha256());
    let x5c = [BASE64_STANDARD.encode(key.certificate().der())];
    for header in [
        // MSAL for Go and Java.
        json!({ "alg": "PS256", "x5t#S256": BASE64_STANDARD.encode(&sha256), "x5c": x5c }),
        json!({ "alg": "RS256", "x5t": BASE64_STANDARD.encode(&sha1) }),
        json!({ "alg": "RS256", "x5t": client::hex(&sha1) }),
        json!({ "alg": "PS256", "x5t#S256": client::hex(&sha256).to_lowercase() }),
        // hashicorp/go-azure-sdk, and older clients.
        json!({ "alg": "RS256", "kid": BASE64_URL_SAFE.encode(&sha1) }),
        json!({ "alg": "RS256", "kid": client::hex(&sha1), "x5c": x5c }),
        json!({ "alg": "PS256", "kid": BASE64_URL_SAFE_NO_PAD.encode(&sha256) }),
    ] {
        let jwt = forged(&header, &claims(&json!({})));
        assert_eq!(world.assert(&jwt).status, 200, "{header}");
    }
}

#[test]
fn the_parts_of_an_assertion_may_be_padded() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000));
    world.register(&key);
    let x5t = BASE64_URL_SAFE.encode(key.certificate().sha256());
    // With these fillers, some parts end in one `=`, some in two and some in none.
    for filler in ["", "1", "12"] {
        let header = json!({ "alg": "PS256", "x5t#S256": x5t, "typ": filler });
        let jwt = encoded(&BASE64_URL_SAFE, &header, &claims(&json!({ "jti": filler })));
        assert_eq!(world.assert(&jwt).status, 200, "{jwt}");
    }
}

#[test]
fn an_assertion_may_name_the_endpoint_in_every_way_that_leads_here() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(1_000));
    world.register(&key);
    let header = json!({ "alg": "PS256", "x5t#S256": key.certificate().thumbprint() });
    for audience in [
        json!(format!("http://sts.localhost:8170/{TENANT}/oauth2/token")),
        json!(format!("https://sts.localhost:8170/{TENANT}/oauth2/v2.0/token")),
        json!(format!("https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/token")),
        json!(format!("http://sts.localhost:8170/{TENANT}/oauth2/v2.0/token/")),
        json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0")),
        json!(format!("https://sts.windows.net/{TENANT}/")),
        json!(["https://elsewhere", format!("https://STS.localhost:8170/{TENANT}/")]),
    ] {
        let jwt = forged(&header, &claims(&json!({ "aud": audience })));
        assert_eq!(world.assert(&jwt).status, 200, "{audience}");
    }
}

#[test]
fn a_managed_identity_gets_its_own_kind_of_token() {
    let world = World::new();
    let (client_id, principal_id) = identity();
    let key = world.directory.certificate_of(principal_id, NOW).unwrap();
    let jwt = signed(&key, client_id, AssertionForm::Ps256);
    let answer = world.post(&with_assertion(client_id, &jwt));
    let claims = answer.claims();
    let mirid = claims["xms_mirid"].as_str().unwrap();
    assert!(mirid.ends_with("/userAssignedIdentities/demo-app"), "{mirid}");
    assert_eq!(
        (&claims["exp"], &answer.body["expires_in"]),
        (&json!(NOW.0 + 86_400), &json!(86_399))
    );
    let with_secret = with(&[("client_id", "c11e0000-0000-4000-8000-00000000000a")]);
    assert_eq!(world.post(&with_secret).refusal().2, 7_000_215);
}

#[test]
fn old_and_new_certificate_count_while_an_identity_rolls() {
    let world = World::new();
    let (client_id, principal_id) = identity();
    let works = |key: &CertificateKey| {
        let jwt = signed(key, client_id, AssertionForm::Ps256);
        world.post(&with_assertion(client_id, &jwt)).status == 200
    };
    let old = world.directory.certificate_of(principal_id, NOW).unwrap();
    world.directory.roll(principal_id, NOW).unwrap();
    let new = world.directory.certificate_of(principal_id, NOW).unwrap();
    assert!(old.certificate() != new.certificate() && works(&old) && works(&new));
}

#[test]
fn a_certificate_counts_in_its_time_only_and_says_why_not() {
    let world = World::new();
    let key = certificate_key(app(), Seconds(60));
    world.register(&key);
    world.register(&certificate_key(app(), Seconds(1_000)));
    let jwt = signed(&key, app(), AssertionForm::Ps256);
    assert_eq!(world.assert(&jwt).status, 200);
    world.clock.advance(Seconds(60));
    assert_eq!(world.assert(&jwt).status, 200, "its last second counts");
    world.clock.advance(Seconds(1));
    let expired = world.assert(&jwt);
    assert_eq!(expired.refusal().2, 700_027);
    let text = expired.body["error_description"].as_str().unwrap();
    let hex = client::hex(&key.certificate().sha256());
    assert!(text.contains("Reason - The key used is expired.") && text.contains(&hex), "{text}");
}

#[derive(Debug)]
struct Authority(rcgen::Issuer<'static, rcgen::KeyPair>);

impl CertificateIssuer for Authority {
    fn certify(&self, request: &CertificateRequest<'_>) -> Result<Vec<u8>, KeyError> {
        let CertificateRequest { client_id, key, not_before, not_after } = request;
        let mut params = x509::tests::params(&client_id.to_string(), rcgen::IsCa::NoCa);
        let at = |time: UnixSeconds| {
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(time.0)
        };
        (params.not_before, params.not_after) = (at(*not_before), at(*not_after));
        Ok(params.signed_by(*key, &self.0).unwrap().der().to_vec())
    }
}

#[test]
fn a_certificate_of_a_trusted_authority_needs_no_registration() {
    let (trusted, authority) = x509::tests::authority("own", x509::tests::CA);
    let issuer = Authority(authority);
    let issue = |client_id| {
        let life = (NOW, NOW + Seconds(60));
        let der = certify_client(&issuer, &PRIVATE_KEY, client_id, life.0, life.1).unwrap();
        CertificateKey::new(&der, &PRIVATE_KEY).unwrap()
    };
    let (client_id, _) = identity();
    let own = signed(&issue(client_id), client_id, AssertionForm::Ps256WithCertificate);
    let others = signed(&issue(foreign()), client_id, AssertionForm::Ps256WithCertificate);
    let self_signed = certificate_key(client_id, Seconds(60));
    let self_signed = signed(&self_signed, client_id, AssertionForm::Ps256WithCertificate);
    let ask = |world: &World, jwt: &str| world.post(&with_assertion(client_id, jwt));
    let world = World::trusting(vec![trusted]);
    assert_eq!(ask(&world, &own).claims()["appidacr"], "2");
    assert_eq!(ask(&world, &others).refusal().2, 700_027);
    assert_eq!(ask(&world, &self_signed).refusal().2, 700_027);
    assert_eq!(ask(&World::new(), &own).refusal().2, 700_027);
    // The authority vouches for managed identities only, not for applications such as the operator.
    let application = signed(&issue(app()), app(), AssertionForm::Ps256WithCertificate);
    assert_eq!(world.assert(&application).refusal().2, 700_027);
    world.clock.advance(Seconds(61));
    let expired = ask(&world, &own).body["error_description"].to_string();
    assert!(expired.contains("expired"), "{expired}");
}

#[test]
fn a_certificate_that_an_assertion_brings_may_be_broken_into_lines() {
    let (trusted, authority) = x509::tests::authority("own", x509::tests::CA);
    let world = World::trusting(vec![trusted]);
    let (client_id, _) = identity();
    let life = (NOW, NOW + Seconds(60));
    let issuer = Authority(authority);
    let der = certify_client(&issuer, &PRIVATE_KEY, client_id, life.0, life.1).unwrap();
    let text = BASE64_STANDARD.encode(der);
    let (first, rest) = text.split_at(64);
    let header = json!({ "alg": "PS256", "x5c": [format!("\n{first}\r\n{rest}\n")] });
    let client = client_id.to_string();
    let jwt = forged(&header, &claims(&json!({ "iss": client, "sub": client })));
    assert_eq!(world.post(&with_assertion(client_id, &jwt)).claims()["appidacr"], "2");
}

#[test]
fn an_assertion_that_was_meant_for_another_service_is_refused_whatever_the_host_header_says() {
    let world = World::new();
    let (client_id, principal_id) = identity();
    let key = world.directory.certificate_of(principal_id, NOW).unwrap();
    let audience = &audience().replace("sts.localhost:8170", "evil.example");
    let client = &client_id.to_string();
    let meant = ClientAssertion { client_id: client, audience, issued_at: NOW, id: [1; 16] };
    let jwt = meant.sign(&key, AssertionForm::Ps256).unwrap();
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    let mut request = request(&path, &with_assertion(client_id, &jwt));
    request.headers_mut().insert(HOST, HeaderValue::from_static("evil.example"));
    assert_eq!(world.ask(&request).status, 401);
}

#[test]
fn a_removed_client_gets_no_token() {
    let world = World::new();
    let key = crate::service::world::record::Key::Application(app());
    let changes = vec![Change::Remove(key)];
    world.directory.write(NOW, |_, _| Ok::<_, DirectoryError>((changes, ()))).unwrap();
    assert_eq!(world.post(&with(&[])).refusal(), (400, "unauthorized_client", 700_016));
}

#[test]
fn a_secret_that_is_registered_twice_is_still_the_secret() {
    let world = World::new();
    let mut application = application(app(), TENANT);
    application.secret_digests = vec![Redacted::new(SECRET.as_bytes().to_vec()).digest(); 2];
    let change = Change::Put(Record::Application(application));
    world.directory.write(NOW, |_, _| Ok::<_, DirectoryError>((vec![change], ()))).unwrap();
    assert_eq!(world.post(&with(&[])).status, 200);
    assert_eq!(world.post(&with(&[("client_secret", "another")])).status, 401);
}
