//! Federated credentials: tokens of other issuers by which a user-assigned identity proves itself (workload
//! identity federation).

use hyper::Uri;
use serde::{Deserialize, Serialize};

/// Usual audience of the tokens.
pub const AUDIENCE: &str = "api://AzureADTokenExchange";

/// Greatest number of federated credentials of an identity (Entra, "Important considerations and restrictions for
/// federated identity credentials").
pub const CREDENTIALS_MAX: usize = 20;

/// Greatest number of audiences of a credential. Azure's tools set one.
const AUDIENCES_MAX: usize = 10;

/// Greatest length of an issuer, a subject and an audience, in characters (Microsoft Graph,
/// `federatedIdentityCredential`).
const TEXT_CHARS_MAX: usize = 600;

/// Tokens of another issuer that an identity accepts as proof of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FederatedCredential {
    /// Its name, unique within the identity. Case is ignored.
    pub name: String,
    /// `iss` of the tokens: a URL.
    pub issuer: String,
    /// `sub` of the tokens.
    pub subject: String,
    /// Accepted audiences: one of them is in the `aud` of the tokens.
    pub audiences: Vec<String>,
}

/// Broken rule of a federated credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FederationError {
    /// There are too many audiences.
    #[error("The Federated Identity Credential has more than {AUDIENCES_MAX} audiences.")]
    Audiences,
    /// Something is missing or empty.
    #[error(
        "The request format was unexpected. Federated Identity Credential must specify 'issuer', 'subject' and 'audience'."
    )] // (seen)
    Incomplete,
    /// The issuer is no URL of an issuer.
    #[error(
        "The issuer '{0}' is not valid: write an absolute URL with https or http, without query, fragment and user."
    )]
    Issuer(String),
    /// The name breaks Azure's rule.
    #[error(
        "The name '{0}' of the Federated Identity Credential is not valid: it has 3 to 120 letters, digits, '-' and '_', and begins with a letter or digit."
    )]
    Name(String),
    /// Another credential of the identity has the same issuer and subject.
    #[error("Issuer and subject combination already exists for this Managed Identity.")]
    // (seen)
    Taken,
    /// A text is too long.
    #[error(
        "The {0} of the Federated Identity Credential is longer than {TEXT_CHARS_MAX} characters."
    )]
    TooLong(&'static str),
    /// The identity has the greatest number of credentials.
    #[error(
        "The Managed Identity has {CREDENTIALS_MAX} Federated Identity Credentials already, which is the maximum."
    )]
    TooMany,
}

impl FederatedCredential {
    /// Checks the credential by itself.
    ///
    /// # Errors
    /// Returns the first broken rule.
    pub fn check(&self) -> Result<(), FederationError> {
        let Self { name, issuer, subject, audiences } = self;
        if !is_name(name) {
            return Err(FederationError::Name(name.clone()));
        }
        let is_empty = |text: &String| text.trim().is_empty();
        if is_empty(issuer)
            || is_empty(subject)
            || audiences.is_empty()
            || audiences.iter().any(is_empty)
        {
            return Err(FederationError::Incomplete);
        }
        let is_long = |text: &String| text.chars().count() > TEXT_CHARS_MAX;
        if is_long(issuer) {
            return Err(FederationError::TooLong("issuer"));
        }
        if is_long(subject) {
            return Err(FederationError::TooLong("subject"));
        }
        if audiences.iter().any(is_long) {
            return Err(FederationError::TooLong("audience"));
        }
        if audiences.len() > AUDIENCES_MAX {
            return Err(FederationError::Audiences);
        }
        if is_issuer(issuer) { Ok(()) } else { Err(FederationError::Issuer(issuer.clone())) }
    }

