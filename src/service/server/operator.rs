//! Operator: the principal that may do everything, for the owner of the data folder.
//!
//! The first start creates it and assigns it Owner at the root. Its certificate and key are in
//! `operator.pem`, readable by the owner of the folder only; `operator.json` has its ids. The certificate is
//! renewed after half its life, while the server runs too, or at a start without the file.

use std::io;
use std::path::{Path, PathBuf};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;

use crate::base::clock::{Seconds, UnixSeconds};
use crate::base::files;
use crate::base::files::{GroupRead, SecretFileError, read_secret};
use crate::base::ids::RoleAssignmentId;
use crate::base::secret::Redacted;
use crate::base::synthetic::IdentityIds;
use crate::base::tls;
use crate::service::directory::{CredentialError, Directory, IdSource, Principal, State};
use crate::service::store::StoreError;
use crate::service::world::archive::OPERATOR;
use crate::service::world::record::{Application, Change, Credential, Key, Record, RoleAssignment};
use crate::service::world::roles;
use crate::service::world::roles::Scope;

/// File with the certificate and key.
pub(super) const PEM: &str = "operator.pem";

/// Longest accepted file; it usually has about 3 kB.
const PEM_BYTES_MAX: u64 = 64 << 10;

/// File with the operator's ids.
pub(super) const WHO: &str = "operator.json";

/// File with the URLs of the endpoints.
pub(super) const ENDPOINTS: &str = "endpoints.json";

/// Reasons why there is no operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    /// No certificate can be issued to it.
    #[error("cannot make the operator's certificate")]
    Credential(#[from] CredentialError),
    /// The file with the certificate and key cannot be used.
    #[error(transparent)]
    Exposed(#[from] SecretFileError),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the system.
        source: io::Error,
    },
    /// The world has no tenant for it, or no role of that name.
    #[error("the world has no tenant; add one to the world file")]
    NoTenant,
    /// The change was not stored.
    #[error("cannot store the operator")]
    Store(#[from] StoreError),
}

/// The operator of a server, and the path of its certificate.
#[derive(Debug)]
pub(super) struct Operator {
    path: PathBuf,
    ids: IdentityIds,
}

impl Operator {
    /// Issues the next certificate after half the life of the newest one. The newest one stays valid for
    /// clients that have read it.
    pub(super) fn renew(
        &self,
        directory: &Directory,
        now: UnixSeconds,
    ) -> Result<(), OperatorError> {
        let newest = directory.read().credentials(self.ids.principal_id).last().cloned();
        if newest.as_ref().is_some_and(|own| !is_due(own, now)) {
            return Ok(());
        }
        self.certify(directory, newest.map(|own| own.thumbprint.clone()).as_deref(), now)
    }
}

/// Creates the operator if necessary, and makes sure that `folder` holds its certificate and key.
pub(super) fn establish(
    directory: &Directory,
    folder: &Path,
    now: UnixSeconds,
    group: GroupRead,
) -> Result<Operator, OperatorError> {
    // Not part of the `match`, which would hold the read lock during the write.
    let existing = existing(&directory.read());
    let application = match existing {
        Some(application) => application,
        None => directory.write(now, |state, fresh| enrol(state, fresh, now))?,
    };
    let operator = Operator { path: folder.join(PEM), ids: ids(&application) };
    let held = directory.read().credentials(operator.ids.principal_id).last().cloned();
    let kept = match read_secret(&operator.path, PEM_BYTES_MAX, group) {
        Err(error) if error.is_missing() => None,
        read => Some(read?),
    };
    // If a start ended between the two steps, the certificate in the file is not registered.
    let proves = |own: &Credential| {
        let text = kept.as_ref().map(|kept| String::from_utf8_lossy(kept.expose()));
        text.is_some_and(|text| text.contains(&pem("CERTIFICATE", &own.certificate)))
    };
    if held.is_some_and(|own| proves(&own)) {
        operator.renew(directory, now)?;
    } else {
        // All earlier certificates end. So a user whose file was stolen can make the copy worthless by
        // removing the file and starting again.
        operator.certify(directory, None, now)?;
    }
    let who = json!({
        "tenant_id": application.tenant,
        "client_id": application.client_id,
        "object_id": application.principal_id,
    });
    replace_file(&folder.join(WHO), 0o644, format!("{who:#}\n").as_bytes())?;
    Ok(operator)
}

fn ids(application: &Application) -> IdentityIds {
    IdentityIds { client_id: application.client_id, principal_id: application.principal_id }
}

/// Returns true if half the life of a certificate is over. Also if the certificate is not valid yet, as after
/// the clock was set back; five minutes are tolerated, as by verifiers.
fn is_due(credential: &Credential, now: UnixSeconds) -> bool {
    let life = credential.not_after.since(credential.not_before);
    let has_begun = credential.not_before <= now + Seconds(300);
    !has_begun || now + Seconds(life.0 / 2) >= credential.not_after
}

fn existing(state: &State) -> Option<Application> {
    state.principals().find_map(|principal| match principal {
        Principal::Application(application) if application.display_name == OPERATOR => {
            Some(Application::clone(application))
        }
        _ => None,
    })
}

fn enrol(
    state: &State,
    fresh: &mut IdSource<'_>,
    now: UnixSeconds,
) -> Result<(Vec<Change>, Application), OperatorError> {
    let tenant = state.tenants().next().ok_or(OperatorError::NoTenant)?.id;
    let IdentityIds { client_id, principal_id } = fresh.identity_ids();
    let application = Application {
        client_id,
        principal_id,
        tenant,
        display_name: OPERATOR.to_owned(),
        secret_digests: Vec::new(),
    };
    let owner = roles::by_name("Owner").ok_or(OperatorError::NoTenant)?;
    let assignment = RoleAssignment {
        name: RoleAssignmentId::from_bytes(fresh.guid()),
        scope: Scope::root(),
        role: owner.id,
        principal_id,
        principal_type: "ServicePrincipal".to_owned(),
        description: Some("made by the first start".to_owned()),
        created: now,
        created_by: None,
    };
    let records = [Record::Application(application.clone()), Record::RoleAssignment(assignment)];
    Ok((records.map(Change::Put).into(), application))
}

impl Operator {
    /// Issues a certificate. All earlier ones end, except the one whose thumbprint is `kept`.
    ///
    /// The certificate is registered before the file is replaced, and the earlier ones are removed after
    /// that. So the certificate in the file is always registered.
    fn certify(
        &self,
        directory: &Directory,
        kept: Option<&str>,
        now: UnixSeconds,
    ) -> Result<(), OperatorError> {
        let IdentityIds { client_id, principal_id } = self.ids;
        let credential = directory.credential_for(principal_id, client_id, now)?;
        let key = credential.private_key.as_ref().map_or(&[] as &[u8], |key| key.0.expose());
        let text = [
            pem("PRIVATE KEY", &BASE64_STANDARD.encode(key)),
            pem("CERTIFICATE", &credential.certificate),
        ];
        let text = Redacted::new(text.concat().into_bytes());
        let made = credential.thumbprint.clone();
        let public = Credential { private_key: None, ..credential };
        let registered = vec![Change::Put(Record::Credential(public))];
        directory.write(now, |_, _| Ok::<_, OperatorError>((registered, ())))?;
        let written = replace_file(&self.path, 0o600, text.expose());
        let stays = |own: &Credential| match &written {
            Ok(()) => own.thumbprint == made || Some(&*own.thumbprint) == kept,
            Err(_) => own.thumbprint != made,
        };
        directory.write(now, |state, _| {
            let held = state.credentials(principal_id).iter().filter(|own| !stays(own));
            let keys = held.map(|own| Key::Credential(principal_id, own.thumbprint.clone()));
            Ok::<_, OperatorError>((keys.map(Change::Remove).collect(), ()))
        })?;
        written
    }
}

/// Formats base64 text as PEM (RFC 7468).
fn pem(label: &str, base64: &str) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = base64;
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + &format!("-----END {label}-----\n")
}

