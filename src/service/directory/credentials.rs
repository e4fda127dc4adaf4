//! Certificates of service principals. An identity gets its first one soon after it is created, or on first
//! use. Each is rolled long before it expires; the old one stays valid meanwhile.
//!
//! Only managed identities get certificates here, as in Azure; applications bring their own. Generating a key
//! takes about 100 ms, so it never happens inside a write.

use std::sync::Arc;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::core::Directory;
use super::effective::LEEWAY;
use super::error::CredentialError;
use super::state::{Principal, State};
use crate::base::clock::UnixSeconds;
use crate::base::ids::{ClientId, PrincipalId};
use crate::base::x509::Certificate;
use crate::service::store::StoreError;
use crate::service::token::{CertificateKey, certify_client, generate_client_key};
use crate::service::world::record::{Change, Credential, Key, Record, StoredSecret};

/// Result of one round of rolling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rolled {
    /// Certificates issued.
    pub issued: usize,
    /// Certificates removed.
    pub removed: usize,
}

/// Greatest number of certificates of one principal. Rolling by hand beyond it removes the oldest.
const CREDENTIALS_MAX: usize = 8;

impl Directory {
    /// Generates a certificate for a principal, for a later write. Changes nothing itself. Takes 100 ms.
    ///
    /// # Errors
    /// Returns an error when the key or the certificate cannot be generated.
    pub fn credential_for(
        &self,
        principal_id: PrincipalId,
        client_id: ClientId,
        now: UnixSeconds,
    ) -> Result<Credential, CredentialError> {
        let options = &self.credential_options;
        let (private_key, not_after) = (generate_client_key()?, now + options.lifetime);
        let certificate =
            certify_client(&*options.issuer, &private_key, client_id, now, not_after)?;
        Ok(Credential {
            principal_id,
            thumbprint: Certificate::from_der(&certificate)?.thumbprint(),
            certificate: BASE64_STANDARD.encode(certificate),
            private_key: Some(StoredSecret(private_key)),
            not_before: now,
            not_after,
        })
    }

    /// Returns the newest certificate of a principal that is valid at `now`, with its key. A managed identity
    /// without one gets one.
    ///
    /// # Errors
    /// Returns `UnknownPrincipal`, `NotKept`, or the error of generating, storing or parsing a certificate.
    pub fn certificate_of(
        &self,
        principal_id: PrincipalId,
        now: UnixSeconds,
    ) -> Result<Arc<CertificateKey>, CredentialError> {
        let newest = newest(&self.read(), principal_id, now)?;
        let credential = match newest {
            Some(credential) => credential,
            None => self.provision(principal_id, now)?,
        };
        self.key_cache.key(&credential)
    }

    /// Issues a certificate to a managed identity, unless it has a valid one.
    ///
    /// # Errors
    /// Returns the errors of [`certificate_of`](Self::certificate_of).
    pub fn provision(
        &self,
        principal_id: PrincipalId,
        now: UnixSeconds,
    ) -> Result<Arc<Credential>, CredentialError> {
        let wanted = |state: &State| newest(state, principal_id, now);
        self.issue(principal_id, now, wanted).map(|(credential, _)| credential)
    }

    /// Issues another certificate to a managed identity. Its other certificates stay valid.
    ///
    /// # Errors
    /// Returns the errors of [`certificate_of`](Self::certificate_of).
    pub fn roll(
        &self,
        principal_id: PrincipalId,
        now: UnixSeconds,
    ) -> Result<Arc<Credential>, CredentialError> {
        self.issue(principal_id, now, |_| Ok(None)).map(|(credential, _)| credential)
    }

    /// Rolls managed identities whose newest certificate is due, at most `limit` of them, and removes expired
    /// certificates. Takes 100 ms per identity, so call it on a thread of its own.
    ///
    /// # Errors
    /// Returns the error of removing expired certificates. Certificates that were rolled stay.
    pub fn roll_due(&self, now: UnixSeconds, limit: usize) -> Result<Rolled, CredentialError> {
        let roll_after = self.credential_options.roll_after;
        let is_due = |held: &[Arc<Credential>]| {
            let mut kept = held.iter().filter(|own| own.private_key.is_some());
            // A certificate dated before the clock was set back may lie in the future, and is not usable yet.
            match kept.clone().rfind(|own| has_begun(own, now)) {
                Some(newest) => newest.not_before + roll_after <= now || newest.not_after <= now,
                None => kept.next().is_some(),
            }
        };
        let mut rolled = self.roll_those(now, limit, is_due);
        rolled.removed += self.remove_expired(now)?;
        Ok(rolled)
    }

