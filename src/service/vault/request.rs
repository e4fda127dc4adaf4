//! Parsing and checking of request bodies.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::base::clock::UnixSeconds;
use crate::base::secret::{Redacted, SecretText};
use crate::service::world::record::Tags;
use crate::service::world::seed::SECRET_BYTES_MAX;

/// Largest body, in bytes: the largest value with each byte escaped (`\u0000`), and all other fields at their
/// largest.
pub(super) const BODY_BYTES_MAX: usize = 6 * SECRET_BYTES_MAX + 32 * 1024;

/// Limit on the characters of a content type (Azure, "About Azure Key Vault secrets").
const CONTENT_TYPE_CHARS_MAX: usize = 255;

/// Limits on tags: 15 tags of 256 characters each (Azure, "About Azure Key Vault secrets", secret tags, and
/// "About keys", key tags).
const TAGS_MAX: usize = 15;
const TAG_CHARS_MAX: usize = 256;

/// The last second of the year 9999. Clients cannot show a later time.
const TIME_MAX: UnixSeconds = UnixSeconds(253_402_300_799);

/// Reason for refusing a body. The body is not quoted because it may contain the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyRefused {
    #[error("The content type is longer than {CONTENT_TYPE_CHARS_MAX} characters.")]
    ContentType,
    #[error("The body is not the JSON object that this operation takes.")]
    Malformed,
    #[error("More than {TAGS_MAX} tags, or one longer than {TAG_CHARS_MAX} characters.")]
    Tags,
    #[error("The attributes nbf and exp are seconds since 1970, at most {TIME_MAX}.")]
    Time,
    #[error("The property value is missing.")]
    ValueMissing,
    #[error("The value is longer than {SECRET_BYTES_MAX} bytes.")]
    ValueTooLong,
}

/// A requested new version of a secret.
#[derive(Debug)]
pub(super) struct NewSecret {
    pub(super) value: Redacted,
    pub(super) content_type: Option<String>,
    pub(super) properties: Properties,
}

/// A requested change of a version of a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SecretChange {
    pub(super) content_type: Option<String>,
    pub(super) properties: Properties,
}

/// Requested properties of a version of a secret or key. Properties that are `None` stay unchanged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Properties {
    pub(super) tags: Option<Tags>,
    pub(super) enabled: Option<bool>,
    pub(super) not_before: Option<UnixSeconds>,
    pub(super) expires: Option<UnixSeconds>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    value: Option<SecretText>,
    content_type: Option<String>,
    tags: Option<Tags>,
    attributes: Option<Attributes>,
}

/// The `attributes` of a body.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Attributes {
    enabled: Option<bool>,
    nbf: Option<UnixSeconds>,
    exp: Option<UnixSeconds>,
    /// Set for a key whose private part may leave the vault, which is not possible here.
    pub(super) exportable: Option<bool>,
}

impl NewSecret {
    /// Parses the body of a PUT.
    pub(super) fn parse(json: &[u8]) -> Result<Self, BodyRefused> {
        let mut body: Body = parse(json)?;
        let value = body.value.take().ok_or(BodyRefused::ValueMissing)?.0;
        if value.expose().len() > SECRET_BYTES_MAX {
            return Err(BodyRefused::ValueTooLong);
        }
        let SecretChange { content_type, properties } = body.change()?;
        Ok(Self { value, content_type, properties })
    }
}

impl SecretChange {
    /// Parses the body of a PATCH.
    pub(super) fn parse(json: &[u8]) -> Result<Self, BodyRefused> {
        parse::<Body>(json)?.change()
    }
}

impl Body {
    fn change(self) -> Result<SecretChange, BodyRefused> {
        if self.content_type.as_deref().is_some_and(|text| is_long(text, CONTENT_TYPE_CHARS_MAX)) {
            return Err(BodyRefused::ContentType);
        }
        let properties = Properties::new(self.tags, self.attributes)?;
        Ok(SecretChange { content_type: self.content_type, properties })
    }
}