/// Writes the URLs of all endpoints to the folder, for its other users. A URL has https if the endpoint has
/// both.
pub(super) fn write_endpoints<'a>(
    folder: &Path,
    endpoints: impl Iterator<Item = (&'static str, &'a str)>,
) -> Result<(), OperatorError> {
    let secure = |name: &str, url: &str| match name {
        "sts" => url.replacen("http://", "https://", 1),
        _ => url.to_owned(),
    };
    let endpoints: serde_json::Map<_, _> =
        endpoints.map(|(name, url)| (name.to_owned(), secure(name, url).into())).collect();
    let text = format!("{:#}\n", serde_json::Value::from(endpoints));
    replace_file(&folder.join(ENDPOINTS), 0o644, text.as_bytes())
}

/// Writes the certificate of the authority to a folder that does not keep the authority itself.
pub(super) fn write_authority(folder: &Path, certificate_pem: &str) -> Result<(), OperatorError> {
    replace_file(&folder.join(tls::FILES[0]), 0o644, certificate_pem.as_bytes())
}

/// Writes a whole file, and replaces an existing one.
fn replace_file(path: &Path, mode: u32, content: &[u8]) -> Result<(), OperatorError> {
    let failed = |source| OperatorError::File { path: path.to_owned(), source };
    files::replace(path, mode, content).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::service::directory::tests::{NOW, demo};

    const DAY: u64 = 86_400;

    #[test]
    fn the_certificate_is_renewed_at_half_its_life_and_the_one_before_it_stays_valid() {
        let (directory, folder) = (demo(), tempfile::tempdir().unwrap());
        let operator = establish(&directory, folder.path(), NOW, GroupRead::Refused).unwrap();
        let file = || fs::read_to_string(folder.path().join(PEM)).unwrap();
        let held = || -> Vec<String> {
            let state = directory.read();
            let held = state.credentials(operator.ids.principal_id).iter();
            held.map(|own| pem("CERTIFICATE", &own.certificate)).collect()
        };
        let first = file();
        operator.renew(&directory, NOW + Seconds(44 * DAY)).unwrap();
        assert_eq!(file(), first);
        operator.renew(&directory, NOW + Seconds(45 * DAY)).unwrap();
        let second = file();
        assert_eq!(held().len(), 2);
        assert!(first.ends_with(&held()[0]) && second.ends_with(&held()[1]));
        operator.renew(&directory, NOW + Seconds(90 * DAY)).unwrap();
        assert!(held().len() == 2 && second.ends_with(&held()[0]) && file().ends_with(&held()[1]));
        // A user who lost the file ends the certificate in it.
        fs::remove_file(folder.path().join(PEM)).unwrap();
        establish(&directory, folder.path(), NOW + Seconds(90 * DAY), GroupRead::Refused).unwrap();
        assert!(held().len() == 1 && file().ends_with(&held()[0]));
    }

    #[test]
    fn a_certificate_whose_file_cannot_be_written_is_made_again_later() {
        let (directory, folder) = (demo(), tempfile::tempdir().unwrap());
        let operator = establish(&directory, folder.path(), NOW, GroupRead::Refused).unwrap();
        let due = NOW + Seconds(60 * DAY);
        let path = folder.path().join(PEM);
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        operator.renew(&directory, due).unwrap_err();
        assert_eq!(directory.read().credentials(operator.ids.principal_id).len(), 1);
        fs::remove_dir(&path).unwrap();
        operator.renew(&directory, due).unwrap();
        assert!(path.is_file());
    }
}