    /// Rolls every managed identity that has a certificate, due or not.
    pub fn roll_all(&self, now: UnixSeconds) -> Rolled {
        self.roll_those(now, usize::MAX, |held| !held.is_empty())
    }

    fn roll_those(
        &self,
        now: UnixSeconds,
        limit: usize,
        wanted: impl Fn(&[Arc<Credential>]) -> bool,
    ) -> Rolled {
        let managed = self.managed(|state, id| wanted(state.credentials(id)).then_some(id));
        let mut rolled = Rolled::default();
        for principal_id in managed.into_iter().take(limit) {
            // Another thread may have rolled this identity meanwhile.
            let plan = |state: &State| {
                let held = state.credentials(principal_id);
                Ok(if wanted(held) { None } else { held.last().cloned() })
            };
            match self.issue(principal_id, now, plan) {
                Ok((_, done)) => {
                    rolled.issued += done.issued;
                    rolled.removed += done.removed;
                }
                // The identity ended meanwhile, and its certificates with it.
                Err(CredentialError::UnknownPrincipal(_)) => {}
                // One failure does not stop the other identities from being rolled.
                Err(error) => {
                    tracing::warn!(%error, %principal_id, "a certificate was not rolled; the old one goes on, and it is tried again");
                }
            }
        }
        rolled
    }

    fn remove_expired(&self, now: UnixSeconds) -> Result<usize, CredentialError> {
        let expired = self.managed(|state, id| {
            let held = state.credentials(id).iter().filter(|own| own.not_after <= now);
            Some(held.map(|own| remove(own)).collect::<Vec<_>>())
        });
        let changes: Vec<Change> = expired.into_iter().flatten().collect();
        let count = changes.len();
        self.write(now, |_, _| Ok::<_, StoreError>((changes, ())))?;
        Ok(count)
    }

    /// Calls `of` for each managed identity that has a certificate, and returns the results.
    fn managed<T>(&self, of: impl Fn(&State, PrincipalId) -> Option<T>) -> Vec<T> {
        let state = self.read();
        let is_managed =
            |id: &PrincipalId| matches!(state.principal(*id), Some(Principal::ManagedIdentity(_)));
        let ids = state.certified().filter(is_managed);
        ids.filter_map(|id| of(&state, id)).collect()
    }