    /// Adds the credential to those of an identity, or replaces the one of its name. They stay sorted by name.
    ///
    /// # Errors
    /// Returns the first broken rule; then nothing has changed.
    pub fn add_to(self, held: &mut Vec<Self>) -> Result<(), FederationError> {
        self.check()?;
        let mut others = held.iter().filter(|other| !other.is_named(&self.name));
        if others.any(|other| other.issuer == self.issuer && other.subject == self.subject) {
            return Err(FederationError::Taken);
        }
        if let Some(before) = held.iter_mut().find(|other| other.is_named(&self.name)) {
            *before = Self { name: before.name.clone(), ..self };
            return Ok(());
        }
        if held.len() >= CREDENTIALS_MAX {
            return Err(FederationError::TooMany);
        }
        held.push(self);
        held.sort_by_key(|own| own.name.to_ascii_lowercase());
        Ok(())
    }

    /// Returns true if this is the credential's name. Case is ignored.
    pub fn is_named(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Reason why no credential fits a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// Issuer and subject fit, but no audience does.
    Audience,
    /// No credential has the issuer.
    Issuer,
    /// The identity has no credentials.
    NoCredentials,
    /// The issuer fits, but no subject does.
    Subject,
    /// The issuer fits, and a subject differs by the case of its letters only.
    SubjectCase,
}

/// Checks that one of the credentials `held` has the issuer, the subject and an audience of a token. All are compared
/// exactly. An issuer may have several names.
///
/// # Errors
/// Returns the part of the token that fits no credential.
pub fn matching(
    held: &[FederatedCredential],
    issuers: &[&str],
    subject: &str,
    audiences: &[String],
) -> Result<(), Mismatch> {
    if held.is_empty() {
        return Err(Mismatch::NoCredentials);
    }
    let of_issuer: Vec<_> =
        held.iter().filter(|own| issuers.contains(&own.issuer.as_str())).collect();
    if of_issuer.is_empty() {
        return Err(Mismatch::Issuer);
    }
    let mut of_subject = of_issuer.iter().filter(|own| own.subject == subject).peekable();
    if of_subject.peek().is_none() {
        let differs = of_issuer.iter().any(|own| own.subject.eq_ignore_ascii_case(subject));
        return Err(if differs { Mismatch::SubjectCase } else { Mismatch::Subject });
    }
    let is_meant =
        |own: &&&FederatedCredential| own.audiences.iter().any(|it| audiences.contains(it));
    of_subject.find(is_meant).map(drop).ok_or(Mismatch::Audience)
}

/// Returns true if the text can be the URL of an issuer (OpenID Connect Discovery 1.0 section 4.3): no query and no
/// fragment.
pub fn is_issuer(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#@\\\"<>".contains(&byte);
    let uri: Option<Uri> = text.parse().ok().filter(|_| text.bytes().all(is_plain));
    uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri.host().is_some_and(|host| !host.is_empty())
    })
}

