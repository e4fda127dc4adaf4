//! `[[user_assigned.federated_credentials]]`: tokens of other issuers by which an identity proves itself.

use serde::Deserialize;
use toml::Spanned;

use super::reader::Reader;
use crate::service::world::federation::{AUDIENCE, FederatedCredential};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FederatedCredentialEntry {
    name: String,
    issuer: String,
    subject: String,
    audiences: Option<Vec<String>>,
}

impl FederatedCredentialEntry {
    fn credential(&self) -> FederatedCredential {
        let usual = || vec![AUDIENCE.to_owned()];
        FederatedCredential {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            audiences: self.audiences.clone().unwrap_or_else(usual),
        }
    }
}

impl Reader<'_> {
    /// Returns the good ones among the credentials of an identity.
    pub(super) fn federated_credentials(
        &mut self,
        entries: &[Spanned<FederatedCredentialEntry>],
    ) -> Vec<FederatedCredential> {
        let mut held = Vec::new();
        for entry in entries {
            let credential = entry.get_ref().credential();
            if held.iter().any(|other: &FederatedCredential| other.is_named(&credential.name)) {
                let name = &credential.name;
                let what = format!("the federated credential `{name}` is there twice; remove one");
                self.problem(&entry.span(), what);
                continue;
            }
            let added = credential.add_to(&mut held);
            self.keep(&entry.span(), added);
        }
        held
    }
}

#[cfg(test)]
mod tests {
    use crate::service::world::federation::FederatedCredential;
    use crate::service::world::file::parse;
    use crate::service::world::record::Record;
    use crate::service::world::tests::PREFIX;

    const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000002";

    /// Returns the credentials of the identity `web`, whose entry ends with this text.
    fn read(fields: &str) -> Result<Vec<FederatedCredential>, String> {
        let entry = format!(
            "\n[[user_assigned]]\nname = 'web'\nsubscription = '{SUBSCRIPTION}'\nresource_group = 'g'\n{fields}"
        );
        let records = parse("w.toml", &format!("{PREFIX}{entry}"));
        let records = records.map_err(|error| error.to_string())?;
        let found = records.into_iter().find_map(|record| match record {
            Record::UserAssigned(own) if own.id.name() == "web" => Some(own.federated_credentials),
            _ => None,
        });
        Ok(found.unwrap())
    }

    const ONE: &str = "[[user_assigned.federated_credentials]]\nname = 'k8s'\nissuer = 'https://issuer'\nsubject = 'pod'\n";

    #[test]
    fn credentials_are_those_of_their_identity_and_have_the_usual_audience() {
        let other = ONE.replace("k8s", "ci-1").replace("pod", "repo") + "audiences = ['a', 'b']\n";
        let held = read(&format!("{ONE}{other}")).unwrap();
        let shown: Vec<_> =
            held.iter().map(|own| (own.name.as_str(), own.audiences.join(" "))).collect();
        assert_eq!(
            shown,
            [("ci-1", "a b".to_owned()), ("k8s", "api://AzureADTokenExchange".to_owned())]
        );
        assert!(read("").unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_a_credential_is_said_with_its_line() {
        for (fields, problem) in [
            (ONE.replace("https://issuer", "issuer"), "The issuer 'issuer' is not valid"),
            (ONE.replace("k8s", "k"), "The name 'k' of the Federated Identity Credential"),
            (ONE.replace("'pod'", "''"), "must specify 'issuer', 'subject' and 'audience'"),
            (format!("{ONE}{ONE}"), "the federated credential `k8s` is there twice"),
            (format!("{ONE}{}", ONE.replace("k8s", "other")), "combination already exists"),
            (ONE.replace("subject", "subjct"), "unknown field `subjct`"),
        ] {
            let refused = read(&fields).unwrap_err();
            assert!(refused.contains(problem) && refused.contains("w.toml:"), "{refused}");
        }
    }
}
