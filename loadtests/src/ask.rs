//! Requests for tokens, and checks of their answers.

use std::collections::BTreeMap;

use goose::goose::GooseResponse;
use goose::metrics::GooseRequestMetric;
use goose::prelude::*;
use reqwest::header::HeaderMap;

pub(crate) const ARM: &str = "https://management.azure.com/";
pub(crate) const VAULT: &str = "https://vault.azure.net";

const PATH: &str = "/metadata/identity/oauth2/token";
const REFUSAL: &str =
    r#"{"error":"invalid_request","error_description":"Required metadata header not specified"}"#;

/// The fields of the answer in the order in which real IMDS writes them.
const FIELDS: [&str; 8] = [
    "access_token",
    "client_id",
    "expires_in",
    "expires_on",
    "ext_expires_in",
    "not_before",
    "resource",
    "token_type",
];

/// A request for a token, and the expectations of its answer.
#[derive(Debug)]
pub(crate) struct Ask {
    /// The name of the request in the report.
    pub(crate) name: &'static str,
    pub(crate) resource: &'static str,
    /// The `client_id` of the requested user-assigned identity. None requests the machine's own
    /// identity.
    pub(crate) client_id: Option<String>,
    /// An earlier answer to the same request. The token must be the same.
    pub(crate) earlier: Option<Token>,
}

impl Ask {
    pub(crate) const fn new(name: &'static str, resource: &'static str) -> Self {
        Self { name, resource, client_id: None, earlier: None }
    }
}

/// The part of an answer that is compared with a later one.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    jwt: String,
    expires_in: u64,
    expires_on: u64,
}

impl std::fmt::Debug for Token {
    /// Formats the answer without its token, so that no log holds one.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("expires_on", &self.expires_on).finish_non_exhaustive()
    }
}

/// Sends a request without the header, as SDKs do to find out if the machine has identities.
pub(crate) async fn probe(user: &mut GooseUser) -> TransactionResult {
    let url = user.build_url(PATH)?;
    let builder = user.client.get(url);
    let request = GooseRequest::builder()
        .set_request_builder(builder)
        .name("probe")
        .expect_status_code(400)
        .build();
    let GooseResponse { mut request, response } = user.request(request).await?;
    let body = response?.text().await?;
    if request.success && body != REFUSAL {
        return user.set_failure("the refusal differs from IMDS's", &mut request, None, None);
    }
    Ok(())
}

/// Requests a token. Fails the request, which counts for the error budget, if the answer is wrong.
pub(crate) async fn token(user: &mut GooseUser, ask: Ask) -> Result<Token, Box<TransactionError>> {
    let mut url = reqwest::Url::parse(&user.build_url(PATH)?)
        .map_err(|error| TransactionError::Custom(error.to_string()))?;
    url.query_pairs_mut()
        .append_pair("api-version", "2018-02-01")
        .append_pair("resource", ask.resource)
        .extend_pairs(ask.client_id.iter().map(|id| ("client_id", id)));
    let builder = user.client.get(url).header("Metadata", "true");
    let request =
        GooseRequest::builder().set_request_builder(builder).name(ask.name).expect_status_code(200);
    let GooseResponse { mut request, response } = user.request(request.build()).await?;
    let response = response?;
    let headers = response.headers().clone();
    let body = response.text().await?;
    match judge(&ask, &request, &headers, &body) {
        Ok(token) => Ok(token),
        Err(reason) => {
            user.set_failure(&reason, &mut request, None, None)?;
            Err(Box::new(TransactionError::Custom(reason)))
        }
    }
}

fn judge(
    ask: &Ask,
    request: &GooseRequestMetric,
    headers: &HeaderMap,
    body: &str,
) -> Result<Token, String> {
    if request.status_code != 200 {
        return Err(format!("status {}: {body}", request.status_code));
    }
    let cache = headers.get("x-mintbench-cache").and_then(|value| value.to_str().ok());
    if !matches!(cache, Some("hit" | "miss" | "coalesced")) {
        return Err(format!("x-mintbench-cache is {cache:?}"));
    }
    read(ask, body)
}

