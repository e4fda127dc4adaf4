//! Differences of two worlds.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::service::world::record::Record;

/// Returns one line for each item that only one world has, or that differs. Values are not shown, because
/// they may be secret.
pub(super) fn lines(
    before: &BTreeMap<String, Record>,
    after: &BTreeMap<String, Record>,
) -> Result<Vec<String>, serde_json::Error> {
    let mut lines = Vec::new();
    for (key, old) in before {
        match after.get(key) {
            None => lines.push((key, format!("- {key}"))),
            Some(new) if new != old => {
                let members = differing(&members(old)?, &members(new)?).join(", ");
                lines.push((key, format!("~ {key}: {members}")));
            }
            Some(_) => {}
        }
    }
    let new = after.keys().filter(|key| !before.contains_key(*key));
    lines.extend(new.map(|key| (key, format!("+ {key}"))));
    lines.sort();
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// Returns the members of a record, without its kind.
fn members(record: &Record) -> Result<BTreeMap<String, Value>, serde_json::Error> {
    let Value::Object(tagged) = serde_json::to_value(record)? else { return Ok(BTreeMap::new()) };
    let members = tagged.into_iter().find_map(|(_, members)| match members {
        Value::Object(members) => Some(members),
        _ => None,
    });
    Ok(members.into_iter().flatten().collect())
}

fn differing(old: &BTreeMap<String, Value>, new: &BTreeMap<String, Value>) -> Vec<String> {
    let mut names: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| old.get(name) != new.get(name));
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::world::archive::by_key;
    use crate::service::world::file;

    #[test]
    fn each_difference_is_a_line_without_values() {
        let before = by_key(file::demo().unwrap());
        let mut after = before.clone();
        for record in after.values_mut() {
            if let Record::VirtualMachine(vm) = record {
                vm.address = Some("127.0.0.77".parse().unwrap());
            }
        }
        let gone = after.keys().find(|key| key.starts_with("vault ")).unwrap().clone();
        after.remove(&gone);
        after.insert("audience api://new".to_owned(), Record::Audience("api://new".to_owned()));
        let said = lines(&before, &after).unwrap();
        let [new, vault, vm] = &said[..] else { panic!("{said:?}") };
        assert_eq!((new.as_str(), vault), ("+ audience api://new", &format!("- {gone}")));
        assert!(vm.starts_with("~ virtualMachine ") && vm.ends_with(": address"), "{vm}");
        assert!(lines(&before, &before).unwrap().is_empty());
    }
}
