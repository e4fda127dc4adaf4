//! `GET /metadata/instance`: the VM's data, in the shape of the real document.

use hyper::{Response, StatusCode};
use serde_json::Value;

use super::document::document;
use super::endpoint::Imds;
use super::error::ImdsError;
use super::query::Query;
use super::versions;
use crate::base::http::{Payload, json_reply, text_reply};
use crate::service::directory::Caller;
use crate::service::world::Category;

impl Imds {
    pub(super) fn instance(
        &self,
        caller: &Caller,
        path: &str,
        query: &Query<'_>,
    ) -> Result<Response<Payload>, ImdsError> {
        let version = versions::require(query, versions::INSTANCE_SINCE)?;
        query.refuse_repeats()?;
        let vm = self.vm(caller, Category::Metadata)?;
        let document = document(&vm.record, version);
        let node = descend(&document, path).ok_or(ImdsError::NotFound)?;
        let format = query.get("format")?;
        match (node, format.as_deref().unwrap_or("json")) {
            (Value::String(leaf), "text") => Ok(text_reply(StatusCode::OK, leaf.clone())),
            (Value::Object(_) | Value::Array(_), "json") => {
                Ok(json_reply(StatusCode::OK, node.to_string()))
            }
            (_, other) => Err(ImdsError::Format(other.to_owned())),
        }
    }
}

fn descend<'a>(document: &'a Value, path: &str) -> Option<&'a Value> {
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    segments.into_iter().try_fold(document, |node, segment| match node {
        Value::Array(items) => items.get(segment.parse::<usize>().ok()?),
        other => other.get(segment),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_descend_into_objects_and_lists() {
        let document = json!({ "network": { "interface": [{ "mac": "m" }] }, "name": "n" });
        assert_eq!(descend(&document, ""), Some(&document));
        assert_eq!(descend(&document, "/name"), Some(&json!("n")));
        assert_eq!(descend(&document, "/network/interface/0/mac"), Some(&json!("m")));
        for path in ["/nowhere", "/network/interface/1", "/network/interface/x", "/name/deeper"] {
            assert_eq!(descend(&document, path), None, "{path}");
        }
    }
}
