//! The bytes of a request, put together from parts that are encoded once.
//!
//! Whole requests for every key of a large world would not fit a cache (50 MB for 100,000 VMs);
//! the parts do, and joining them copies some 200 bytes without allocating.

use super::protocol::{Recipe, Span};
use super::target::Target;
use super::workload::{Ask, Selector};
use crate::assertion::SignError;
use crate::secret::Redacted;
use crate::world::synthetic::Synthetic;

/// Writes the requests for one target.
#[derive(Debug)]
pub(super) struct RequestWriter {
    recipe: Recipe,
    world: Synthetic,
    /// The text of every user-assigned `client_id`, VM by VM; empty for a world too large for it.
    client_ids: Vec<ClientIdText>,
}

/// When a request is written, and in which session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    /// From the beginning of the [`Span`], in nanoseconds.
    pub(super) now_ns: u64,
    /// The secret of the session, where there are sessions.
    pub(super) session: Option<&'a Redacted>,
}

/// A GUID as text.
type ClientIdText = [u8; 36];

/// Above this (36 MB) the text is made for each request, which costs two hashes and an allocation.
const CLIENT_IDS_MAX: u64 = 1 << 20;

impl RequestWriter {
    /// A writer for a run that takes place in `span`.
    ///
    /// # Errors
    /// When an assertion cannot be signed.
    pub(super) fn new(target: &Target, world: &Synthetic, span: Span) -> Result<Self, SignError> {
        let identities = u64::from(world.vms) * u64::from(world.user_assigned);
        let known = target.dialect.protocol().selects() && identities <= CLIENT_IDS_MAX;
        let vms = if known { world.vms } else { 0 };
        let of_vm = |vm| (0..world.user_assigned).map(move |index| client_id(world, vm, index));
        Ok(Self {
            recipe: Recipe::new(target, span)?,
            client_ids: (0..vms).flat_map(of_vm).collect(),
            world: *world,
        })
    }

    /// The request that opens a session, where there are sessions.
    pub(super) fn opening(&self) -> Option<&[u8]> {
        match &self.recipe {
            Recipe::Session { opening, .. } => Some(opening),
            _ => None,
        }
    }

    /// Replaces the content of `out` with the request for `ask`.
    pub(super) fn write(&self, ask: &Ask, moment: Moment<'_>, out: &mut Vec<u8>) {
        out.clear();
        match &self.recipe {
            Recipe::Selecting { heads, tail } => {
                out.extend_from_slice(
                    heads.get(usize::from(ask.resource)).map_or(&[], Vec::as_slice),
                );
                self.write_selector(ask, out);
                out.extend_from_slice(tail.expose());
            }
            Recipe::Fixed(request) => out.extend_from_slice(request.expose()),
            Recipe::Timed { requests, span_ns } => {
                let index = usize::try_from(moment.now_ns / span_ns).unwrap_or(usize::MAX);
                let request = requests.get(index).or(requests.last());
                out.extend_from_slice(request.map_or(&[], Redacted::expose));
            }
            Recipe::Session { head, tail, .. } => {
                out.extend_from_slice(head);
                out.extend_from_slice(moment.session.map_or(&[], Redacted::expose));
                out.extend_from_slice(tail);
            }
        }
    }

    fn write_selector(&self, ask: &Ask, out: &mut Vec<u8>) {
        let Selector::UserAssigned(index) = ask.selector else { return };
        let place = ask.vm as usize * self.world.user_assigned as usize + index as usize;
        let known = self.client_ids.get(place).copied();
        out.extend_from_slice(b"&client_id=");
        let text = known.unwrap_or_else(|| client_id(&self.world, ask.vm, index));
        out.extend_from_slice(&text);
    }
}

fn client_id(world: &Synthetic, vm: u32, index: u32) -> ClientIdText {
    let text = world.user_assigned(vm, index).client_id.to_string();
    // A GUID has 36 characters; what had not would be refused by the broker, and seen.
    text.as_bytes().try_into().unwrap_or([b'0'; 36])
}

#[cfg(test)]
mod tests;