impl Properties {
    /// Checks the tags and attributes of a body.
    pub(super) fn new(
        tags: Option<Tags>,
        attributes: Option<Attributes>,
    ) -> Result<Self, BodyRefused> {
        let Attributes { enabled, nbf, exp, .. } = attributes.unwrap_or_default();
        let long_tag = |tags: &Tags| {
            tags.iter()
                .any(|(name, value)| is_long(name, TAG_CHARS_MAX) || is_long(value, TAG_CHARS_MAX))
        };
        if tags.as_ref().is_some_and(|tags| tags.len() > TAGS_MAX || long_tag(tags)) {
            return Err(BodyRefused::Tags);
        }
        if [nbf, exp].into_iter().flatten().any(|time| time > TIME_MAX) {
            return Err(BodyRefused::Time);
        }
        Ok(Self { tags, enabled, not_before: nbf, expires: exp })
    }
}

fn is_long(text: &str, chars_max: usize) -> bool {
    text.chars().count() > chars_max
}

/// Parses a body, which is a JSON object.
pub(super) fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, BodyRefused> {
    // A derived deserializer would also accept an array of the fields in order.
    let is_object = json.trim_ascii_start().first() == Some(&b'{');
    let body = is_object.then(|| serde_json::from_slice(json).ok()).flatten();
    body.ok_or(BodyRefused::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refusal(json: &str) -> Option<BodyRefused> {
        NewSecret::parse(json.as_bytes()).err()
    }

    #[test]
    fn what_a_vault_does_not_take_is_refused() {
        let value = |length: usize| format!(r#"{{"value":"{}"}}"#, "x".repeat(length));
        assert_eq!(refusal(&value(25_600)), None);
        assert_eq!(refusal(&value(25_601)), Some(BodyRefused::ValueTooLong));
        assert_eq!(refusal("{}"), Some(BodyRefused::ValueMissing));
        for json in ["", "[]", r#"["x"]"#, "null", r#"{"value":1}"#, r#"{"value":"a","value":"b"}"#]
        {
            assert_eq!(refusal(json), Some(BodyRefused::Malformed), "{json}");
        }
        let content_type = |length: usize| {
            format!(r#"{{"value":"","contentType":"{}"}}"#, "\u{e4}".repeat(length))
        };
        assert_eq!(refusal(&content_type(255)), None);
        assert_eq!(refusal(&content_type(256)), Some(BodyRefused::ContentType));
        let tags = |count: usize| {
            let tags: Vec<_> = (0..count).map(|tag| format!(r#""{tag}":"x""#)).collect();
            format!(r#"{{"value":"","tags":{{{}}}}}"#, tags.join(","))
        };
        assert_eq!(refusal(&tags(15)), None);
        assert_eq!(refusal(&tags(16)), Some(BodyRefused::Tags));
        let expiry = |time: &str| format!(r#"{{"value":"","attributes":{{"exp":{time}}}}}"#);
        assert_eq!(refusal(&expiry("null")), None);
        assert_eq!(refusal(&expiry("253402300800")), Some(BodyRefused::Time));
        assert_eq!(refusal(&expiry("-1")), Some(BodyRefused::Malformed));
        assert_eq!(refusal(&expiry("\"2030\"")), Some(BodyRefused::Malformed));
    }

    #[test]
    fn the_longest_body_that_is_right_fits() {
        let escaped = "\\u0001".repeat(SECRET_BYTES_MAX);
        let tag = "\u{10ffff}".repeat(TAG_CHARS_MAX - 2);
        let tags: Vec<_> = (10..25).map(|n| format!(r#""{n}{tag}":"{n}{tag}""#)).collect();
        let json = format!(r#"{{"value":"{escaped}","tags":{{{}}}}}"#, tags.join(","));
        assert_eq!(refusal(&json), None);
        assert!(json.len() <= BODY_BYTES_MAX, "{}", json.len());
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(bytes: Vec<u8>, shaped in "[{}\\[\\]\",:a-z0-9]{0,40}") {
            let _ = NewSecret::parse(&bytes);
            let _ = SecretChange::parse(shaped.as_bytes());
        }
    }
}
