//! Signing keys of an issuer: one signs, the others are only published.

use std::sync::Arc;

use parking_lot::RwLock;

use super::keys::SigningKey;

/// The keys of an issuer at one moment.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The key that signs every token.
    pub current: Arc<SigningKey>,
    /// Every other key that verifiers must know: the next key before it signs, and old keys until their last
    /// tokens have expired.
    pub others: Vec<Arc<SigningKey>>,
}

impl Keys {
    /// Returns every key that verifiers must know.
    pub fn published(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.others).map(|key| &**key)
    }
}

/// The current [`Keys`], shared by the code that signs, publishes and verifies.
#[derive(Debug)]
pub struct KeyRing(RwLock<Arc<Keys>>);

impl KeyRing {
    /// Creates a ring of these keys.
    pub fn new(keys: Keys) -> Self {
        Self(RwLock::new(Arc::new(keys)))
    }

    /// Creates a ring of one key.
    pub fn of(key: SigningKey) -> Self {
        Self::new(Keys { current: Arc::new(key), others: Vec::new() })
    }

    /// Returns the keys as they are now.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read())
    }

    /// Replaces the keys. The new current key signs the next token.
    pub fn replace(&self, keys: Keys) {
        *self.0.write() = Arc::new(keys);
    }
}
