//! Index of the cached tokens of each identity, so that all of them can be removed when the identity ends.
//! Also numbers the resources that are on no list.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::RwLock;

use crate::service::cache::Key;
use crate::service::directory::Ended;
use crate::service::world::{Held, HoldingIndex, IdentityIndex, ResourceIndex};

/// Unlisted resources that one VM can hold tokens for, per identity. The next one displaces the oldest. So a
/// VM that invents names displaces its own tokens and nobody else's.
const UNLISTED_MAX: usize = 32;

/// The resource of a request: a small number and, if it is on no list, its name as in the tokens.
#[derive(Clone, Debug)]
pub(super) enum Resource {
    /// A resource of the list.
    Listed(ResourceIndex),
    /// An unlisted resource. Its number is valid in one holding only.
    Unlisted(u32, Arc<str>),
}

impl Resource {
    /// Returns true if the number always means this resource. Once a holding has ended, the index may give the
    /// number of an unlisted resource to another one.
    pub(super) const fn is_lasting(&self) -> bool {
        matches!(self, Self::Listed(_))
    }

    /// Returns the number for the cache key of one holding.
    pub(super) const fn number(&self) -> u32 {
        match self {
            Self::Listed(index) => index.get(),
            Self::Unlisted(number, _) => *number,
        }
    }
}

type Map<K, V> = HashMap<K, V, foldhash::fast::RandomState>;

/// Keys of the cached tokens, by identity and holding. A cache hit on a listed resource does not read it.
#[derive(Debug, Default)]
pub(super) struct TokenIndex(RwLock<Map<IdentityIndex, Map<HoldingIndex, HoldingTokens>>>);

#[derive(Debug, Default)]
struct HoldingTokens {
    /// Listed resources that a token was minted for.
    listed: Vec<ResourceIndex>,
    /// Unlisted resources, the oldest first.
    unlisted: VecDeque<(u32, Arc<str>)>,
    /// Count of unlisted resources ever named. No number is used twice.
    named: u32,
}

impl HoldingTokens {
    fn unlisted(&self, name: &str) -> Option<Resource> {
        let found = self.unlisted.iter().find(|(_, own)| **own == *name);
        found.map(|(number, own)| Resource::Unlisted(*number, Arc::clone(own)))
    }

    fn keys(&self, holding: HoldingIndex) -> impl Iterator<Item = Key> {
        let listed = self.listed.iter().map(|index| index.get());
        let numbers = listed.chain(self.unlisted.iter().map(|(number, _)| *number));
        numbers.map(move |number| Key::new(holding.0, number))
    }
}

impl TokenIndex {
    /// Returns the number of an unlisted resource in a holding, and the key that a new name displaces.
    /// Returns `None` after two billion names in one holding.
    pub(super) fn number(&self, held: &Held, name: &str) -> Option<(Resource, Option<Key>)> {
        let tokens = self.0.read();
        let own_tokens = tokens.get(&held.identity.index).and_then(|own| own.get(&held.index));
        if let Some(known) = own_tokens.and_then(|own_tokens| own_tokens.unlisted(name)) {
            return Some((known, None));
        }
        drop(tokens);
        let mut tokens = self.0.write();
        let own_tokens =
            tokens.entry(held.identity.index).or_default().entry(held.index).or_default();
        if let Some(known) = own_tokens.unlisted(name) {
            return Some((known, None));
        }
        let number = ResourceIndex::MAX.checked_add(own_tokens.named)?;
        own_tokens.named += 1;
        let name: Arc<str> = name.into();
        own_tokens.unlisted.push_back((number, Arc::clone(&name)));
        let displaced =
            (own_tokens.unlisted.len() > UNLISTED_MAX).then(|| own_tokens.unlisted.pop_front());
        let displaced = displaced.flatten().map(|(number, _)| Key::new(held.index.0, number));
        Some((Resource::Unlisted(number, name), displaced))
    }

    /// Records that a token is about to be cached. Must precede the insert, so that the end of the identity
    /// in between finds the token.
    pub(super) fn note(&self, held: &Held, resource: &Resource) {
        let Resource::Listed(index) = resource else { return };
        let mut tokens = self.0.write();
        let own_tokens =
            tokens.entry(held.identity.index).or_default().entry(held.index).or_default();
        if !own_tokens.listed.contains(index) {
            own_tokens.listed.push(*index);
        }
    }

    /// Returns true if the resource still has this number in the holding.
    pub(super) fn has(&self, held: &Held, resource: &Resource) -> bool {
        let Resource::Unlisted(number, _) = resource else { return true };
        let tokens = self.0.read();
        let own_tokens = tokens.get(&held.identity.index).and_then(|own| own.get(&held.index));
        own_tokens
            .is_some_and(|own_tokens| own_tokens.unlisted.iter().any(|(own, _)| own == number))
    }

    /// Forgets an identity or a holding that has ended, and returns the keys of its tokens.
    pub(super) fn end(&self, ended: &Ended) -> Vec<Key> {
        let mut tokens = self.0.write();
        match ended {
            Ended::Identity(identity) => {
                let own = tokens.remove(&identity.index).unwrap_or_default();
                own.iter().flat_map(|(holding, own_tokens)| own_tokens.keys(*holding)).collect()
            }
            Ended::Holding(held) => {
                let own = tokens.get_mut(&held.identity.index);
                let own_tokens = own.and_then(|own| own.remove(&held.index));
                own_tokens.iter().flat_map(|own_tokens| own_tokens.keys(held.index)).collect()
            }
            // Any token may be signed with the revoked key, and the same identities get new tokens.
            Ended::SigningKey => Vec::new(),
        }
    }
}
