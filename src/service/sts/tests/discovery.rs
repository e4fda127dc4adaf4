use super::*;

#[test]
fn keys_and_documents_are_published_for_every_tenant_of_the_world() {
    let world = World::new();
    for path in [
        ".well-known/openid-configuration",
        "v2.0/.well-known/openid-configuration",
        "discovery/keys",
        "discovery/v2.0/keys",
    ] {
        assert_eq!(world.get(&format!("/{TENANT}/{path}")).status, 200);
        let unknown = world.get(&format!("/00000000-0000-0000-0000-000000000000/{path}"));
        assert_eq!(unknown.refusal(), (400, "invalid_tenant", 90_002));
        let posted = world.post_to(&format!("/{TENANT}/{path}"), &[]);
        assert_eq!(posted.refusal(), (405, "invalid_request", 900_561));
    }
    assert_eq!(world.get(&format!("/{TENANT}/oauth2/unknown")).status, 404);
    let keys = |path: &str| world.get(path).body["keys"][0].clone();
    assert_eq!(keys("/common/discovery/keys").get("issuer"), None);
    let issuer = "https://login.microsoftonline.com/{tenantid}/v2.0";
    assert_eq!(keys("/common/discovery/v2.0/keys")["issuer"], issuer);
    let issuer = format!("https://login.microsoftonline.com/{TENANT}/v2.0");
    assert_eq!(keys(&format!("/{TENANT}/discovery/v2.0/keys"))["issuer"], issuer);
}

#[test]
fn documents_for_several_tenants_have_a_placeholder_for_the_tenant() {
    let world = World::new();
    let personal = "9188040d-6c67-4c5b-b112-36a304b66dad";
    for (realm, tenant) in [
        ("common", "{tenantid}"),
        ("Common", "{tenantid}"),
        ("organizations", "{tenantid}"),
        ("consumers", personal),
    ] {
        let own = format!("http://sts.localhost:8170/{}", realm.to_lowercase());
        let v1 = world.get(&format!("/{realm}/.well-known/openid-configuration")).body;
        assert_eq!(v1["issuer"], format!("https://sts.windows.net/{tenant}/"));
        assert_eq!(v1["token_endpoint"], format!("{own}/oauth2/token"));
        assert_eq!(v1["jwks_uri"], format!("{own}/discovery/keys"));
        let v2 = world.get(&format!("/{realm}/v2.0/.well-known/openid-configuration")).body;
        let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
        assert_eq!(v2["issuer"], issuer);
        assert_eq!(v2["token_endpoint"], format!("{own}/oauth2/v2.0/token"));
        let keys = v2["jwks_uri"].as_str().unwrap().replace("http://sts.localhost:8170", "");
        assert_eq!(world.get(&keys).body["keys"][0]["issuer"], issuer);
    }
}

#[test]
fn a_slash_too_many_at_either_end_of_a_path_is_ignored() {
    let world = World::new();
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    for path in [format!("{path}/"), format!("/{path}")] {
        assert_eq!(world.post_to(&path, &with(&[])).status, 200, "{path}");
    }
    for path in ["discovery/keys", "v2.0/.well-known/openid-configuration"] {
        assert_eq!(world.get(&format!("//{TENANT}/{path}/")).status, 200, "{path}");
    }
    for path in [format!("{path}//"), format!("/{TENANT}//oauth2/v2.0/token")] {
        assert_eq!(world.post_to(&path, &with(&[])).status, 404, "{path}");
    }
}

#[test]
fn documents_name_the_listener_as_their_reader_does() {
    let world = World::new();
    let own = format!("http://sts.localhost:8170/{TENANT}");
    let v1 = world.get(&format!("/{TENANT}/.well-known/openid-configuration")).body;
    assert_eq!(v1["issuer"], format!("https://sts.windows.net/{TENANT}/"));
    assert_eq!(v1["jwks_uri"], format!("{own}/discovery/keys"));
    assert_eq!(v1["token_endpoint"], format!("{own}/oauth2/token"));
    let v2 = world.get(&format!("/{TENANT}/v2.0/.well-known/openid-configuration")).body;
    assert_eq!(v2["token_endpoint"], format!("{own}/oauth2/v2.0/token"));
    assert_eq!(v2["authorization_endpoint"], format!("{own}/oauth2/v2.0/authorize"));
    let methods = ["client_secret_post", "private_key_jwt", "client_secret_basic"];
    assert_eq!(v2["token_endpoint_auth_methods_supported"], json!(methods));
}

#[test]
fn instance_discovery_vouches_for_the_host_that_was_asked_for() {
    let world = World::new();
    let ask = |host: &str| {
        let endpoint = format!("https%3A%2F%2F{host}%2F{TENANT}%2Foauth2%2Fv2.0%2Fauthorize");
        let query = format!("api-version=1.1&authorization_endpoint={endpoint}");
        world.get(&format!("/common/discovery/instance?{query}"))
    };
    let own = ask("sts.localhost%3A8170").body;
    let discovery =
        format!("http://sts.localhost:8170/{TENANT}/v2.0/.well-known/openid-configuration");
    assert_eq!(own["tenant_discovery_endpoint"], discovery);
    assert_eq!(own["api-version"], "1.1");
    assert_eq!(own["metadata"][0]["aliases"], json!(["sts.localhost:8170"]));
    let public = ask("login.microsoftonline.com").body;
    assert_eq!(public["metadata"][0]["preferred_network"], "login.microsoftonline.com");
    assert_eq!(public["metadata"][0]["aliases"].as_array().unwrap().len(), 4);
    assert_eq!(world.get("/common/discovery/instance").refusal().2, 900_144);
    let bad = world.get("/common/discovery/instance?authorization_endpoint=nowhere");
    assert_eq!(bad.refusal(), (400, "invalid_instance", 50_049));
}

fn base_url(scheme: Scheme, uri: &str, hosts: &[&str]) -> String {
    let mut request = Request::get(uri).body(()).unwrap();
    for host in hosts {
        request.headers_mut().append(HOST, HeaderValue::from_str(host).unwrap());
    }
    World::new().sts.base_url(scheme, &request.into_parts().0)
}

#[test]
fn the_base_url_is_that_of_the_request() {
    let url = base_url(Scheme::Https, "/", &["sts.localhost:8443"]);
    assert_eq!(url, "https://sts.localhost:8443");
    assert_eq!(base_url(Scheme::Http, "/", &["STS.localhost"]), "http://STS.localhost");
    let absolute = base_url(Scheme::Http, "http://sts.localhost/x", &["sts.localhost"]);
    assert_eq!(absolute, "http://sts.localhost");
}

#[test]
fn a_host_that_makes_no_sense_gives_way_to_the_listeners_own() {
    let long = "a".repeat(300);
    for hosts in [
        &[][..],
        &["a", "b"],
        &["me@host"],
        &["a/b"],
        &[""],
        &["a b"],
        &["other.example"],
        &[&long],
    ] {
        assert_eq!(base_url(Scheme::Https, "/", hosts), "https://127.0.0.1:1", "{hosts:?}");
    }
}
