//! The values on which all parts of a merged result agree.

use std::collections::BTreeSet;

use crate::harness::document::extra::Extra;

/// Returns the value that all share, or none if one is unknown or differs.
pub(super) fn alike<'a, T: Clone + PartialEq + 'a>(
    mut values: impl Iterator<Item = &'a Option<T>>,
) -> Option<T> {
    let first = values.next()?.as_ref()?;
    values.all(|value| value.as_ref() == Some(first)).then(|| first.clone())
}

/// Merges fields of later versions: keeps the values that all share, and sets the others to null.
pub(super) fn agreed<'a>(all: impl Iterator<Item = &'a Extra>) -> Extra {
    let all: Vec<&Extra> = all.collect();
    let names: BTreeSet<&String> = all.iter().flat_map(|extra| extra.keys()).collect();
    let value = |name: &String| {
        let first = all.first().and_then(|extra| extra.get(name));
        let alike = all.iter().all(|extra| extra.get(name) == first);
        first.filter(|_| alike).cloned().unwrap_or_default()
    };
    names.into_iter().map(|name| (name.clone(), value(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_known_only_where_all_have_it_alike() {
        assert_eq!(alike([Some(1), Some(1)].iter()), Some(1));
        for values in [[Some(1), Some(2)], [Some(1), None], [None, Some(1)], [None, None]] {
            assert_eq!(alike(values.iter()), None, "{values:?}");
        }
        assert_eq!(alike::<u64>([].iter()), None);
    }
}
