//! The use of keys: signatures, encryption, and what keeps a key from being used.

use super::keys::{EC_JWK, RSA_JWK, import};
use super::*;

/// The digest, and the signature of RFC 7515, appendix A.2.
const RS256: [&str; 2] = [
    "yIo0hHtP-xKpMm5UDxRLPcxNVRXxhwHn1uDueGbJxwU",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
];

/// The digest, and the signature of RFC 7515, appendix A.3.
const ES256: [&str; 2] = [
    "IcZzaPQ2V39Ef4BRYsoTuA0Eaj_kZyR-ZepHeqdQ-i4",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
];

/// A world with the keys `rsa` and `ec` of RFC 7515.
fn furnished() -> World {
    let world = World::with_keys();
    for (name, members) in [("rsa", RSA_JWK), ("ec", EC_JWK)] {
        assert_eq!(import(&world, name, members).status, 200);
    }
    world
}

fn use_key(world: &World, key: &str, usage: &str, algorithm: &str, value: &str) -> Answer {
    let body = format!(r#"{{"alg":"{algorithm}","value":"{value}"}}"#);
    world.ask("POST", &format!("/keys/{key}/{usage}"), &body)
}

fn value_of(answer: &Answer) -> String {
    answer.json()["value"].as_str().unwrap_or_else(|| panic!("{}", answer.text)).to_owned()
}

fn verify(world: &World, key: &str, algorithm: &str, digest: &str, signature: &str) -> Answer {
    let body = format!(r#"{{"alg":"{algorithm}","digest":"{digest}","value":"{signature}"}}"#);
    world.ask("POST", &format!("/keys/{key}/verify"), &body)
}

#[test]
fn signatures_are_those_of_the_standard() {
    let world = furnished();
    let [digest, signature] = RS256;
    let signed = use_key(&world, "rsa", "sign", "RS256", digest);
    assert_eq!(value_of(&signed), signature);
    let kid = world.get("/keys/rsa").json()["key"]["kid"].clone();
    assert_eq!(signed.json()["kid"], kid);
    for (key, algorithm, [digest, signature]) in [("rsa", "RS256", RS256), ("ec", "ES256", ES256)] {
        let answer = verify(&world, key, algorithm, digest, signature);
        assert_eq!((answer.status, &*answer.text), (200, r#"{"value":true}"#), "{algorithm}");
    }
}

#[test]
fn every_algorithm_verifies_what_it_signs_and_nothing_else() {
    let world = furnished();
    for curve in ["P-256K", "P-384", "P-521"] {
        world.create(curve, &format!(r#"{{"kty":"EC","crv":"{curve}"}}"#));
    }
    for (key, algorithm, bytes) in [
        ("rsa", "RS256", 32),
        ("rsa", "RS384", 48),
        ("rsa", "RS512", 64),
        ("rsa", "PS256", 32),
        ("rsa", "PS384", 48),
        ("rsa", "PS512", 64),
        ("ec", "ES256", 32),
        ("P-256K", "ES256K", 32),
        ("P-384", "ES384", 48),
        ("P-521", "ES512", 64),
    ] {
        let [digest, other] = [1, 2].map(|byte| BASE64_URL_SAFE_NO_PAD.encode(vec![byte; bytes]));
        let signature = value_of(&use_key(&world, key, "sign", algorithm, &digest));
        let verified = |digest: &str, signature: &str| {
            verify(&world, key, algorithm, digest, signature).json()["value"].as_bool()
        };
        assert_eq!(verified(&digest, &signature), Some(true), "{algorithm}");
        assert_eq!(verified(&other, &signature), Some(false), "{algorithm}");
        assert_eq!(verified(&digest, &signature[4..]), Some(false), "{algorithm}");
    }
}

#[test]
fn what_is_encrypted_or_wrapped_is_decrypted_and_unwrapped_by_the_same_key_and_algorithm() {
    let world = furnished();
    for algorithm in ["RSA-OAEP", "RSA-OAEP-256"] {
        for (there, back) in [("encrypt", "decrypt"), ("wrapkey", "unwrapkey")] {
            let sealed = value_of(&use_key(&world, "rsa", there, algorithm, "aHVudGVyMg"));
            assert_eq!(sealed.len(), 342, "256 bytes");
            assert_ne!(value_of(&use_key(&world, "rsa", there, algorithm, "aHVudGVyMg")), sealed);
            let opened = use_key(&world, "rsa", back, algorithm, &sealed);
            assert_eq!(value_of(&opened), "aHVudGVyMg");
            let other = if algorithm == "RSA-OAEP" { "RSA-OAEP-256" } else { "RSA-OAEP" };
            for (algorithm, sealed) in [
                (other, sealed.clone()),
                (algorithm, sealed[4..].to_owned()),
                (algorithm, String::new()),
            ] {
                let refused = use_key(&world, "rsa", back, algorithm, &sealed);
                let code = refused.codes().0;
                assert_eq!((refused.status, &*code), (400, "BadParameter"), "{algorithm}");
            }
        }
    }
    let long = BASE64_URL_SAFE_NO_PAD.encode([1; 215]);
    let refused = use_key(&world, "rsa", "encrypt", "RSA-OAEP", &long);
    assert_eq!(refused.status, 400);
    assert!(refused.message().contains("214 bytes"), "{}", refused.message());
}

#[test]
fn a_key_is_used_with_the_algorithms_of_its_type_and_with_values_of_their_length() {
    let world = furnished();
    let [digest, _] = ES256;
    let id = |key: &str| world.get(&format!("/keys/{key}")).json()["key"]["kid"].clone();
    for (key, usage, algorithm, value, message) in [
        (
            "ec",
            "sign",
            "RS256",
            digest,
            "Key and algorithm are incompatible. Key ID is of type 'EC', and algorithm 'RS256' can only be used with a key of type 'RSA'.",
        ),
        (
            "ec",
            "sign",
            "ES384",
            digest,
            "Key and signing algorithm are incompatible. Key ID uses curve 'P-256', and algorithm 'ES384' can only be used with curve 'P-384'.",
        ),
        (
            "ec",
            "sign",
            "ES256",
            "AQ",
            "Invalid length of 'value': 1 bytes. ES256 requires 32 bytes, encoded with base64url.",
        ),
        (
            "rsa",
            "sign",
            "none",
            digest,
            "The property alg is missing or not supported; use one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES256K, ES384 and ES512.",
        ),
        (
            "rsa",
            "decrypt",
            "RSA1_5",
            digest,
            "The property alg is missing or not supported; use one of RSA-OAEP and RSA-OAEP-256.",
        ),
        ("rsa", "encrypt", "RSA-OAEP", "+", "The property value is missing or not base64url."),
    ] {
        let refused = use_key(&world, key, usage, algorithm, value);
        let message = message.replace("ID", id(key).as_str().unwrap());
        assert_eq!((refused.status, refused.message()), (400, message));
        assert_eq!(refused.codes(), ("BadParameter".to_owned(), None));
    }
}

#[test]
fn a_key_does_only_what_its_operations_permit_and_nothing_while_it_is_disabled() {
    let world = furnished();
    let [digest, signature] = RS256;
    world.ask("PATCH", "/keys/rsa", r#"{"key_ops":["verify"]}"#);
    assert_eq!(verify(&world, "rsa", "RS256", digest, signature).status, 200);
    let refused = use_key(&world, "rsa", "sign", "RS256", digest);
    assert_eq!(
        (refused.status, &*refused.text),
        (
            403,
            r#"{"error":{"code":"Forbidden","message":"Operation sign is not permitted on this key.","innererror":{"code":"KeyOperationForbidden"}}}"#
        )
    );
    let wrap = use_key(&world, "ec", "wrapkey", "RSA-OAEP", digest);
    assert_eq!(wrap.message(), "Operation wrapKey is not permitted on this key.");
    world.ask("PATCH", "/keys/rsa", r#"{"attributes":{"enabled":false}}"#);
    let refused = verify(&world, "rsa", "RS256", digest, signature);
    assert_eq!(refused.message(), "Operation verify is not allowed on a disabled key.");
    assert_eq!(refused.codes().1, Some("KeyDisabled".to_owned()));
}

#[test]
fn outside_of_its_dates_a_key_only_decrypts_unwraps_and_verifies() {
    let world = furnished();
    let [digest, signature] = RS256;
    let sealed = value_of(&use_key(&world, "rsa", "encrypt", "RSA-OAEP", "AQ"));
    let now = NOW.0;
    for (attributes, code) in [
        (format!(r#""nbf":{}"#, now + 100), "KeyNotYetValid"),
        (format!(r#""nbf":1,"exp":{now}"#), "KeyExpired"),
    ] {
        world.ask("PATCH", "/keys/rsa", &format!(r#"{{"attributes":{{{attributes}}}}}"#));
        for usage in ["sign", "encrypt", "wrapkey"] {
            let algorithm = if usage == "sign" { "RS256" } else { "RSA-OAEP" };
            let refused = use_key(&world, "rsa", usage, algorithm, digest);
            let codes = ("Forbidden".to_owned(), Some(code.to_owned()));
            assert_eq!((refused.status, refused.codes()), (403, codes), "{usage}");
        }
        for usage in ["decrypt", "unwrapkey"] {
            assert_eq!(value_of(&use_key(&world, "rsa", usage, "RSA-OAEP", &sealed)), "AQ");
        }
        assert_eq!(verify(&world, "rsa", "RS256", digest, signature).status, 200);
    }
}

#[test]
fn an_older_version_is_used_by_its_id() {
    let world = furnished();
    let [digest, signature] = RS256;
    let kid = world.get("/keys/rsa").json()["key"]["kid"].as_str().unwrap().to_owned();
    let path = kid.strip_prefix(BASE_URL).unwrap();
    world.create("rsa", r#"{"kty":"EC"}"#);
    let body = format!(r#"{{"alg":"RS256","value":"{digest}"}}"#);
    assert_eq!(value_of(&world.ask("POST", &format!("{path}/sign"), &body)), signature);
    // Some clients write two slashes for the latest version.
    assert_eq!(world.ask("POST", "/keys/rsa//sign", &body).status, 400, "it is an EC key now");
    let gone = world.ask("POST", &format!("/keys/rsa/{}/sign", "0".repeat(32)), &body);
    assert_eq!((gone.status, gone.codes().0.as_str()), (404, "KeyNotFound"));
}
