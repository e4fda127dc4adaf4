//! Hash set of values that know their own keys. A map would store each key a second time.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use foldhash::fast::RandomState;

/// A value with a key of this type. The key never changes.
pub(crate) trait Keyed<K> {
    /// Returns the key.
    fn key(&self) -> &K;
}

/// A set of values with different keys.
#[derive(Debug)]
pub(crate) struct KeyedSet<K, V>(HashSet<Entry<K, V>, RandomState>);

#[derive(Debug)]
struct Entry<K, V>(V, PhantomData<K>);

impl<K, V> Default for KeyedSet<K, V> {
    fn default() -> Self {
        Self(HashSet::default())
    }
}

impl<K: Eq + Hash, V: Keyed<K>> KeyedSet<K, V> {
    /// Makes room for so many more values.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    /// Returns the value with this key.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key).map(|entry| &entry.0)
    }

    /// Returns true if a value has this key.
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.0.contains(key)
    }

    /// Adds a value. It replaces the one with the same key.
    pub(crate) fn put(&mut self, value: V) {
        self.0.replace(Entry(value, PhantomData));
    }

    /// Removes the value with this key, and returns it.
    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        self.0.take(key).map(|entry| entry.0)
    }

    /// Returns the values, in no order.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.iter().map(|entry| &entry.0)
    }
}

impl<K, V: Keyed<K>> Borrow<K> for Entry<K, V> {
    fn borrow(&self) -> &K {
        self.0.key()
    }
}

impl<K: Hash, V: Keyed<K>> Hash for Entry<K, V> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

impl<K: Eq, V: Keyed<K>> PartialEq for Entry<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl<K: Eq, V: Keyed<K>> Eq for Entry<K, V> {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    impl Keyed<u8> for (u8, u16) {
        fn key(&self) -> &u8 {
            &self.0
        }
    }

    proptest! {
        #[test]
        fn a_set_holds_what_a_map_by_the_same_keys_holds(
            steps in proptest::collection::vec((0..8_u8, any::<u16>(), any::<bool>()), 0..60),
        ) {
            let (mut set, mut map) = (KeyedSet::default(), HashMap::new());
            for (key, value, is_put) in steps {
                if is_put {
                    set.put((key, value));
                    map.insert(key, value);
                } else {
                    prop_assert_eq!(set.remove(&key).map(|(_, value)| value), map.remove(&key));
                }
                prop_assert_eq!(set.get(&key).map(|(_, value)| value), map.get(&key));
                prop_assert_eq!(set.contains(&key), map.contains_key(&key));
            }
            prop_assert_eq!(set.values().copied().collect::<HashMap<_, _>>(), map);
        }
    }
}
