//! The bytes of a request, put together from parts that are encoded once.
//!
//! Whole requests for every key of a large world would not fit a cache (50 MB for 100,000 VMs);
//! the parts do, and joining them copies some 200 bytes without allocating.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::target::{HttpUrl, TOKEN_PATH};
use super::workload::{Ask, Selector};
use crate::world::synthetic::{Synthetic, WELL_KNOWN_RESOURCES};

/// Writes the requests for one target.
#[derive(Clone, Debug)]
pub(super) struct RequestWriter {
    /// One per resource: request line up to and including the resource.
    heads: Vec<Vec<u8>>,
    /// From the end of the query to the end of the head.
    tail: Vec<u8>,
    world: Synthetic,
    /// The text of every user-assigned `client_id`, VM by VM; empty for a world too large for it.
    client_ids: Vec<ClientIdText>,
}

/// A GUID as text.
type ClientIdText = [u8; 36];

/// Above this (36 MB) the text is made for each request, which costs two hashes and an allocation.
const CLIENT_IDS_MAX: u64 = 1 << 20;

impl RequestWriter {
    pub(super) fn new(target: &HttpUrl, world: &Synthetic) -> Self {
        let path = if target.path.is_empty() { TOKEN_PATH } else { &target.path };
        let joint = if path.contains('?') { '&' } else { '?' };
        let head = |resource: &&str| {
            let resource = utf8_percent_encode(resource, NON_ALPHANUMERIC);
            format!("GET {path}{joint}api-version=2018-02-01&resource={resource}").into_bytes()
        };
        let tail = format!(" HTTP/1.1\r\nHost: {}\r\nMetadata: true\r\n\r\n", target.authority);
        let identities = u64::from(world.vms) * u64::from(world.user_assigned);
        let vms = if identities <= CLIENT_IDS_MAX { world.vms } else { 0 };
        let of_vm = |vm| (0..world.user_assigned).map(move |index| client_id(world, vm, index));
        Self {
            client_ids: (0..vms).flat_map(of_vm).collect(),
            heads: WELL_KNOWN_RESOURCES.iter().map(head).collect(),
            tail: tail.into_bytes(),
            world: *world,
        }
    }

    /// Replaces the content of `out` with the request for `ask`.
    pub(super) fn write(&self, ask: &Ask, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.heads.get(usize::from(ask.resource)).map_or(&[], Vec::as_slice));
        if let Selector::UserAssigned(index) = ask.selector {
            let place = ask.vm as usize * self.world.user_assigned as usize + index as usize;
            let known = self.client_ids.get(place).copied();
            out.extend_from_slice(b"&client_id=");
            let text = known.unwrap_or_else(|| client_id(&self.world, ask.vm, index));
            out.extend_from_slice(&text);
        }
        out.extend_from_slice(&self.tail);
    }
}

fn client_id(world: &Synthetic, vm: u32, index: u32) -> ClientIdText {
    let text = world.user_assigned(vm, index).client_id.to_string();
    // A GUID has 36 characters; what had not would be refused by the broker, and seen.
    text.as_bytes().try_into().unwrap_or([b'0'; 36])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_resource_and_its_identity() {
        let world = Synthetic { vms: 2, user_assigned: 1, seed: 1 };
        let target = "http://127.0.0.1:9".parse().unwrap();
        let writer = RequestWriter::new(&target, &world);
        let mut out = b"left over".to_vec();
        writer.write(&Ask { vm: 1, selector: Selector::UserAssigned(0), resource: 2 }, &mut out);
        let id = world.user_assigned(1, 0).client_id;
        let expected = format!(
            "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault%2Eazure%2Enet&client_id={id} HTTP/1.1\r\nHost: 127.0.0.1:9\r\nMetadata: true\r\n\r\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}
