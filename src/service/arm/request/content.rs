//! Request content: a JSON object, and the properties that all resources share.

use std::collections::BTreeSet;
use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::service::arm::error::ArmError;
use crate::service::arm::version::ResourceType;
use crate::service::world::record::Tags;

/// A request body. The case of property names is ignored, as in Azure.
#[derive(Debug)]
pub(crate) struct Content {
    /// All fields except `properties` and `tags`.
    object: Map<String, Value>,
    properties: Map<String, Value>,
    tags: Option<Tags>,
}

/// Limits on the tags of a resource: their number, and the characters of names and values ("Tag support",
/// Azure Resource Manager).
const TAGS_MAX: usize = 50;
const TAG_NAME_CHARS_MAX: usize = 512;
const TAG_VALUE_CHARS_MAX: usize = 256;

impl Content {
    /// Parses a body, which must be a JSON object, and its tags.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ArmError> {
        let invalid = |what: &str| {
            ArmError::InvalidContent(format!(
                "The request content was invalid and could not be deserialized: '{what}'."
            ))
        };
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Self::of(object),
            Ok(_) => Err(invalid("the content is not a JSON object")),
            Err(error) => Err(invalid(&error.to_string())),
        }
    }

    fn of(mut object: Map<String, Value>) -> Result<Self, ArmError> {
        let tags = read_tags(&object)?;
        let properties = object_of(&object, "properties")?.cloned().unwrap_or_default();
        strip(&mut object, "properties");
        Ok(Self { object, properties, tags })
    }

    /// Returns a property. `null` counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        given(&self.object, name)
    }

    /// Returns a property that must be an object if it is present.
    pub(crate) fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>, ArmError> {
        object_of(&self.object, name)
    }

    /// Returns `properties`, or an empty object if it is absent.
    pub(crate) const fn properties(&self) -> &Map<String, Value> {
        &self.properties
    }

    /// Returns `tags` if present. No tag occurs twice.
    pub(crate) const fn tags(&self) -> Option<&Tags> {
        self.tags.as_ref()
    }

    /// Returns `location`, if present, as the region's short name: `West US` is `westus`.
    pub(crate) fn location(&self, kind: &'static ResourceType) -> Result<Option<String>, ArmError> {
        let Some(value) = self.get("location") else { return Ok(None) };
        let text = value.as_str().ok_or_else(|| unexpected("location", "a string"))?;
        let short: String = text.split(' ').collect::<String>().to_ascii_lowercase();
        let fits = (1..=64).contains(&short.len())
            && short.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if fits {
            return Ok(Some(short));
        }
        Err(ArmError::LocationNotAvailable { location: text.to_owned(), kind: kind.name })
    }

    /// Returns the fields of the object except `properties` and `names`.
    pub(crate) fn except(&self, names: &[&str]) -> Map<String, Value> {
        let known = |name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
        let others = self.object.iter().filter(|(name, _)| !known(name));
        others.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

fn read_tags(content: &Map<String, Value>) -> Result<Option<Tags>, ArmError> {
    let Some(object) = object_of(content, "tags")? else { return Ok(None) };
    if object.len() > TAGS_MAX {
        let message = format!("The number of tags exceeds the maximum of '{TAGS_MAX}'.");
        return Err(ArmError::InvalidName { code: "TagCountExceeded", message });
    }
    let (mut tags, mut names) = (Tags::new(), BTreeSet::new());
    for (name, value) in object {
        let value = value.as_str().ok_or_else(|| unexpected("tags", "an object of strings"))?;
        let odd = name.is_empty()
            || name.chars().count() > TAG_NAME_CHARS_MAX
            || name.chars().any(|char| "<>%&\\?/".contains(char) || char.is_control())
            || value.chars().count() > TAG_VALUE_CHARS_MAX
            || !names.insert(name.to_ascii_lowercase());
        if odd {
            return Err(ArmError::InvalidName {
                code: "InvalidTag",
                message: format!(
                    "The tag '{name}' is not valid: a name is given once, has 1 to 512 characters and none of <>%&\\?/, a value at most 256 characters."
                ),
            });
        }
        tags.insert(name.clone(), value.to_owned());
    }
    Ok(Some(tags))
}

/// Returns a property. `null` counts as absent.
fn given<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    property(object, name).filter(|value| !value.is_null())
}

