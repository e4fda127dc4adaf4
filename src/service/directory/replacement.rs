//! Replacement of the whole world, and its records.

use std::collections::{BTreeMap, BTreeSet};

use super::apply::rank;
use super::core::Directory;
use super::error::ReplaceError;
use super::objects::Objects;
use super::state::{Principal, State};
use crate::base::clock::UnixSeconds;
use crate::base::ids::ArmId;
use crate::service::world::archive::{Archive, Secrets, by_key, world_of};
use crate::service::world::left_out;
use crate::service::world::record::{
    Application, Change, Credential, DeletedObject, DeletedVault, FormerAddress, ObjectVersion,
    Record, ResourceGroup, StoredSigningKey, Subscription, Tenant, UserAssigned, Vault,
    VirtualMachine,
};

/// Permission to lose items that are not in the new world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losses {
    /// The new world replaces the old one.
    Allowed,
    /// Nothing is removed or changed; items are only added.
    Refused,
}

/// Result of a replacement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replaced {
    /// Number of changed records.
    pub changes: usize,
    /// Resources of tokens that have no effect before the next start of the server.
    pub later: Vec<String>,
    /// Numbers of secrets that went with their vaults and applications, such as "2 of the vault `orders`".
    /// Always empty when the new world came with its secrets.
    pub secrets: Vec<String>,
}

impl Directory {
    /// Makes `wanted` the world. Signing keys, certificates of identities that stay and the operator are kept.
    /// So are the secrets of items that stay, if `wanted` came without secrets. Unlike in
    /// [`write`](Self::write), addresses of machines that go are not remembered: the new world says which are.
    ///
    /// # Errors
    /// Returns `Occupied` when items would be lost and may not be. Returns the error of the store.
    pub(crate) fn replace_world(
        &self,
        wanted: Archive,
        losses: Losses,
        now: UnixSeconds,
    ) -> Result<Replaced, ReplaceError> {
        let resources = wanted.records.iter().filter_map(|record| match record {
            Record::Audience(name) if self.resources().named(name).is_none() => Some(name.clone()),
            _ => None,
        });
        let later = resources.collect();
        let (changes, secrets) = self.write_exactly(now, |state, _| {
            let Replacement { mut changes, lost, secrets } = state.replacement(wanted);
            if losses == Losses::Refused
                && let Some(first) = lost.first()
            {
                return Err(ReplaceError::Occupied { count: lost.len(), first: first.clone() });
            }
            changes.extend(state.orphans(&changes));
            let count = changes.len();
            Ok((changes, (count, secrets)))
        })?;
        // As at a start: certificates of a whole world would take too long, and are made when they are needed.
        self.state.write().unprovisioned.clear();
        Ok(Replaced { changes, later, secrets })
    }
}

/// Changes that turn one world into another.
struct Replacement {
    changes: Vec<Change>,
    /// Keys of items that the changes remove or change.
    lost: Vec<String>,
    /// Secrets that a world without secrets loses, by vault and application.
    secrets: Vec<String>,
}

impl State {
    /// Returns the records of everything that exists, in no order.
    pub fn records(&self) -> Vec<Record> {
        let mut all = Vec::new();
        all.extend(self.tenants.values().map(|own| Record::Tenant(Tenant::clone(own))));
        let subscriptions = self.subscriptions.values();
        all.extend(subscriptions.map(|own| Record::Subscription(Subscription::clone(own))));
        all.extend(self.audiences.iter().cloned().map(Record::Audience));
        all.extend(self.principals.values().filter_map(|principal| match principal {
            Principal::Application(own) => Some(Record::Application(Application::clone(own))),
            Principal::ManagedIdentity(_) => None,
        }));
        all.extend(
            self.groups.values().map(|own| Record::ResourceGroup(ResourceGroup::clone(own))),
        );
        let identities = self.user_assigned.values();
        all.extend(identities.map(|own| Record::UserAssigned(UserAssigned::clone(&own.record))));
        let vms = self.vms.values().map(|own| VirtualMachine::clone(&own.vm.record));
        all.extend(vms.map(Record::VirtualMachine));
        all.extend(self.former_addresses.iter().map(|(address, vm_id)| {
            Record::FormerAddress(FormerAddress { address: *address, vm_id: *vm_id })
        }));
        all.extend(self.vaults.values().map(|own| Record::Vault(Vault::clone(own))));
        let deleted = self.deleted_vaults.values();
        all.extend(deleted.map(|own| Record::DeletedVault(DeletedVault::clone(own))));
        let assignments = self.role_assignments.values();
        all.extend(assignments.map(|own| Record::RoleAssignment(own.record.clone())));
        let credentials = self.credentials.values().flatten();
        all.extend(credentials.map(|own| Record::Credential(Credential::clone(own))));
        let keys = self.signing_keys.values();
        all.extend(keys.map(|own| Record::SigningKey(StoredSigningKey::clone(own))));
        all.extend(objects(&self.secrets, Record::SecretVersion, Record::DeletedSecret));
        all.extend(objects(&self.keys, Record::KeyVersion, Record::DeletedKey));
        all
    }

