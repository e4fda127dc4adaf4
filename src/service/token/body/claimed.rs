//! Claims of a token of another token service. Clients need not look into a token, but the broker hands it to many of
//! them: a wrong one must not reach the cache.

use serde_json::{Map, Value};

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::ClientId;
use crate::service::token::assertion::{unverified_claims, whole};

/// Greatest tolerated lead of the token service's clock.
const LEEWAY: Seconds = Seconds(300);

/// Names of the client's claim: in RFC 9068 section 2.2, and in tokens of Entra of version 1.0 and 2.0.
const CLIENT: [&str; 3] = ["client_id", "appid", "azp"];

/// Claims of a token, as far as it has them. Each is judged alone: one of another type says nothing.
#[derive(Debug, Default)]
pub(super) struct Claimed(Map<String, Value>);

impl Claimed {
    /// Reads the claims of a JWT, without a check of its signature. Other tokens say nothing.
    pub(super) fn by(token: &str) -> Self {
        Self(unverified_claims(token).unwrap_or_default())
    }

    /// Returns true if nothing says that the token is another client's, is for another resource, or is not valid at
    /// `now`.
    pub(super) fn fits(&self, client_id: ClientId, resource: &str, now: UnixSeconds) -> bool {
        let is_client = |own: &str| own.eq_ignore_ascii_case(&client_id.to_string());
        CLIENT.iter().filter_map(|name| self.0.get(*name)?.as_str()).all(is_client)
            && self.is_for(resource)
            && self.moment("exp").is_none_or(|end| now < end)
            && self.moment("nbf").is_none_or(|begin| begin <= now + LEEWAY)
    }

    /// Returns the moment from which the token is no longer valid, if `announced` is not earlier.
    pub(super) fn expires_on(&self, announced: UnixSeconds) -> UnixSeconds {
        self.moment("exp").map_or(announced, |end| announced.min(end))
    }

    /// Returns a moment in whole seconds. A number may have a fraction (RFC 7519 section 2).
    fn moment(&self, name: &str) -> Option<UnixSeconds> {
        self.0.get(name)?.as_f64().map(whole)
    }

    /// Returns true if an audience is the resource, or none is named (RFC 7519 section 4.1.3: one or several). Tokens
    /// of version 2.0 name a resource by the client id of its application, which the broker does not know.
    fn is_for(&self, resource: &str) -> bool {
        let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let is_it = |own: &str| bare(own) == bare(resource) || own.parse::<ClientId>().is_ok();
        match self.0.get("aud") {
            Some(Value::String(own)) => is_it(own),
            Some(Value::Array(all)) => {
                let mut named = all.iter().filter_map(Value::as_str).peekable();
                named.peek().is_none() || named.any(is_it)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
    use serde_json::json;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const RESOURCE: &str = "https://vault.azure.net";

    fn fits(claims: &Value) -> bool {
        let claims = BASE64_URL_SAFE_NO_PAD.encode(claims.to_string());
        let client = ClientId::from_bytes([0xab; 16]);
        Claimed::by(&format!("e30.{claims}.c2ln")).fits(client, RESOURCE, NOW)
    }

    #[test]
    fn a_token_that_says_it_is_another_one_does_not_fit() {
        let client = ClientId::from_bytes([0xab; 16]).to_string();
        let other = ClientId::from_bytes([0xcd; 16]).to_string();
        for good in [
            json!({}),
            json!({"aud": RESOURCE, "appid": client, "nbf": NOW.0, "exp": NOW.0 + 1}),
            json!({"aud": "HTTPS://vault.azure.net/", "appid": client.to_uppercase()}),
            json!({"aud": ["api://other", RESOURCE], "azp": client}),
            json!({"aud": other, "client_id": client}),
            json!({"nbf": NOW.0 + 300}),
            json!({"aud": RESOURCE, "client_id": client, "appid": client, "azp": client}),
            json!({"aud": 7, "appid": null, "exp": "soon", "nbf": []}),
            json!({"exp": 1_800_000_001.5, "nbf": 1_800_000_000.5}),
        ] {
            assert!(fits(&good), "{good}");
        }
        for bad in [
            json!({"aud": "https://graph.microsoft.com"}),
            json!({"aud": ["api://other"]}),
            json!({"appid": other}),
            json!({"azp": other}),
            json!({"exp": NOW.0}),
            json!({"nbf": NOW.0 + 301}),
            json!({"appid": client, "azp": other}),
            json!({"aud": "api://other", "exp": "soon"}),
            json!({"appid": other, "aud": 7}),
            json!({"exp": 1_799_999_999.5}),
            json!({"exp": -1}),
        ] {
            assert!(!fits(&bad), "{bad}");
        }
    }

    #[test]
    fn what_is_no_jwt_says_nothing() {
        for opaque in ["", "opaque", "a.b.c", "e30.e30.x", "e30.W10.x"] {
            let claimed = Claimed::by(opaque);
            assert!(claimed.fits(ClientId::from_bytes([1; 16]), RESOURCE, NOW), "{opaque}");
            assert_eq!(claimed.expires_on(NOW), NOW);
        }
    }
}