fn object_of<'a>(
    object: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<&'a Map<String, Value>>, ArmError> {
    let value = given(object, name);
    value.map(|value| value.as_object().ok_or_else(|| unexpected(name, "an object"))).transpose()
}

/// Returns the property of an object. The case of its name is ignored.
pub(crate) fn property<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other = || object.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    object.get(name).or_else(|| other().map(|(_, value)| value))
}

/// Removes a property from an object. The case of its name is ignored.
pub(crate) fn strip(object: &mut Map<String, Value>, name: &str) {
    object.retain(|other, _| !other.eq_ignore_ascii_case(name));
}

/// Returns the length of `value` as JSON, in bytes.
pub(crate) fn json_bytes(value: &impl Serialize) -> usize {
    let mut bytes = Counter(0);
    // Neither writing to a counter nor serializing a JSON value can fail.
    let _ = serde_json::to_writer(&mut bytes, value);
    bytes.0
}

/// Counts the bytes that are written to it.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the error for a property whose value is not `what`.
pub(crate) fn unexpected(name: &str, what: &str) -> ArmError {
    ArmError::InvalidContent(format!(
        "The request content was invalid and could not be deserialized: 'the property '{name}' is not {what}'."
    ))
}

/// Merges the properties of `patch` into `target`, nested objects included. `null` removes a property (RFC
/// 7396).
pub(crate) fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (target.get_mut(&name), value) {
            (_, Value::Null) => {
                target.remove(&name);
            }
            (Some(Value::Object(inner)), Value::Object(patch)) => merge(inner, patch),
            (_, value) => {
                target.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::arm::version::VAULTS;
    use proptest::prelude::*;
    use serde_json::json;

    fn content(value: &Value) -> Content {
        Content::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn regions_are_known_by_either_name() {
        let location = |text: &str| content(&json!({"Location": text})).location(&VAULTS);
        assert_eq!(location("West US 2").unwrap(), Some("westus2".to_owned()));
        assert_eq!(location("westus2").unwrap(), Some("westus2".to_owned()));
        assert!(location("").is_err() && location("west-us").is_err());
        assert!(content(&json!({"location": 1})).location(&VAULTS).is_err());
        assert_eq!(content(&json!({"location": null})).location(&VAULTS).unwrap(), None);
    }

    #[test]
    fn tags_are_bounded_and_their_names_ignore_case() {
        let tags = |value: Value| {
            let content = Content::parse(json!({"tags": value}).to_string().as_bytes())?;
            Ok::<_, ArmError>(content.tags().cloned())
        };
        assert_eq!(tags(json!({"a": "b"})).unwrap().unwrap()["a"], "b");
        assert_eq!(tags(json!(null)).unwrap(), None);
        let many: Map<String, Value> = (0..51).map(|n| (format!("t{n}"), json!(""))).collect();
        for bad in
            [json!([]), json!({"a": 1}), json!({"a<": ""}), json!({"a": "", "A": ""}), json!(many)]
        {
            assert!(tags(bad.clone()).is_err(), "{bad}");
        }
        // The number of tags is checked before any single tag.
        let odd: Map<String, Value> = (0..51).map(|n| (format!("<{n}"), json!(n))).collect();
        let error = tags(json!(odd)).unwrap_err();
        assert_eq!(error.body()["error"]["code"], "TagCountExceeded");
    }

    #[test]
    fn a_merge_goes_into_objects_and_null_removes() {
        let object = |value: Value| value.as_object().unwrap().clone();
        let mut target = object(json!({"a": {"b": 1, "c": 2}, "d": [1], "e": 1}));
        merge(&mut target, object(json!({"a": {"b": null, "x": 3}, "d": [2], "e": null})));
        assert_eq!(target, object(json!({"a": {"c": 2, "x": 3}, "d": [2]})));
    }

    proptest! {
        #[test]
        fn no_body_panics(body: Vec<u8>) {
            if let Ok(content) = Content::parse(&body) {
                let _ = content.location(&VAULTS);
            }
        }
    }
}