    fn replacement(&self, wanted: Archive) -> Replacement {
        let before = by_key(world_of(self.records()));
        let has_secrets = wanted.secrets == Secrets::Kept;
        let mut wanted = by_key(world_of(wanted.records));
        let secrets = if has_secrets {
            Vec::new()
        } else {
            left_out::keep(&before, &mut wanted);
            left_out::lost(&before, &wanted)
        };
        let gone = before.iter().filter(|(key, _)| !wanted.contains_key(*key));
        let (mut removals, mut lost) = (Vec::new(), Vec::new());
        for (text, record) in gone {
            lost.push(text.clone());
            removals.push(record);
        }
        // In the reverse of the load order, so that nothing is removed before what names it.
        removals.sort_by_key(|record| std::cmp::Reverse(rank(record)));
        let puts = puts(&before, wanted, &mut lost);
        let removals = removals.into_iter().map(|record| Change::Remove(record.key()));
        let changes = removals.chain(puts.into_iter().map(Change::Put)).collect();
        Replacement { changes, lost, secrets }
    }
}

/// Returns the records of all secrets or of all keys.
fn objects<C: Clone>(
    held: &Objects<C>,
    version: fn(ObjectVersion<C>) -> Record,
    deleted: fn(DeletedObject) -> Record,
) -> impl Iterator<Item = Record> {
    held.all().flat_map(move |object| {
        let versions = object.versions.iter().map(move |own| version(ObjectVersion::clone(own)));
        let removals = object.deleted.iter().map(move |own| deleted(DeletedObject::clone(own)));
        versions.chain(removals)
    })
}

