//! What a token of another token service says of itself. Clients need not look into a token, but the broker hands it to
//! many of them: a wrong one must not reach the cache.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::Deserialize;

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::ids::ClientId;

/// Greatest tolerated lead of the token service's clock.
const LEEWAY: Seconds = Seconds(300);

/// Claims of a token, as far as it has them (RFC 9068 section 2.2; v1.0 tokens of Entra have `appid` for `client_id`,
/// v2.0 tokens `azp`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Claimed {
    aud: Audience,
    #[serde(alias = "appid", alias = "azp")]
    client_id: Option<String>,
    exp: Option<u64>,
    nbf: Option<u64>,
}

/// `aud`: one audience or several (RFC 7519 section 4.1.3).
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Audience {
    Several(Vec<String>),
    One(String),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

impl Claimed {
    /// Reads the claims of a JWT, without a check of its signature. Other tokens say nothing.
    pub(super) fn by(token: &str) -> Self {
        let claims =
            token.split('.').nth(1).and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        claims.and_then(|json| serde_json::from_slice(&json).ok()).unwrap_or_default()
    }

    /// Returns true if nothing says that the token is another client's, is for another resource, or is not valid at
    /// `now`.
    pub(super) fn fits(&self, client_id: ClientId, resource: &str, now: UnixSeconds) -> bool {
        let is_client = |own: &String| own.eq_ignore_ascii_case(&client_id.to_string());
        self.client_id.as_ref().is_none_or(is_client)
            && self.is_for(resource)
            && self.exp.is_none_or(|end| now.0 < end)
            && self.nbf.is_none_or(|begin| begin <= (now + LEEWAY).0)
    }

    /// Returns the moment from which the token is no longer valid, if `announced` is not earlier.
    pub(super) fn expires_on(&self, announced: UnixSeconds) -> UnixSeconds {
        self.exp.map_or(announced, |end| announced.min(UnixSeconds(end)))
    }

    /// Returns true if the audience is the resource, or none is named. Tokens of version 2.0 name a resource by the
    /// client id of its application, which the broker does not know.
    fn is_for(&self, resource: &str) -> bool {
        let bare = |text: &str| text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
        let is_it = |own: &String| bare(own) == bare(resource) || own.parse::<ClientId>().is_ok();
        match &self.aud {
            Audience::One(own) => is_it(own),
            Audience::Several(all) => all.is_empty() || all.iter().any(is_it),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