/// Returns true for a name of the rule `^[a-zA-Z0-9][a-zA-Z0-9-_]{2,119}$` (azure-rest-api-specs).
fn is_name(text: &str) -> bool {
    let is_byte = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (3..=120).contains(&text.len())
        && text.bytes().all(is_byte)
        && text.starts_with(|first: char| first.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credential(name: &str, subject: &str) -> FederatedCredential {
        FederatedCredential {
            name: name.to_owned(),
            issuer: "https://issuer.example/a".to_owned(),
            subject: subject.to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
        }
    }

    #[test]
    fn a_credential_is_complete_short_and_of_a_url() {
        let good = credential("abc", "pod");
        assert_eq!(good.check(), Ok(()));
        let with = |change: &dyn Fn(&mut FederatedCredential)| {
            let mut changed = good.clone();
            change(&mut changed);
            changed.check().unwrap_err()
        };
        for name in ["ab", "-ab", "a.b", "a b", &"a".repeat(121), ""] {
            assert_eq!(
                with(&|own| name.clone_into(&mut own.name)),
                FederationError::Name(name.to_owned())
            );
        }
        let incomplete: [&dyn Fn(&mut FederatedCredential); 5] = [
            &|own| own.issuer.clear(),
            &|own| own.subject = "  ".to_owned(),
            &|own| own.audiences.clear(),
            &|own| own.audiences.push(String::new()),
            &|own| own.subject.clear(),
        ];
        for change in incomplete {
            assert_eq!(with(change), FederationError::Incomplete);
        }
        for issuer in [
            "issuer",
            "kubernetes/serviceaccount",
            "ftp://a",
            "https://",
            "https://a?b",
            "https://a#b",
            "https://me@a",
            "https://a b",
            "//a",
            "https://\u{e4}.example",
        ] {
            assert_eq!(
                with(&|own| issuer.clone_into(&mut own.issuer)),
                FederationError::Issuer(issuer.to_owned())
            );
        }
        let long = "a".repeat(601);
        assert_eq!(with(&|own| own.subject.clone_from(&long)), FederationError::TooLong("subject"));
        let many = vec!["a".to_owned(); AUDIENCES_MAX + 1];
        assert_eq!(with(&|own| own.audiences.clone_from(&many)), FederationError::Audiences);
    }

    #[test]
    fn issuers_are_urls_of_both_schemes() {
        for issuer in [
            "https://token.actions.githubusercontent.com",
            "https://kubernetes.default.svc.cluster.local",
            "http://127.0.0.1:8080/realm",
            "https://oidc.prod-aks.azure.com/00000000-0000-0000-0000-000000000000/",
            "http://[::1]:80",
        ] {
            assert!(is_issuer(issuer), "{issuer}");
        }
    }

    #[test]
    fn names_are_unique_and_so_are_pairs_of_issuer_and_subject() {
        let mut held = Vec::new();
        credential("two", "b").add_to(&mut held).unwrap();
        credential("One", "a").add_to(&mut held).unwrap();
        assert_eq!(credential("three", "a").add_to(&mut held), Err(FederationError::Taken));
        // The same name replaces, and keeps its first spelling.
        credential("ONE", "c").add_to(&mut held).unwrap();
        let shown: Vec<_> =
            held.iter().map(|own| (own.name.as_str(), own.subject.as_str())).collect();
        assert_eq!(shown, [("One", "c"), ("two", "b")]);
        credential("one", "c").add_to(&mut held).unwrap();
        assert_eq!(credential("one", "b").add_to(&mut held), Err(FederationError::Taken));
        for number in held.len()..CREDENTIALS_MAX {
            credential(&format!("n-{number}"), &number.to_string()).add_to(&mut held).unwrap();
        }
        assert_eq!(credential("more", "more").add_to(&mut held), Err(FederationError::TooMany));
        credential("two", "more").add_to(&mut held).unwrap();
        assert_eq!(held.len(), CREDENTIALS_MAX);
    }

    #[test]
    fn a_token_fits_by_issuer_subject_and_audience_exactly() {
        let held = [credential("one", "a"), credential("two", "B")];
        let fits = |issuer: &str, subject: &str, audience: &str| {
            matching(&held, &[issuer], subject, &["x".to_owned(), audience.to_owned()])
        };
        let issuer = "https://issuer.example/a";
        assert_eq!(fits(issuer, "a", AUDIENCE), Ok(()));
        assert_eq!(fits("https://issuer.example/a/", "a", AUDIENCE), Err(Mismatch::Issuer));
        assert_eq!(fits("https://ISSUER.example/a", "a", AUDIENCE), Err(Mismatch::Issuer));
        assert_eq!(fits(issuer, "c", AUDIENCE), Err(Mismatch::Subject));
        assert_eq!(fits(issuer, "b", AUDIENCE), Err(Mismatch::SubjectCase));
        assert_eq!(fits(issuer, "a", "api://AzureADTokenExchange/"), Err(Mismatch::Audience));
        assert_eq!(fits(issuer, "a", "api://azureadtokenexchange"), Err(Mismatch::Audience));
        assert_eq!(matching(&[], &[issuer], "a", &[]), Err(Mismatch::NoCredentials));
        assert_eq!(matching(&held, &[issuer], "a", &[]), Err(Mismatch::Audience));
        let names = ["https://other", issuer];
        assert_eq!(matching(&held, &names, "B", &[AUDIENCE.to_owned()]), Ok(()));
    }
}
