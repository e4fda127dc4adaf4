//! The bytes of a request, joined from parts that are encoded once.
//!
//! Whole requests for every key of a large world would not fit a cache (50 MB for 100,000 VMs). The
//! parts do, and joining them copies some 200 bytes without allocating.

mod recipe;

use self::recipe::Recipe;
use super::protocol::RunSpan;
use super::target::Target;
use crate::base::assertion::SignError;
use crate::base::secret::Redacted;
use crate::base::synthetic::Synthetic;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::key::{RequestKey, Selector};

/// A writer of the requests for one target.
#[derive(Debug)]
pub(crate) struct RequestWriter {
    recipe: Recipe,
    world: Synthetic,
    /// The text of every user-assigned `client_id`, VM by VM; empty if the world is too large.
    client_ids: Vec<ClientIdText>,
}

/// A GUID as text.
type ClientIdText = [u8; 36];

/// The largest number of texts kept (36 MB). Beyond it, the text is made for each request, at the
/// cost of two hashes and an allocation.
const CLIENT_IDS_MAX: u64 = 1 << 20;

impl RequestWriter {
    /// Creates a writer for a run that takes place in `span`.
    ///
    /// # Errors
    /// Returns an error if an assertion cannot be signed.
    pub(crate) fn new(
        target: &Target,
        world: &Synthetic,
        span: RunSpan,
    ) -> Result<Self, SignError> {
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

    /// Returns the request that opens a session, if the protocol has sessions.
    pub(crate) fn opening(&self) -> Option<&[u8]> {
        match &self.recipe {
            Recipe::Session { opening, .. } => Some(opening),
            _ => None,
        }
    }

    /// Replaces the content of `out` with the request for `key`.
    ///
    /// `now` is the time from the beginning of the [`RunSpan`]. `session` is the
    /// secret of the session, if the protocol has sessions.
    pub(crate) fn write(
        &self,
        key: &RequestKey,
        now: Nanos,
        session: Option<&Redacted>,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        match &self.recipe {
            Recipe::Selecting { heads, tail } => {
                out.extend_from_slice(
                    heads.get(usize::from(key.resource)).map_or(&[], Vec::as_slice),
                );
                self.write_selector(key, out);
                out.extend_from_slice(tail.expose());
            }
            Recipe::Fixed(request) => out.extend_from_slice(request.expose()),
            Recipe::Timed { requests, span } => {
                let index = usize::try_from(now / *span).unwrap_or(usize::MAX);
                let request = requests.get(index).or(requests.last());
                out.extend_from_slice(request.map_or(&[], Redacted::expose));
            }
            Recipe::Session { head, tail, .. } => {
                out.extend_from_slice(head);
                out.extend_from_slice(session.map_or(&[], Redacted::expose));
                out.extend_from_slice(tail);
            }
        }
    }

    fn write_selector(&self, key: &RequestKey, out: &mut Vec<u8>) {
        let Selector::UserAssigned(number) = key.selector else { return };
        let index = key.vm as usize * self.world.user_assigned as usize + number as usize;
        let known = self.client_ids.get(index).copied();
        out.extend_from_slice(b"&client_id=");
        let text = known.unwrap_or_else(|| client_id(&self.world, key.vm, number));
        out.extend_from_slice(&text);
    }
}

fn client_id(world: &Synthetic, vm: u32, index: u32) -> ClientIdText {
    let text = world.user_assigned(vm, index).client_id.to_string();
    // A GUID has 36 characters. The broker would refuse any other text, which would show.
    text.as_bytes().try_into().unwrap_or([b'0'; 36])
}

#[cfg(test)]
mod tests;
