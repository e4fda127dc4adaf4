//! `GET /metadata/instance`: what the broker knows of a VM, in the shape of the real document.

use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::error::ImdsError;
use super::query::Query;
use super::{Imds, versions};
use crate::directory::Caller;
use crate::http::{Payload, json_reply, text_reply};
use crate::world::record::VirtualMachine;

impl Imds {
    pub(super) fn instance(
        &self,
        caller: &Caller,
        path: &str,
        query: &Query<'_>,
    ) -> Result<Response<Payload>, ImdsError> {
        versions::require(query, versions::INSTANCE_SINCE)?;
        query.refuse_repeats()?;
        let vm = self.broker.vm(caller, self.clock.now()).ok_or(ImdsError::UnknownCaller)?;
        let document = document(&vm.record);
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

/// All primitive values are strings, unknown ones empty, as in the real document.
fn document(vm: &VirtualMachine) -> Value {
    let resource_group = vm.id.resource_group().unwrap_or_default();
    let address = vm.address.map(|address| address.to_string()).unwrap_or_default();
    let tags: Vec<String> = vm.tags.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let tags = tags.join(";");
    let tags_list: Vec<Value> =
        vm.tags.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "compute": {
            "azEnvironment": "AzurePublicCloud",
            "location": vm.location,
            "name": vm.id.name(),
            "osType": "Linux",
            "provider": "Microsoft.Compute",
            "resourceGroupName": resource_group,
            "resourceId": vm.id.as_str(),
            "securityProfile": { "secureBootEnabled": "false", "securityType": "", "virtualTpmEnabled": "false" },
            "subscriptionId": vm.id.subscription().to_string(),
            "tags": tags,
            "tagsList": tags_list,
            "vmId": vm.vm_id.to_string(),
            "vmSize": "",
            "zone": "",
        },
        "network": {
            "interface": [{
                "ipv4": { "ipAddress": [{ "privateIpAddress": address, "publicIpAddress": "" }], "subnet": [] },
                "ipv6": { "ipAddress": [] },
                "macAddress": "",
            }],
        },
    })
}

#[cfg(test)]
mod tests {
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