/// Returns the records that are new or different, in the load order. Machines with a new identity are among
/// them, because a machine holds the identity itself and not only its name.
fn puts(
    before: &BTreeMap<String, Record>,
    wanted: BTreeMap<String, Record>,
    lost: &mut Vec<String>,
) -> Vec<Record> {
    let is_new = |text: &str, record: &Record| before.get(text) != Some(record);
    let identities: BTreeSet<ArmId> = wanted
        .iter()
        .filter_map(|(text, record)| match record {
            Record::UserAssigned(own) if is_new(text, record) => Some(own.id.clone()),
            _ => None,
        })
        .collect();
    let mut puts = Vec::new();
    for (text, record) in wanted {
        let differs = is_new(&text, &record);
        let holds_new = matches!(&record, Record::VirtualMachine(vm)
            if vm.user_assigned.iter().any(|held| identities.contains(&held.id)));
        if differs && before.contains_key(&text) {
            lost.push(text);
        }
        if differs || holds_new {
            puts.push(record);
        }
    }
    puts.sort_by_key(rank);
    puts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::secret::Redacted;
    use crate::service::directory::tests::{NOW, change, demo, put};
    use crate::service::world::archive::render;
    use crate::service::world::federation::FederatedCredential;
    use crate::service::world::record::{
        Curve, KeyContent, KeyOperation, KeyVersion, PublicKey, StoredSecret,
    };

    fn text(directory: &Directory) -> String {
        let records = directory.read().records();
        render(records, Secrets::Kept).unwrap()
    }

    /// Returns a world with its secrets.
    fn whole(records: Vec<Record>) -> Archive {
        Archive { secrets: Secrets::Kept, records }
    }

    #[test]
    fn a_world_that_changed_is_put_back_as_it_was() {
        let directory = demo();
        let (before, records) = (text(&directory), directory.read().records());
        let caller = directory.caller([127, 0, 0, 1].into());
        let held = || caller.with_vm(&directory, NOW, |vm| vm.held().count());
        let first = held().unwrap();
        let keys = directory.read().signing_keys().count();
        let all = directory.read().records().into_iter();
        let changes = all.filter_map(|record| match record {
            Record::UserAssigned(_) | Record::SecretVersion(_) => {
                Some(Change::Remove(record.key()))
            }
            Record::VirtualMachine(vm) => {
                Some(Change::Put(Record::VirtualMachine(VirtualMachine {
                    address: Some("127.0.0.9".parse().unwrap()),
                    system_assigned: None,
                    ..vm
                })))
            }
            _ => None,
        });
        let changes: Vec<_> = changes.collect();
        directory
            .write(NOW, |_, _| Ok::<_, crate::service::directory::StoreError>((changes, ())))
            .unwrap();
        assert_ne!(text(&directory), before);
        assert_eq!(held(), None);
        let refused = directory.replace_world(whole(records.clone()), Losses::Refused, NOW);
        assert!(matches!(refused, Err(ReplaceError::Occupied { .. })), "{refused:?}");
        let replaced =
            directory.replace_world(whole(records.clone()), Losses::Allowed, NOW).unwrap();
        assert!(replaced.changes > 0 && replaced.later.is_empty());
        assert_eq!(text(&directory), before);
        assert_eq!(held(), Some(first));
        assert_eq!(directory.read().signing_keys().count(), keys);
        let again = directory.replace_world(whole(records), Losses::Refused, NOW).unwrap();
        assert_eq!(again, Replaced::default());
    }

    fn key_version(vault: &ArmId, name: &str) -> KeyVersion {
        let [x, y] = ["x", "y"].map(str::to_owned);
        let content = KeyContent {
            public: PublicKey::Ec { crv: Curve::P256, x, y },
            private_key: StoredSecret(Redacted::new(b"not a key".to_vec())),
            operations: vec![KeyOperation::Sign],
            rotation_policy: None,
        };
        let version = "0123456789abcdef0123456789abcdef".to_owned();
        KeyVersion::plain(vault.clone(), name.to_owned(), version, content, NOW)
    }

    #[test]
    fn keys_of_vaults_and_federated_credentials_are_put_back() {
        let directory = demo();
        let vault = directory.read().vaults().next().unwrap().id.clone();
        let held = directory.read().records().into_iter().find_map(|record| match record {
            Record::UserAssigned(own) => Some(own),
            _ => None,
        });
        let bare = held.unwrap();
        let trusting = UserAssigned {
            federated_credentials: vec![FederatedCredential {
                name: "kubernetes".to_owned(),
                issuer: "https://issuer.example".to_owned(),
                subject: "pod".to_owned(),
                audiences: vec!["api://AzureADTokenExchange".to_owned()],
            }],
            ..bare.clone()
        };
        let deletion = DeletedObject {
            vault: vault.clone(),
            name: "Old".to_owned(),
            deleted: NOW,
            scheduled_purge: NOW + crate::base::clock::Seconds(86_400),
        };
        let own = [
            Record::KeyVersion(key_version(&vault, "Sign")),
            Record::KeyVersion(key_version(&vault, "Old")),
            Record::DeletedKey(deletion),
        ];
        for record in &own {
            put(&directory, record.clone());
        }
        put(&directory, Record::UserAssigned(trusting));
        let (before, records) = (text(&directory), directory.read().records());
        for record in &own {
            change(&directory, Change::Remove(record.key()));
        }
        put(&directory, Record::UserAssigned(bare));
        put(&directory, Record::KeyVersion(key_version(&vault, "new")));
        assert!(directory.read().key(&vault, "sign").is_none());
        directory.replace_world(whole(records), Losses::Allowed, NOW).unwrap();
        assert_eq!(text(&directory), before);
        let state = directory.read();
        assert!(state.key(&vault, "new").is_none());
        let [sign, old] = ["sign", "old"].map(|name| state.key(&vault, name).unwrap());
        assert!(sign.versions.len() == 1 && sign.deleted.is_none());
        assert!(old.versions.len() == 1 && old.deleted.is_some());
    }
}
