//! `[[applications]]`: clients with a secret or a certificate of their own.

use std::fmt;
use std::ops::Range;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::reader::Reader;
use crate::base::files::ReadError;
use crate::base::ids::{ClientId, PrincipalId, TenantId};
use crate::base::secret::{Redacted, SecretText};
use crate::base::synthetic::{IdentityIds, named_guid};
use crate::base::x509::Certificate;
use crate::service::world::record::{Application, Credential, Record};

/// Smallest length of a secret. Entra makes secrets of 40 characters; shorter ones than this are easy to
/// guess.
const SECRET_CHARS_MIN: usize = 8;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationEntry {
    name: Spanned<String>,
    tenant: Spanned<String>,
    client_id: Option<Spanned<String>>,
    principal_id: Option<Spanned<String>>,
    secret: Option<Spanned<PlainSecret>>,
    /// PEM, or the name of a file that holds it.
    certificate: Option<Spanned<String>>,
}

/// A secret in plain text. The world keeps only its digest.
struct PlainSecret(Redacted);

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for PlainSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(SecretText::deserialize(deserializer)?.0))
    }
}

impl Reader<'_> {
    pub(super) fn application(&mut self, entry: &Spanned<ApplicationEntry>) {
        let added = self.read_application(entry);
        self.principal(&entry.get_ref().name, added);
    }

    fn read_application(&mut self, entry: &Spanned<ApplicationEntry>) -> Option<PrincipalId> {
        let (span, entry) = (entry.span(), entry.get_ref());
        let name = entry.name.get_ref();
        let tenant = self.tenant_named(&entry.tenant)?;
        let ids = self.application_ids(entry, tenant)?;
        let claimed = self.builder.claim_application(ids);
        self.keep(&span, claimed)?;
        let secret = entry.secret.as_ref().map(|secret| self.secret_digest(secret));
        let certificate = entry.certificate.as_ref();
        let certificate = certificate.map(|text| self.certificate(text, ids.principal_id));
        if secret.is_none() && certificate.is_none() {
            let what = format!(
                "the application `{name}` has neither secret nor certificate; give it one to prove itself with"
            );
            self.problem(&span, what);
        }
        self.builder.push(Record::Application(Application {
            client_id: ids.client_id,
            principal_id: ids.principal_id,
            tenant,
            display_name: name.clone(),
            secret_digests: secret.flatten().into_iter().collect(),
        }));
        if let Some(credential) = certificate.flatten() {
            self.builder.push(Record::Credential(credential));
        }
        Some(ids.principal_id)
    }

    fn tenant_named(&mut self, name: &Spanned<String>) -> Option<TenantId> {
        let known = self.tenants.get(&name.get_ref().to_ascii_lowercase()).copied();
        let missing =
            || format!("the tenant `{}` is not in [[tenants]]; add it there", name.get_ref());
        self.keep(&name.span(), known.ok_or_else(missing))
    }

    fn application_ids(
        &mut self,
        entry: &ApplicationEntry,
        tenant: TenantId,
    ) -> Option<IdentityIds> {
        let guid =
            |kind| named_guid(&format!("{kind} of application {tenant} {}", entry.name.get_ref()));
        let mut ids = IdentityIds {
            client_id: ClientId::from_bytes(guid("client")),
            principal_id: PrincipalId::from_bytes(guid("principal")),
        };
        if let Some(text) = &entry.client_id {
            ids.client_id = self.parsed(text)?;
        }
        if let Some(text) = &entry.principal_id {
            ids.principal_id = self.parsed(text)?;
        }
        Some(ids)
    }

    fn secret_digest(&mut self, secret: &Spanned<PlainSecret>) -> Option<String> {
        let PlainSecret(plain) = secret.get_ref();
        let long = std::str::from_utf8(plain.expose())
            .is_ok_and(|text| text.chars().count() >= SECRET_CHARS_MIN);
        let short =
            || format!("the secret is too short; use at least {SECRET_CHARS_MIN} characters");
        self.keep(&secret.span(), long.then(|| plain.digest()).ok_or_else(short))
    }

    fn certificate(
        &mut self,
        text: &Spanned<String>,
        principal_id: PrincipalId,
    ) -> Option<Credential> {
        let pem = self.pem(&text.span(), text.get_ref())?;
        let read = Certificate::all_from_pem(&pem);
        let certificate = self.keep(&text.span(), read)?.into_iter().next()?;
        if certificate.rsa_public_key().is_none() {
            self.problem(
                &text.span(),
                "the certificate is not of an RSA key; make one of RSA-2048",
            );
            return None;
        }
        Some(Credential {
            principal_id,
            thumbprint: certificate.thumbprint(),
            certificate: BASE64_STANDARD.encode(certificate.der()),
            private_key: None,
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
        })
    }

    fn pem(&mut self, span: &Range<usize>, text: &str) -> Option<String> {
        if text.contains("-----BEGIN ") {
            return Some(text.to_owned());
        }
        let failed = |error: ReadError| {
            format!(
                "the certificate cannot be used: {}; write a path, relative to the world file, or PEM",
                error.in_a_line()
            )
        };
        let read = (self.read_file)(text).map_err(failed);
        self.keep(span, read)
    }
}

