//! Published signing keys of an issuer.

use std::collections::BTreeMap;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;

use crate::base::synthetic::Synthetic;
use crate::harness::dialect::fetch::{Conversation, FetchError};
use crate::harness::dialect::trust::Trusted;
use crate::harness::dialect::url::HttpUrl;

/// The published keys of an issuer, by their id.
#[derive(Clone, Default)]
pub struct Keys(BTreeMap<String, DecodingKey>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// The reason why there are no keys to verify with.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The set could not be read.
    #[error("cannot read the signing keys")]
    Fetch(#[from] FetchError),
    /// The document is not a key set.
    #[error("the signing keys at {url} are not a JSON Web Key Set")]
    Syntax {
        /// The URL of the document.
        url: String,
        /// The fault in the document.
        source: serde_json::Error,
    },
}

impl Keys {
    /// Reads the key set at exactly this URL.
    ///
    /// # Errors
    /// Returns [`KeysError`] if there is none.
    pub fn read(url: &HttpUrl) -> Result<Self, KeysError> {
        Self::read_trusting(url, None)
    }

    /// Reads the key set like [`Self::read`], from a server whose certificate is checked by
    /// `trusted`.
    ///
    /// # Errors
    /// Returns [`KeysError`] if there is none.
    pub fn read_trusting(url: &HttpUrl, trusted: Option<Trusted>) -> Result<Self, KeysError> {
        let text = Conversation::with(url.clone()).trusting(trusted).document("")?;
        Self::parse(&text).map_err(|source| KeysError::Syntax { url: url.to_string(), source })
    }

    /// Reads the key set of the world's tenant from a token service.
    ///
    /// # Errors
    /// Returns [`KeysError`] if there is none.
    pub fn of_tenant(sts: &HttpUrl, world: &Synthetic) -> Result<Self, KeysError> {
        Self::read(&Self::url_of_tenant(sts, world))
    }

    /// Returns the URL at which a token service publishes the key set of the world's tenant.
    pub(crate) fn url_of_tenant(sts: &HttpUrl, world: &Synthetic) -> HttpUrl {
        let path = format!("{}/{}/discovery/v2.0/keys", sts.path, world.tenant_id());
        HttpUrl { path, ..sts.clone() }
    }

    /// Returns the key with this id.
    pub(super) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.0.get(kid)
    }

    /// Adds the keys of another set.
    pub(super) fn add(&mut self, other: &Self) {
        self.0.extend(other.0.iter().map(|(kid, key)| (kid.clone(), key.clone())));
    }

    pub(crate) fn parse(text: &str) -> Result<Self, serde_json::Error> {
        let set: JwkSet = serde_json::from_str(text)?;
        let keys = set.keys.iter().filter_map(|jwk| {
            let key = DecodingKey::from_jwk(jwk).ok()?;
            Some((jwk.common.key_id.clone()?, key))
        });
        Ok(Self(keys.collect()))
    }
}