/// Checks a body against the request and against the earlier answer.
fn read(ask: &Ask, body: &str) -> Result<Token, String> {
    let fields = eight_strings(body)?;
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let digits = |name: &str| {
        let text = field(name);
        let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| plain).ok_or(format!("{name} is {text:?}"))
    };
    let expected = [("token_type", "Bearer"), ("resource", ask.resource)];
    let asked = ask.client_id.as_deref().map(|id| ("client_id", id));
    for (name, value) in expected.into_iter().chain(asked) {
        if field(name) != value {
            return Err(format!("{name} is {:?}, not {value:?}", field(name)));
        }
    }
    let segments: Vec<&str> = field("access_token").split('.').collect();
    let base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let sound = |segment: &&str| !segment.is_empty() && segment.bytes().all(base64url);
    if segments.len() != 3 || !segments.iter().all(sound) {
        return Err("access_token is not a JWT of three segments".to_owned());
    }
    let token = Token {
        jwt: field("access_token").to_owned(),
        expires_in: digits("expires_in")?,
        expires_on: digits("expires_on")?,
    };
    match &ask.earlier {
        Some(earlier) => repeated(earlier, token),
        None => Ok(token),
    }
}

fn eight_strings(body: &str) -> Result<BTreeMap<String, String>, String> {
    let fields: BTreeMap<String, String> = serde_json::from_str(body)
        .map_err(|error| format!("the body is not an object of strings: {error}"))?;
    let positions: Vec<_> =
        FIELDS.iter().map(|name| body.find(&format!("\"{name}\":\""))).collect();
    if fields.len() != FIELDS.len() || body.matches("\":\"").count() != FIELDS.len() {
        return Err(format!("the body has the fields {:?}", fields.keys()));
    }
    if !positions.iter().all(Option::is_some) || !positions.is_sorted() {
        return Err("the fields are not the eight of IMDS in alphabetical order".to_owned());
    }
    Ok(fields)
}

/// Checks that a cached token is unchanged and that its remaining life has not grown.
fn repeated(earlier: &Token, token: Token) -> Result<Token, String> {
    if token.jwt != earlier.jwt || token.expires_on != earlier.expires_on {
        return Err("asked again, the broker answered with another token".to_owned());
    }
    if token.expires_in == 0 || token.expires_in > earlier.expires_in {
        return Err(format!("expires_in went from {} to {}", earlier.expires_in, token.expires_in));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"access_token":"a.b-1.c_2","client_id":"id","expires_in":"86400","expires_on":"1709884800","ext_expires_in":"86399","not_before":"1709798100","resource":"https://management.azure.com/","token_type":"Bearer"}"#;

    #[test]
    fn a_body_as_imds_writes_it_is_accepted() {
        let token = read(&Ask::new("", ARM), GOOD).unwrap();
        let earlier = Some(Token { expires_in: 86_401, ..token.clone() });
        assert_eq!(read(&Ask { earlier, ..Ask::new("", ARM) }, GOOD), Ok(token));
    }

    #[test]
    fn a_body_that_breaks_one_rule_is_refused() {
        for (from, to) in [
            (r#""86400""#, "86400"),
            (r#""expires_in":"86400","#, ""),
            ("\"client_id\":\"id\",", ""),
            (r#""client_id""#, r#""zone_id""#),
            (
                r#"{"access_token":"a.b-1.c_2","client_id":"id""#,
                r#"{"client_id":"id","access_token":"a.b-1.c_2""#,
            ),
            ("Bearer\"", "Bearer\",\"x\":\"y\""),
            ("Bearer", "bearer"),
            ("a.b-1.c_2", "a.b-1"),
            ("a.b-1.c_2", "a.b=.c"),
            ("1709884800", "+1709884800"),
            (".com/", ".com"),
        ] {
            let body = GOOD.replacen(from, to, 1);
            assert_ne!(body, GOOD);
            assert!(read(&Ask::new("", ARM), &body).is_err(), "{body}");
        }
    }

    #[test]
    fn another_token_or_a_longer_life_is_refused() {
        let token = read(&Ask::new("", ARM), GOOD).unwrap();
        let other = Token { jwt: "d.e.f".to_owned(), ..token.clone() };
        let shorter = Token { expires_in: 86_399, ..token };
        for earlier in [other, shorter] {
            let ask = Ask { earlier: Some(earlier), ..Ask::new("", ARM) };
            assert!(read(&ask, GOOD).is_err());
        }
    }
}
