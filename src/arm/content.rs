//! Request content: a JSON object, and the properties that all resources share.

use serde_json::{Map, Value};

use super::error::ArmError;
use super::version::ResourceType;
use crate::world::record::Tags;

/// A request body. Names of properties ignore case, as in Azure.
#[derive(Debug, Default)]
pub(super) struct Content(Map<String, Value>);

impl Content {
    /// Reads a body, which must be an object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, ArmError> {
        let invalid = |what: &str| {
            ArmError::InvalidContent(format!(
                "The request content was invalid and could not be deserialized: '{what}'."
            ))
        };
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Ok(Self(object)),
            Ok(_) => Err(invalid("the content is not a JSON object")),
            Err(error) => Err(invalid(&error.to_string())),
        }
    }

    /// A property; `null` is as good as none.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        property(&self.0, name).filter(|value| !value.is_null())
    }

    /// The property that must be an object, if it is there.
    pub(super) fn object(&self, name: &str) -> Result<Option<&Map<String, Value>>, ArmError> {
        let value = self.get(name);
        value
            .map(|value| value.as_object().ok_or_else(|| unexpected(name, "an object")))
            .transpose()
    }

    /// `properties`, empty if there are none.
    pub(super) fn properties(&self) -> Result<Map<String, Value>, ArmError> {
        Ok(self.object("properties")?.cloned().unwrap_or_default())
    }

    /// `tags`, if they are there: at most 50, with names of at most 512 characters and values of at most 256
    /// ("Tag support", Azure Resource Manager).
    pub(super) fn tags(&self) -> Result<Option<Tags>, ArmError> {
        let Some(object) = self.object("tags")? else { return Ok(None) };
        let mut tags = Tags::new();
        for (name, value) in object {
            let value = value.as_str().ok_or_else(|| unexpected("tags", "an object of strings"))?;
            let is_twin = |other: &String| other.eq_ignore_ascii_case(name);
            let odd = name.is_empty()
                || name.chars().count() > 512
                || name.chars().any(|char| "<>%&\\?/".contains(char) || char.is_control())
                || value.chars().count() > 256
                || tags.keys().any(is_twin);
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
        if tags.len() > 50 {
            let message = "The number of tags exceeds the maximum of '50'.".to_owned();
            return Err(ArmError::InvalidName { code: "TagCountExceeded", message });
        }
        Ok(Some(tags))
    }

    /// `location`, if it is there, as a region's short name: `West US` is `westus`.
    pub(super) fn location(&self, kind: &'static ResourceType) -> Result<Option<String>, ArmError> {
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

    /// What the object holds besides the named properties.
    pub(super) fn except(&self, names: &[&str]) -> Map<String, Value> {
        let known = |name: &str| names.iter().any(|one| one.eq_ignore_ascii_case(name));
        let others = self.0.iter().filter(|(name, _)| !known(name));
        others.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The property of an object, whatever the case of its name.
pub(super) fn property<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let other = || object.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
    object.get(name).or_else(|| other().map(|(_, value)| value))
}

/// Takes a property out of an object, whatever the case of its name.
pub(super) fn strip(object: &mut Map<String, Value>, name: &str) {
    object.retain(|other, _| !other.eq_ignore_ascii_case(name));
}

/// That a property is not what it should be.
pub(super) fn unexpected(name: &str, what: &str) -> ArmError {
    ArmError::InvalidContent(format!(
        "The request content was invalid and could not be deserialized: 'the property '{name}' is not {what}'."
    ))
}

/// Puts the properties of `patch` over those of `target`, objects into objects; `null` removes
/// (RFC 7396).
pub(super) fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
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
    use crate::arm::version::VAULTS;
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
        let tags = |value: Value| content(&json!({"tags": value})).tags();
        assert_eq!(tags(json!({"a": "b"})).unwrap().unwrap()["a"], "b");
        assert_eq!(tags(json!(null)).unwrap(), None);
        let many: Map<String, Value> = (0..51).map(|n| (format!("t{n}"), json!(""))).collect();
        for bad in
            [json!([]), json!({"a": 1}), json!({"a<": ""}), json!({"a": "", "A": ""}), json!(many)]
        {
            assert!(tags(bad.clone()).is_err(), "{bad}");
        }
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
                let _ = (content.tags(), content.location(&VAULTS), content.properties());
            }
        }
    }
}