    /// Issues a certificate to the oldest identity created since the start that still has none. Identities
    /// from a loaded world get theirs on first use. Takes 100 ms. Returns true if there was such an identity.
    ///
    /// # Errors
    /// Returns the errors of [`certificate_of`](Self::certificate_of).
    pub fn provision_next(&self, now: UnixSeconds) -> Result<bool, CredentialError> {
        if self.read().unprovisioned.is_empty() {
            return Ok(false);
        }
        let next = {
            let mut state = self.state.write();
            // Identities that ended before their turn are skipped.
            std::iter::from_fn(|| {
                let id = state.unprovisioned.pop_front()?;
                Some(state.principal(id).map(|_| id))
            })
            .flatten()
            .next()
        };
        let Some(principal_id) = next else { return Ok(false) };
        match self.provision(principal_id, now) {
            Ok(_) | Err(CredentialError::UnknownPrincipal(_)) => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Issues a certificate, unless `held` finds a suitable one before or during the write.
    fn issue(
        &self,
        principal_id: PrincipalId,
        now: UnixSeconds,
        held: impl Fn(&State) -> Result<Option<Arc<Credential>>, CredentialError>,
    ) -> Result<(Arc<Credential>, Rolled), CredentialError> {
        let (client_id, before) = {
            let state = self.read();
            (managed_client(&state, principal_id)?, held(&state)?)
        };
        if let Some(before) = before {
            return Ok((before, Rolled::default()));
        }
        let made = self.credential_for(principal_id, client_id, now)?;
        self.write(now, |state, _| {
            managed_client(state, principal_id)?;
            if let Some(before) = held(state)? {
                return Ok((Vec::new(), (before, Rolled::default())));
            }
            let held = state.credentials(principal_id);
            let surplus = (held.len() + 1).saturating_sub(CREDENTIALS_MAX);
            let mut changes: Vec<_> = held.iter().take(surplus).map(|own| remove(own)).collect();
            let rolled = Rolled { issued: 1, removed: changes.len() };
            changes.push(Change::Put(Record::Credential(made.clone())));
            Ok((changes, (Arc::new(made), rolled)))
        })
    }
}
fn remove(credential: &Credential) -> Change {
    Change::Remove(Key::Credential(credential.principal_id, credential.thumbprint.clone()))
}

/// Returns the client id of a managed identity.
fn managed_client(state: &State, id: PrincipalId) -> Result<ClientId, CredentialError> {
    match state.principal(id) {
        Some(Principal::ManagedIdentity(identity)) => Ok(identity.ids.client_id),
        Some(Principal::Application(own)) => Err(CredentialError::NotKept(own.client_id)),
        None => Err(CredentialError::UnknownPrincipal(id)),
    }
}

/// Returns true if a certificate is valid already, for verifiers that tolerate lagging clocks.
fn has_begun(credential: &Credential, now: UnixSeconds) -> bool {
    credential.not_before <= now + LEEWAY
}

/// Returns the newest certificate that is valid at `now` and has its private key in the store.
fn newest(
    state: &State,
    id: PrincipalId,
    now: UnixSeconds,
) -> Result<Option<Arc<Credential>>, CredentialError> {
    state.principal(id).ok_or(CredentialError::UnknownPrincipal(id))?;
    let usable = |own: &&Arc<Credential>| {
        own.private_key.is_some() && has_begun(own, now) && now < own.not_after
    };
    Ok(state.credentials(id).iter().rfind(usable).cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Seconds;
    use crate::service::directory::tests::{NOW, demo};

    #[test]
    fn an_identity_that_is_made_gets_its_certificate_and_one_that_was_there_waits_for_its_need() {
        let directory = demo();
        assert!(!directory.provision_next(NOW).unwrap());
        let (id, tags) = (
            "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo/providers/Microsoft.ManagedIdentity/userAssignedIdentities/new",
            crate::service::world::record::Tags::new(),
        );
        let ids = directory
            .write(NOW, |_, fresh| Ok::<_, StoreError>((Vec::new(), fresh.identity_ids())))
            .unwrap();
        let identity = crate::service::world::record::UserAssigned {
            id: id.parse().unwrap(),
            ids,
            location: "local".to_owned(),
            tags,
            isolation_scope: None,
            federated_credentials: Vec::new(),
        };
        crate::service::directory::tests::put(&directory, Record::UserAssigned(identity));
        assert!(directory.provision_next(NOW).unwrap());
        assert_eq!(directory.read().credentials(ids.principal_id).len(), 1);
        assert!(!directory.provision_next(NOW).unwrap());
    }

    const DAY: Seconds = Seconds(86_400);

    /// Returns a managed identity, always the same one.
    fn principal(directory: &Directory) -> PrincipalId {
        let state = directory.read();
        let managed = state.principals().filter_map(|principal| match principal {
            Principal::ManagedIdentity(identity) => Some(identity.ids.principal_id),
            Principal::Application(_) => None,
        });
        managed.min().unwrap()
    }

    fn thumbprints(directory: &Directory, id: PrincipalId) -> Vec<String> {
        directory.read().credentials(id).iter().map(|own| own.thumbprint.clone()).collect()
    }

    #[test]
    fn an_identity_gets_its_certificate_when_it_first_needs_one_and_keeps_it() {
        let directory = demo();
        let id = principal(&directory);
        let first = directory.certificate_of(id, NOW).unwrap();
        let again = directory.certificate_of(id, NOW + DAY).unwrap();
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(thumbprints(&directory, id), [first.certificate().thumbprint()]);
        let client_id = directory.read().principal(id).unwrap().ids().client_id;
        assert_eq!(first.certificate().common_name(), Some(&*client_id.to_string()));
    }

    #[test]
    fn a_certificate_is_rolled_after_half_its_life_and_the_old_one_goes_when_it_expires() {
        let directory = demo();
        let id = principal(&directory);
        let first = directory.certificate_of(id, NOW).unwrap().certificate().thumbprint();
        let after = |days| NOW + Seconds(DAY.0 * days);
        assert_eq!(directory.roll_due(after(44), 8).unwrap(), Rolled::default());
        assert_eq!(directory.roll_due(after(45), 8).unwrap(), Rolled { issued: 1, removed: 0 });
        assert_eq!(directory.roll_due(after(46), 8).unwrap(), Rolled::default());
        let both = thumbprints(&directory, id);
        assert!(both.len() == 2 && both[0] == first);
        let newest = directory.certificate_of(id, after(46)).unwrap();
        assert_eq!(newest.certificate().thumbprint(), both[1]);
        assert_eq!(directory.roll_due(after(90), 8).unwrap(), Rolled { issued: 1, removed: 1 });
        let then = thumbprints(&directory, id);
        assert!(then.len() == 2 && then[0] == both[1]);
    }

    #[test]
    fn after_the_clock_is_set_back_there_is_a_certificate_for_now_and_it_is_rolled_in_time() {
        let directory = demo();
        let id = principal(&directory);
        let after = |days| NOW + Seconds(DAY.0 * days);
        let ahead = directory.certificate_of(id, after(31)).unwrap();
        assert_eq!(directory.roll_due(NOW, 8).unwrap(), Rolled { issued: 1, removed: 0 });
        assert_eq!(directory.roll_due(NOW, 8).unwrap(), Rolled::default());
        let now = directory.certificate_of(id, NOW).unwrap();
        assert!(now.certificate().is_valid(NOW) && !ahead.certificate().is_valid(NOW));
        // The certificate from the future is used once it becomes valid.
        let later = directory.certificate_of(id, after(31)).unwrap();
        assert_eq!(later.certificate().thumbprint(), ahead.certificate().thumbprint());
        assert_eq!(directory.roll_due(after(75), 8).unwrap().issued, 0);
        assert_eq!(directory.roll_due(after(76), 8).unwrap().issued, 1);
    }

    #[test]
    fn rolling_by_hand_again_and_again_keeps_the_newest_few() {
        let directory = demo();
        let id = principal(&directory);
        assert_eq!(directory.roll_all(NOW), Rolled::default());
        let first = directory.provision(id, NOW).unwrap();
        for round in 1..CREDENTIALS_MAX as u64 {
            directory.roll(id, NOW + Seconds(round)).unwrap();
        }
        assert!(thumbprints(&directory, id).contains(&first.thumbprint));
        assert_eq!(directory.roll_all(NOW + DAY), Rolled { issued: 1, removed: 1 });
        assert!(!thumbprints(&directory, id).contains(&first.thumbprint));
        assert_eq!(thumbprints(&directory, id).len(), CREDENTIALS_MAX);
    }

    #[test]
    fn a_removed_identity_gets_no_certificate() {
        let directory = demo();
        let id = principal(&directory);
        let Some(Principal::ManagedIdentity(identity)) = directory.read().principal(id).cloned()
        else {
            panic!("a managed identity")
        };
        let key = match identity.kind {
            crate::service::world::IdentityKind::SystemAssigned => {
                Key::VirtualMachine(identity.resource_id.clone())
            }
            crate::service::world::IdentityKind::UserAssigned => {
                Key::UserAssigned(identity.resource_id.clone())
            }
        };
        directory.certificate_of(id, NOW).unwrap();
        directory.write(NOW, |_, _| Ok::<_, StoreError>((vec![Change::Remove(key)], ()))).unwrap();
        let refused = directory.certificate_of(id, NOW);
        assert!(matches!(refused, Err(CredentialError::UnknownPrincipal(_))));
        assert!(matches!(directory.roll(id, NOW), Err(CredentialError::UnknownPrincipal(_))));
        assert!(thumbprints(&directory, id).is_empty());
    }
}
