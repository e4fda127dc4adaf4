//! Keys of vaults, through the binary: roles for one key, signatures, and what outlives a crash.

use serde_json::Value;

use crate::control::Server;
use crate::vaults::{sent, uri};

const SCOPE: &str = "vault/demo-vault";

/// SHA-256 of `abc`, base64url (FIPS 180-2, appendix B.1).
const DIGEST: &str = "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0";

/// A caller of the vault: its token for each request.
struct Caller<'a> {
    server: &'a Server,
    address: &'a str,
}

impl Caller<'_> {
    /// Sends a request to the vault and returns the status and the body.
    fn ask(&self, line: &str, body: &str) -> (u16, Value) {
        let resource = ["--resource", "https://vault.azure.net"];
        let token = ["token", "--bare", "--vm-address", self.address];
        let token = self.server.prints(&[&token[..], &resource[..]].concat());
        let vault = self.server.json(&["vault", "show", "demo-vault"]);
        let headers =
            format!("Authorization: Bearer {}\r\nContent-Length: {}\r\n", token.trim(), body.len());
        let line = format!("{line}?api-version=7.6");
        let answer = sent(self.server.folder(), &uri(&vault), &line, &headers, body);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{answer}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap(), serde_json::from_str(body).unwrap_or_default())
    }
}

fn grant(server: &Server, principal: &str, role: &str, scope: &str) {
    server.prints(&["role", "assign", "--principal", principal, "--role", role, "--scope", scope]);
}

/// Returns a server with the key `own`, which the machine `v` may use, and the key `other`.
fn furnished() -> Server {
    let server = Server::start();
    server.prints(&["vm", "create", "v", "--group", "demo", "--address", "127.0.0.9"]);
    server.prints(&["vm", "assign", "v", "--system-assigned"]);
    grant(&server, "demo-vm", "Key Vault Crypto Officer", SCOPE);
    grant(&server, "v", "Key Vault Crypto User", &format!("{SCOPE}/keys/own"));
    let officer = Caller { server: &server, address: "127.0.0.1" };
    for name in ["own", "other"] {
        let (status, key) = officer.ask(&format!("POST /keys/{name}/create"), r#"{"kty":"EC"}"#);
        let members = key["key"].as_object().unwrap_or_else(|| panic!("{status} {key}"));
        let shown = ["kid", "key_ops", "kty", "crv", "x", "y"];
        assert!(members.keys().all(|member| shown.contains(&member.as_str())), "{key}");
    }
    server
}

fn code(answer: &Value) -> &str {
    answer["error"]["innererror"]["code"].as_str().unwrap_or_default()
}

#[test]
fn a_role_at_one_key_opens_that_key_alone() {
    let server = furnished();
    let user = Caller { server: &server, address: "127.0.0.9" };
    let body = format!(r#"{{"alg":"ES256","value":"{DIGEST}"}}"#);
    let (status, signed) = user.ask("POST /keys/own/sign", &body);
    assert_eq!(status, 200, "{signed}");
    let signature = signed["value"].as_str().unwrap();
    let body = format!(r#"{{"alg":"ES256","digest":"{DIGEST}","value":"{signature}"}}"#);
    let (status, verified) = user.ask("POST /keys/own/verify", &body);
    assert_eq!((status, &verified["value"]), (200, &true.into()));
    for line in ["POST /keys/other/sign", "GET /keys/other", "GET /keys", "DELETE /keys/own"] {
        let (status, refused) = user.ask(line, if line.starts_with("POST") { &body } else { "" });
        assert_eq!((status, code(&refused)), (403, "ForbiddenByRbac"), "{line}");
    }
    server.prints(&["role", "remove", "--principal", "v"]);
    let (status, refused) = user.ask("POST /keys/own/verify", &body);
    assert_eq!((status, code(&refused)), (403, "ForbiddenByRbac"));
}

#[test]
fn keys_and_deletions_outlive_a_crash() {
    let mut server = furnished();
    let officer = |server: &Server, line: &str, body: &str| {
        Caller { server, address: "127.0.0.1" }.ask(line, body)
    };
    let body = format!(r#"{{"alg":"ES256","value":"{DIGEST}"}}"#);
    let signed = officer(&server, "POST /keys/own/sign", &body).1;
    let (_, shown) = officer(&server, "GET /keys/own", "");
    assert_eq!(officer(&server, "DELETE /keys/other", "").0, 200);
    server.restart(&[]);
    let (status, again) = officer(&server, "GET /keys/own", "");
    let members = |shown: &Value| (shown["key"]["x"].clone(), shown["attributes"].clone());
    assert_eq!((status, members(&again)), (200, members(&shown)));
    let signature = signed["value"].as_str().unwrap();
    let body = format!(r#"{{"alg":"ES256","digest":"{DIGEST}","value":"{signature}"}}"#);
    let (_, verified) = officer(&server, "POST /keys/own/verify", &body);
    assert_eq!(verified["value"], true);
    assert_eq!(officer(&server, "GET /keys/other", "").0, 404);
    assert_eq!(officer(&server, "POST /deletedkeys/other/recover", "").0, 200);
    assert_eq!(officer(&server, "GET /keys/other", "").0, 200);
}
