//! Secrets that stay when a file without secrets replaces a world.
//!
//! Such a file says nothing of secrets. Those of items that both worlds have stay as they are. Those of other
//! items go with their item.

use std::collections::{BTreeMap, BTreeSet};

use super::record::Record;
use crate::base::ids::ArmId;

/// Records by the texts of their keys.
type ByKey = BTreeMap<String, Record>;

/// Gives the vaults and applications of `wanted` the secrets that they have in `before`.
pub(crate) fn keep(before: &ByKey, wanted: &mut ByKey) {
    let vaults: BTreeSet<String> = wanted.values().filter_map(vault).collect();
    for (key, record) in before {
        if holder(record).is_some_and(|vault| vaults.contains(&vault.to_key())) {
            wanted.insert(key.clone(), record.clone());
        } else if let Record::Application(held) = record
            && let Some(Record::Application(own)) = wanted.get_mut(key)
            && own.principal_id == held.principal_id
        {
            own.secret_digests.clone_from(&held.secret_digests);
        }
    }
}

/// Returns the number of secrets that `before` has and `after` has not, for each vault and each application:
/// "2 of the vault `orders`". Versions of a secret or a key count as one.
pub(crate) fn lost(before: &ByKey, after: &ByKey) -> Vec<String> {
    let mut objects: BTreeMap<&str, BTreeSet<(bool, String)>> = BTreeMap::new();
    let mut clients = Vec::new();
    for (key, record) in before {
        if let Some((vault, object)) = object(record).filter(|_| !after.contains_key(key)) {
            objects.entry(vault.name()).or_default().insert(object);
        }
        if let Record::Application(held) = record
            && let count @ 1.. = lost_digests(&held.secret_digests, after.get(key))
        {
            clients.push(format!("{count} of the application `{}`", held.display_name));
        }
    }
    let vaults = objects.iter().map(|(name, own)| format!("{} of the vault `{name}`", own.len()));
    vaults.chain(clients).collect()
}

/// Returns the id of a vault, deleted or not, as keys have it.
fn vault(record: &Record) -> Option<String> {
    match record {
        Record::Vault(own) => Some(own.id.to_key()),
        Record::DeletedVault(own) => Some(own.vault.id.to_key()),
        _ => None,
    }
}

/// Returns the vault of a secret or a key.
fn holder(record: &Record) -> Option<&ArmId> {
    object(record).map(|(vault, _)| vault)
}

/// Returns the vault of a secret or a key, and its name. The first part of the name is true for a key.
fn object(record: &Record) -> Option<(&ArmId, (bool, String))> {
    let (vault, is_key, name) = match record {
        Record::SecretVersion(own) => (&own.vault, false, &own.name),
        Record::DeletedSecret(own) => (&own.vault, false, &own.name),
        Record::KeyVersion(own) => (&own.vault, true, &own.name),
        Record::DeletedKey(own) => (&own.vault, true, &own.name),
        _ => return None,
    };
    Some((vault, (is_key, name.to_lowercase())))
}

/// Returns the number of these digests that an application has not any more.
fn lost_digests(held: &[String], after: Option<&Record>) -> usize {
    let left = match after {
        Some(Record::Application(own)) => own.secret_digests.as_slice(),
        _ => &[],
    };
    held.iter().filter(|digest| !left.contains(digest)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::world::archive::{Secrets, by_key, chosen};

    /// Returns the examples of the format description: a record of each kind.
    fn examples() -> Vec<Record> {
        let blocks = include_str!("../../../docs/STORE-FORMAT.md").split("\n```json\n").skip(1);
        let block = |text: &str| serde_json::from_str(text.split("```").next().unwrap()).unwrap();
        blocks.map(block).collect()
    }

    fn without(records: Vec<Record>) -> ByKey {
        by_key(chosen(records, Secrets::LeftOut))
    }

    #[test]
    fn the_secrets_of_vaults_and_applications_that_stay_are_kept() {
        let (before, mut wanted) = (by_key(examples()), without(examples()));
        assert_ne!(wanted, before);
        assert!(!lost(&before, &wanted).is_empty());
        keep(&before, &mut wanted);
        assert_eq!(wanted, before);
        assert!(lost(&before, &wanted).is_empty());
    }

    #[test]
    fn the_secrets_of_what_goes_are_counted_by_vault_and_application() {
        let before = by_key(examples());
        let stays = |record: &Record| vault(record).is_none() && !is_application(record);
        let mut wanted = without(examples().into_iter().filter(stays).collect());
        keep(&before, &mut wanted);
        assert!(wanted.values().all(|record| object(record).is_none()));
        let said = lost(&before, &wanted);
        assert!(said.iter().any(|line| line.contains(" of the vault `")), "{said:?}");
        assert!(said.iter().any(|line| line.starts_with("1 of the application `")), "{said:?}");
    }

    fn is_application(record: &Record) -> bool {
        matches!(record, Record::Application(_))
    }

    #[test]
    fn an_application_that_was_made_again_does_not_get_the_secrets_of_the_first_one() {
        let (before, mut wanted) = (by_key(examples()), without(examples()));
        for record in wanted.values_mut() {
            if let Record::Application(own) = record {
                own.principal_id = "00000000-0000-4000-8000-0000000000ff".parse().unwrap();
            }
        }
        keep(&before, &mut wanted);
        let said = lost(&before, &wanted);
        assert!(said.len() == 1 && said[0].contains(" of the application `"), "{said:?}");
    }
}
