//! A third party with a JWT library and the published keys can verify every token.

use std::collections::HashMap;

use jsonwebtoken::jwk::JwkSet;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::Value;

use crate::broker::Broker;

const RESOURCE: &str = "https://vault.azure.net";
const TENANT: &str = "72f988bf-0000-4000-8000-000000000001";

#[test]
fn tokens_of_every_algorithm_verify_with_the_published_keys() {
    for (name, algorithm) in
        [("RS256", Algorithm::RS256), ("ES256", Algorithm::ES256), ("EdDSA", Algorithm::EdDSA)]
    {
        let claims = verify(&Broker::serve(&["--alg", name]), algorithm);
        assert_eq!(claims["oid"], "0b1ec700-0000-4000-8000-000000000001", "{name}");
        assert_eq!(claims["iss"], format!("https://sts.windows.net/{TENANT}/"));
    }
}

fn verify(broker: &Broker, algorithm: Algorithm) -> HashMap<String, Value> {
    let (mut sts, host) = (broker.connect("sts"), broker.address("sts"));
    let path = format!("/{TENANT}/v2.0/.well-known/openid-configuration");
    sts.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    let discovery = sts.read().unwrap().json();
    let keys_url = discovery["jwks_uri"].as_str().unwrap();
    let path = keys_url.strip_prefix(&format!("http://{host}")).unwrap();
    let keys: JwkSet = serde_json::from_str(&broker.connect("sts").get(path).text()).unwrap();
    let body = broker.token(&format!("resource={RESOURCE}")).json();
    let token = body["access_token"].as_str().unwrap();
    let kid = jsonwebtoken::decode_header(token).unwrap().kid.unwrap();
    let key = DecodingKey::from_jwk(keys.find(&kid).unwrap()).unwrap();
    let mut validation = Validation::new(algorithm);
    validation.set_audience(&[RESOURCE]);
    jsonwebtoken::decode(token, &key, &validation).unwrap().claims
}