#[cfg(test)]
mod tests {
    use crate::base::files::ReadError;
    use crate::base::x509::tests::{pem, rsa_certificate};
    use crate::service::world::file::parse_with;
    use crate::service::world::record::Record;
    use crate::service::world::tests::PREFIX;

    const TENANT: &str = "00000000-0000-4000-8000-000000000001";

    fn records(fields: &str) -> Result<Vec<Record>, String> {
        let entry = format!("\n[[applications]]\nname = 'app'\ntenant = '{TENANT}'\n{fields}");
        let certificate = pem("CERTIFICATE", &rsa_certificate());
        let read = |name: &str| match name {
            "app.pem" => Ok(certificate.clone()),
            _ => Err(ReadError::System {
                path: name.into(),
                source: std::io::ErrorKind::NotFound.into(),
            }),
        };
        let text = format!("{PREFIX}{entry}").replace("INLINE", &certificate);
        parse_with("test.toml", &text, &read).map_err(|error| error.to_string())
    }

    #[test]
    fn of_a_secret_only_the_digest_is_kept() {
        let records = records("secret = 'correct horse'").unwrap();
        assert!(!format!("{records:?}").contains("correct horse"));
        let digests = records.iter().find_map(|record| match record {
            Record::Application(application) => Some(application.secret_digests.clone()),
            _ => None,
        });
        let digest = crate::base::secret::Redacted::new(b"correct horse".to_vec()).digest();
        assert_eq!(digests, Some(vec![digest]));
    }

    #[test]
    fn a_certificate_comes_from_a_file_or_stands_in_the_world_file() {
        for fields in ["certificate = 'app.pem'", "certificate = '''INLINE'''"] {
            let records = records(fields).unwrap();
            let credentials = records.iter().filter(
                |record| matches!(record, Record::Credential(own) if own.private_key.is_none()),
            );
            assert_eq!(credentials.count(), 1, "{fields}");
        }
    }

    #[test]
    fn what_cannot_be_an_application_is_said_with_its_line_and_without_its_secret() {
        for (fields, problem) in [
            ("", "neither secret nor certificate"),
            ("secret = 'hunter2'", "the secret is too short"),
            ("secret = ['hunter2']", "the value of a secret is not a string"),
            ("secret = 'correct horse'\nsecrt = 'hunter2'", "unknown field `secrt`"),
            ("certificate = 'none.pem'", "the certificate cannot be used: cannot read `none.pem`"),
            ("certificate = '-----BEGIN NOTHING'", "no certificate in the PEM text"),
            ("secret = 'correct horse'\nclient_id = 'x'", "`x` is not a GUID"),
        ] {
            let refused = records(fields).unwrap_err();
            assert!(refused.contains(problem) && refused.contains("test.toml:"), "{refused}");
            assert!(!refused.contains("hunter2"));
        }
    }
}
