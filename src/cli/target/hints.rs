//! Hints about a target, before the load and after a load that got no token from it.

use crate::base::http::Scheme;
use crate::base::secret::Redacted;
use crate::harness::dialect::fetch::speaks_tls;
use crate::harness::dialect::outcome::Status;
use crate::harness::dialect::protocol::{ClientAuth, Dialect, Method, OAuth2, Proof, Protocol};
use crate::harness::dialect::target::Target;
use crate::harness::dialect::url::HttpUrl;
use crate::harness::judge::outcome::Outcome;

/// Returns the hints about `target` before the load.
pub(crate) fn before(target: &Target) -> Vec<String> {
    let general = [unchecked(target), replicas(&target.url), token_path(target)];
    general.into_iter().flatten().chain(plain(&target.dialect)).collect()
}

fn unchecked(target: &Target) -> Option<String> {
    target.is_unchecked().then(|| {
        format!("--insecure: nobody checks the certificate of {target}, so that another server may have answered")
    })
}

fn replicas(url: &HttpUrl) -> Option<String> {
    let HttpUrl { address, others, .. } = url;
    let listed: Vec<String> = others.iter().map(ToString::to_string).collect();
    (!others.is_empty()).then(|| {
        format!(
            "the host of {url} has {} addresses: all requests go to {address}, and none to {}; write an address in the URL to measure another",
            others.len() + 1,
            listed.join(" or ")
        )
    })
}

/// Warns of plain requests to a path where another protocol asks for tokens.
fn token_path(target: &Target) -> Option<String> {
    let protocol = match target.dialect.protocol() {
        Protocol::Get => protocol_of(&target.url.path)?,
        _ => return None,
    };
    Some(format!(
        "plain requests go to {}, where the protocol `{protocol}` asks for tokens; to measure that, add --protocol {protocol}",
        target.url
    ))
}

