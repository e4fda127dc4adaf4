//! The signing keys of an issuer: one signs, the others are published.

use std::sync::Arc;

use parking_lot::RwLock;

use super::keys::SigningKey;

/// Keys at one moment.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Signs every token.
    pub current: Arc<SigningKey>,
    /// Every other key that verifiers must know: the next one, before it signs, and old ones until
    /// their last token has expired.
    pub others: Vec<Arc<SigningKey>>,
}

impl Keys {
    /// Every key that verifiers must know.
    pub fn published(&self) -> impl Iterator<Item = &SigningKey> {
        std::iter::once(&self.current).chain(&self.others).map(|key| &**key)
    }
}

/// The keys as they are now. Shared by whoever signs, publishes and verifies.
#[derive(Debug)]
pub struct KeyRing(RwLock<Arc<Keys>>);

impl KeyRing {
    /// A ring of these keys.
    pub fn new(keys: Keys) -> Self {
        Self(RwLock::new(Arc::new(keys)))
    }

    /// A ring of one key.
    pub fn of(key: SigningKey) -> Self {
        Self::new(Keys { current: Arc::new(key), others: Vec::new() })
    }

    /// The keys now.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.0.read())
    }

    /// Puts other keys in place: the next token is signed by their current one.
    pub fn replace(&self, keys: Keys) {
        *self.0.write() = Arc::new(keys);
    }
}
