//! OAuth 2.0 client credentials: the body of a request, and its `Authorization` header.

use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::base::assertion::{AssertionForm, CertificateKey, ClientAssertion, SignError};
use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::secret::Redacted;

/// The client, its proof of identity, and the tokens it requests.
#[derive(Debug)]
pub struct OAuth2 {
    /// The parameter `client_id`.
    pub client_id: String,
    /// The client's proof of identity.
    pub proof: Proof,
    /// The parameter `scope`; a server may have a default.
    pub scope: Option<String>,
    /// The audience that tokens must have; none if it is not checked.
    pub audience: Option<String>,
}

/// A client's proof of identity.
#[derive(Clone, Debug)]
pub enum Proof {
    /// An assertion signed with the key of the client's certificate (RFC 7523 section 2.2): PS256
    /// with `x5t#S256`, as Entra expects it.
    Certificate(Arc<CertificateKey>),
    /// A secret (RFC 6749 section 2.3.1).
    Secret {
        /// The secret.
        secret: Redacted,
        /// The place of the secret in the request.
        auth: ClientAuth,
    },
}

/// Place of a client's id and secret in a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAuth {
    /// The header `Authorization`, by HTTP Basic.
    Basic,
    /// The posted form.
    #[default]
    Post,
}

/// The time span of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunSpan {
    /// A time not after the first request.
    pub(crate) begins: UnixSeconds,
    /// The length, which reaches beyond the last request.
    pub(crate) length: Duration,
}

/// The time for which each assertion is used, in seconds. Signing one takes a third of a
/// millisecond, a thousand times as long as sending a request. Therefore all assertions are signed
/// before the load, one for each of these spans.
pub(crate) const ASSERTION_SPAN: u64 = 300;

/// The tolerance for server clocks that are behind. The rest of the ten minutes of an assertion,
/// after its span, is the tolerance for clocks that are ahead.
const CLOCK_SKEW: Seconds = Seconds(60);

/// The characters that `application/x-www-form-urlencoded` does not encode
/// (<https://url.spec.whatwg.org/#urlencoded-serializing>).
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

impl OAuth2 {
    /// Returns the bodies of all requests of a run: one, or one for each [`ASSERTION_SPAN`].
    pub(crate) fn bodies(&self, url: &str, span: RunSpan) -> Result<Vec<Redacted>, SignError> {
        match &self.proof {
            Proof::Secret { auth: ClientAuth::Basic, .. } => Ok(vec![self.body(&[])]),
            Proof::Secret { secret, auth: ClientAuth::Post } => {
                let (id, secret) = (self.client_id.as_bytes(), secret.expose());
                Ok(vec![self.body(&[("client_id", id), ("client_secret", secret)])])
            }
            Proof::Certificate(key) => (0..=span.length.as_secs() / ASSERTION_SPAN)
                .map(|index| {
                    let issued_at = span.begins + Seconds(index * ASSERTION_SPAN);
                    self.asserted(key, url, issued_at)
                })
                .collect(),
        }
    }

    fn asserted(
        &self,
        key: &CertificateKey,
        url: &str,
        from: UnixSeconds,
    ) -> Result<Redacted, SignError> {
        let mut id = [0; 16];
        SysRng.try_fill_bytes(&mut id).map_err(|_| SignError)?;
        let issued_at = from - CLOCK_SKEW;
        let assertion =
            ClientAssertion { client_id: &self.client_id, audience: url, issued_at, id };
        let assertion = assertion.sign(key, AssertionForm::Ps256)?;
        let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
        Ok(self.body(&[
            ("client_id", self.client_id.as_bytes()),
            ("client_assertion_type", kind.as_bytes()),
            ("client_assertion", assertion.as_bytes()),
        ]))
    }

    /// Returns the value of `Authorization` for a client that sends its secret there. Both halves
    /// are form-encoded before they are joined (RFC 6749 section 2.3.1, RFC 7617).
    pub(crate) fn authorization(&self) -> Option<Redacted> {
        let Proof::Secret { secret, auth: ClientAuth::Basic } = &self.proof else { return None };
        let halves = [self.client_id.as_bytes(), secret.expose()].map(encoded);
        let [id, secret] = &halves;
        let joined = Redacted::new([id.expose(), b":", secret.expose()].concat());
        let text = format!("Basic {}", BASE64_STANDARD.encode(joined.expose()));
        Some(Redacted::new(text.into_bytes()))
    }

    fn body(&self, proof: &[(&str, &[u8])]) -> Redacted {
        let mut body = b"grant_type=client_credentials".to_vec();
        let scope = self.scope.as_ref().map(|scope| ("scope", scope.as_bytes()));
        for (name, value) in scope.iter().chain(proof) {
            body.extend_from_slice(format!("&{name}=").as_bytes());
            body.extend_from_slice(encoded(value).expose());
        }
        Redacted::new(body)
    }
}

/// Returns `value` encoded for a form.
fn encoded(value: &[u8]) -> Redacted {
    Redacted::new(percent_encode(value, PLAIN).flat_map(str::bytes).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn client(proof: Proof) -> OAuth2 {
        OAuth2 {
            client_id: "a b".to_owned(),
            proof,
            scope: Some("https://vault.azure.net/.default".to_owned()),
            audience: None,
        }
    }

    const SPAN: RunSpan =
        RunSpan { begins: UnixSeconds(1_800_000_000), length: Duration::from_mins(15) };

    #[test]
    fn a_secret_goes_into_the_body_encoded_as_a_form() {
        let secret = Redacted::new(b"p&=+% \xff".to_vec());
        let client = client(Proof::Secret { secret, auth: ClientAuth::Post });
        let bodies = client.bodies("http://x/token", SPAN).unwrap();
        let [body] = &bodies[..] else { panic!("{}", bodies.len()) };
        assert_eq!(
            std::str::from_utf8(body.expose()).unwrap(),
            "grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default&client_id=a%20b&client_secret=p%26%3D%2B%25%20%FF"
        );
        assert!(client.authorization().is_none());
    }

    #[test]
    fn a_secret_for_http_basic_is_encoded_before_it_is_joined_and_leaves_the_body() {
        let secret = Redacted::new("p:%ä".into());
        let client = client(Proof::Secret { secret, auth: ClientAuth::Basic });
        let header = client.authorization().unwrap();
        let text = std::str::from_utf8(header.expose()).unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(BASE64_STANDARD.decode(text).unwrap(), b"a%20b:p%3A%25%C3%A4");
        let bodies = client.bodies("http://x/token", SPAN).unwrap();
        assert_eq!(
            std::str::from_utf8(bodies[0].expose()).unwrap(),
            "grant_type=client_credentials&scope=https%3A%2F%2Fvault.azure.net%2F.default"
        );
    }
}
