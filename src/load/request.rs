//! The bytes of a request, put together from parts that are encoded once.
//!
//! Whole requests for every key of a large world would not fit a cache (50 MB for 100,000 VMs);
//! the parts do, and joining them copies some 200 bytes without allocating.

use std::io::Write;

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
}

impl RequestWriter {
    pub(super) fn new(target: &HttpUrl, world: &Synthetic) -> Self {
        let path = if target.path.is_empty() { TOKEN_PATH } else { &target.path };
        let joint = if path.contains('?') { '&' } else { '?' };
        let head = |resource: &&str| {
            let resource = utf8_percent_encode(resource, NON_ALPHANUMERIC);
            format!("GET {path}{joint}api-version=2018-02-01&resource={resource}").into_bytes()
        };
        let tail = format!(" HTTP/1.1\r\nHost: {}\r\nMetadata: true\r\n\r\n", target.authority);
        Self {
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
            let client_id = self.world.user_assigned(ask.vm, index).client_id;
            // Writing to a vector cannot fail.
            let _ = write!(out, "&client_id={client_id}");
        }
        out.extend_from_slice(&self.tail);
    }
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