/// Tells what a plain request is, if it is no GET without a body, and warns of a doubtful body.
fn plain(dialect: &Dialect) -> Vec<String> {
    let Dialect::Get(plain) = dialect else { return Vec::new() };
    let body = plain.body.as_ref().map(Redacted::expose);
    let sent = match body {
        Some(body) => Some(format!("a {} with a body of {} bytes", plain.method, body.len())),
        None if plain.method == Method::default() => None,
        None => Some(format!("a {} without a body", plain.method)),
    };
    let json =
        body.is_some_and(|body| matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')));
    let doubt = (json && !plain.has_header("content-type")).then(|| {
        "the body looks like JSON and is sent as a form; for JSON add --header 'Content-Type: application/json'".to_owned()
    });
    sent.map(|sent| format!("each request is {sent}")).into_iter().chain(doubt).collect()
}

/// Returns the protocol that asks for tokens at `path`.
fn protocol_of(path: &str) -> Option<Protocol> {
    let path = path.split('?').next().unwrap_or_default().trim_end_matches('/');
    let path = path.to_ascii_lowercase();
    let holds = |part: &str| path.contains(part);
    if holds("/metadata/identity/oauth2/token") {
        Some(Protocol::Imds)
    } else if holds("/msi/token") {
        Some(Protocol::AppService)
    } else if holds("/computemetadata/v1/instance/service-accounts/") {
        Some(Protocol::Gce)
    } else if holds("/meta-data/iam/security-credentials") {
        Some(Protocol::Aws)
    } else {
        let ends = ["/oauth2/token", "/oauth2/v2.0/token", "/oauth/token", "/openid-connect/token"];
        ends.iter().any(|end| path.ends_with(end)).then_some(Protocol::OAuth2)
    }
}

/// Returns a reason why the target gave no token, from the status with which most requests ended.
pub(crate) fn after(target: &Target, outcome: &Outcome) -> Option<String> {
    let tally = &outcome.measured.tally;
    if tally.tokens > 0 {
        return None;
    }
    let (most, _) = tally.statuses.iter().max_by_key(|(_, count)| **count)?;
    let maybe_tls = matches!(most, Status::Http(400) | Status::Malformed | Status::Connection);
    if maybe_tls && target.url.scheme == Scheme::Http && speaks_tls(&target.url) {
        return Some(format!("the server of {} speaks TLS: write https://", target.url));
    }
    let Status::Http(status) = *most else { return None };
    let remedy = remedy(&target.dialect, status)?;
    Some(format!("{} answers {status}: {remedy}", target.url))
}

fn remedy(dialect: &Dialect, status: u16) -> Option<String> {
    let protocol = dialect.protocol();
    match (status, dialect) {
        (301 | 302 | 303 | 307 | 308, _) => {
            Some("redirects are not followed; write the URL to which it redirects".to_owned())
        }
        (200..=299 | 404 | 405, _) if protocol != Protocol::Get => Some(format!(
            "it gives no token by the protocol `{protocol}`; write get+URL for a plain GET, or name another --protocol"
        )),
        (400 | 401, Dialect::OAuth2(OAuth2 { proof: Proof::Secret { auth, .. }, .. })) => {
            let other = match auth {
                ClientAuth::Basic => "post, in the form",
                ClientAuth::Post => "basic, by HTTP Basic",
            };
            Some(format!(
                "check --client-id, its secret and --scope; or send the secret with --client-auth {other}"
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::harness::dialect::protocol::Plain;

    fn target(url: &str, dialect: Dialect) -> Target {
        Target { url: url.parse().unwrap(), dialect: Arc::new(dialect), trusted: None }
    }

    #[test]
    fn a_plain_get_of_a_token_path_names_the_protocol_that_belongs_there() {
        for (path, protocol) in [
            ("/metadata/identity/oauth2/token?api-version=2018-02-01", "imds"),
            ("/MSI/token/", "app-service"),
            ("/computeMetadata/v1/instance/service-accounts/default/token", "gce"),
            ("/latest/meta-data/iam/security-credentials/web", "aws"),
            ("/tenant/oauth2/v2.0/token", "oauth2"),
            ("/realms/test/protocol/openid-connect/token", "oauth2"),
        ] {
            let url = format!("http://127.0.0.1{path}");
            let hints = before(&target(&url, Dialect::Get(Plain::default())));
            let [hint] = &hints[..] else { panic!("{path}: {hints:?}") };
            assert!(hint.ends_with(&format!("add --protocol {protocol}")), "{hint}");
            assert!(!hint.contains("api-version"), "{hint}");
        }
        for path in ["", "/healthz", "/token-ring", "/tokens"] {
            let url = format!("http://127.0.0.1{path}");
            let hints = before(&target(&url, Dialect::Get(Plain::default())));
            assert!(hints.is_empty(), "{path}: {hints:?}");
        }
        assert!(before(&target("http://127.0.0.1/msi/token", Dialect::Imds)).is_empty());
    }

    #[test]
    fn an_answer_without_a_token_is_explained_where_one_was_asked_for() {
        let get = Dialect::Get(Plain::default());
        for status in [200, 404] {
            assert!(remedy(&Dialect::Gce, status).unwrap().contains("protocol `gce`"));
            assert_eq!(remedy(&get, status), None);
        }
    }

    #[test]
    fn requests_that_are_no_usual_get_are_described() {
        let hints = |method: &str, body: Option<&str>, header: Option<&str>| {
            let plain = Plain {
                method: method.parse().unwrap(),
                headers: header.into_iter().map(|text| text.parse().unwrap()).collect(),
                body: body.map(|body| Redacted::new(body.as_bytes().to_vec())),
                ..Plain::default()
            };
            before(&target("http://127.0.0.1/x", Dialect::Get(plain)))
        };
        assert!(hints("GET", None, None).is_empty());
        assert_eq!(hints("DELETE", None, None), ["each request is a DELETE without a body"]);
        assert_eq!(
            hints("POST", Some(" {}"), Some("Content-Type: application/json")),
            ["each request is a POST with a body of 3 bytes"]
        );
        let doubtful = hints("POST", Some("[1]"), None);
        assert!(doubtful[1].contains("--header 'Content-Type: application/json'"), "{doubtful:?}");
    }

    #[test]
    fn a_host_with_several_addresses_says_which_is_measured() {
        let mut target = target("http://127.0.0.1:81", Dialect::Imds);
        target.url.others = vec!["127.0.0.2:81".parse().unwrap()];
        let hints = before(&target);
        let [hint] = &hints[..] else { panic!("{hints:?}") };
        assert!(hint.contains("has 2 addresses: all requests go to 127.0.0.1:81"), "{hint}");
        assert!(hint.contains("none to 127.0.0.2:81"), "{hint}");
    }
}
