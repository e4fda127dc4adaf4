//! Removes identities from VMs at the control plane and gives them back, as administrators do.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;

use hyper::Method;
use hyper::header::CONTENT_TYPE;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::base::clock::Monotonic;
use crate::base::ids::PrincipalId;
use crate::base::synthetic::Synthetic;
use crate::harness::dialect::fetch::{Conversation, Question, Reply};
use crate::harness::dialect::url::HttpUrl;
use crate::harness::judge::ledger::{Ledger, SlotChange};
use crate::harness::nanos::Nanos;
use crate::harness::record::writes::Writes;
use crate::harness::scenario::key::{Selector, Slot};

/// Maximum number of VMs that lose identities: the most popular ones, so that requests arrive while
/// an identity is away.
const VMS_MAX: u32 = 50;
/// Maximum number of identities that are away at a time. At 20 changes a second each is away for a
/// second.
const AWAY_MAX: usize = 10;
/// Published version of the Compute API, <https://learn.microsoft.com/rest/api/compute>.
const API_VERSION: &str = "2024-07-01";

/// Actor that sends the changes to the control plane.
#[derive(Debug)]
pub(crate) struct Churner {
    arm: Conversation,
    world: Synthetic,
    ledger: Arc<Ledger>,
    clock: Monotonic,
    rng: Xoshiro256PlusPlus,
    /// VMs that have all their identities. A VM lacks at most one identity at a time. Without its
    /// system-assigned identity a VM still has several others, and a request that names none of
    /// them is refused.
    whole: Vec<u32>,
    away: VecDeque<Slot>,
    pub(crate) removals: u64,
    pub(crate) writes: Writes,
}

impl Churner {
    /// Returns the number of VMs that lose identities. Their numbers begin at 0.
    pub(crate) fn vms(world: &Synthetic) -> u32 {
        world.vms.min(VMS_MAX)
    }

    pub(crate) fn new(
        arm: HttpUrl,
        world: Synthetic,
        ledger: Arc<Ledger>,
        clock: Monotonic,
        seed: u64,
    ) -> Self {
        Self {
            arm: Conversation::with(arm),
            world,
            ledger,
            clock,
            // A random stream different from those of the schedule and the workload.
            rng: Xoshiro256PlusPlus::seed_from_u64(seed ^ 0x6368_7572_6E00),
            whole: (0..Self::vms(&world)).collect(),
            away: VecDeque::new(),
            removals: 0,
            writes: Writes::default(),
        }
    }

    /// Makes one change: removes an identity or, once enough are away, gives back the one that left
    /// first.
    pub(crate) fn change(&mut self) -> ControlFlow<()> {
        let enough = self.whole.is_empty() || self.away.len() >= AWAY_MAX;
        let back = if enough { self.away.pop_front() } else { None };
        let (slot, change) = match back {
            Some(slot) => (slot, SlotChange::Return),
            None if self.whole.is_empty() => return ControlFlow::Break(()),
            None => (self.pick(), SlotChange::Removal),
        };
        let (sent, answer) = self.send(slot, change);
        let acked = Nanos::now(self.clock);
        match answer {
            Ok(principal) => {
                self.ledger.acknowledged(slot, principal);
                self.writes.succeeded(acked.saturating_sub(sent));
                self.changed(slot, change);
            }
            // The effect of the failed change is unknown, so its VM is left alone from now on.
            Err(reason) => self.writes.failed(reason),
        }
        ControlFlow::Continue(())
    }

    fn changed(&mut self, slot: Slot, change: SlotChange) {
        match change {
            SlotChange::Removal => {
                self.removals += 1;
                self.away.push_back(slot);
            }
            SlotChange::Return => self.whole.push(slot.vm),
        }
    }

    /// Takes a VM that has all its identities, and picks one of them. The caller ensures that such
    /// a VM exists.
    fn pick(&mut self) -> Slot {
        let place = self.rng.random_range(0..self.whole.len());
        let vm = self.whole.swap_remove(place);
        let selector = match self.rng.random_range(0..=self.world.user_assigned) {
            0 => Selector::Default,
            number => Selector::UserAssigned(number - 1),
        };
        Slot { vm, selector }
    }

    /// Sends a change. Returns the time of sending, and the new principal of a system-assigned
    /// identity that was given back.
    fn send(
        &mut self,
        slot: Slot,
        change: SlotChange,
    ) -> (Nanos, Result<Option<PrincipalId>, String>) {
        let request = request(&self.world, slot, change);
        let sent = self.ledger.sending(slot, change);
        let answer = request.and_then(|(path, body)| {
            let question = Question {
                method: &Method::PATCH,
                path: &path,
                header: Some((CONTENT_TYPE, "application/json")),
                body: &body,
            };
            self.arm.ask(&question).map_err(|error| describe(&error))
        });
        (sent, answer.and_then(|reply| principal(&reply, slot, change)))
    }
}

/// Formats an error with its causes.
pub(crate) fn describe(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns the path and body of the request that makes a change.
fn request(world: &Synthetic, slot: Slot, change: SlotChange) -> Result<(String, String), String> {
    let vm = world.vm_id(slot.vm).map_err(|error| error.to_string())?;
    let both = "SystemAssigned, UserAssigned";
    let identity = match (slot.selector, change) {
        // Existing user-assigned identities stay, because the server merges the dictionary.
        (Selector::Default, SlotChange::Removal) => json!({"type": "UserAssigned"}),
        (Selector::Default, SlotChange::Return) => json!({"type": both}),
        (Selector::UserAssigned(index), change) => {
            let id = world.user_assigned_id(slot.vm, index).map_err(|error| error.to_string())?;
            let value = if change == SlotChange::Removal { Value::Null } else { json!({}) };
            json!({"type": both, "userAssignedIdentities": {id.as_str(): value}})
        }
    };
    let path = format!("{}?api-version={API_VERSION}", vm.as_str());
    Ok((path, json!({ "identity": identity }).to_string()))
}

/// Returns the new principal of a system-assigned identity that was given back, or the reason why
/// the change failed.
fn principal(reply: &Reply, slot: Slot, change: SlotChange) -> Result<Option<PrincipalId>, String> {
    if reply.status != 200 {
        return Err(format!("status {}: {}", reply.status, reply.body));
    }
    if slot.selector != Selector::Default || change == SlotChange::Removal {
        return Ok(None);
    }
    let vm: Value = serde_json::from_str(&reply.body).map_err(|error| error.to_string())?;
    let named = vm.pointer("/identity/principalId").and_then(Value::as_str);
    let named = named.ok_or("the answer names no principal of the system-assigned identity")?;
    named.parse().map(Some).map_err(|error: crate::base::ids::ParseIdError| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORLD: Synthetic = Synthetic { vms: 2, user_assigned: 2, seed: 1 };

    fn content(selector: Selector, change: SlotChange) -> Value {
        let (path, body) = request(&WORLD, Slot { vm: 1, selector }, change).unwrap();
        assert!(path.ends_with("/virtualMachines/vm-1?api-version=2024-07-01"), "{path}");
        serde_json::from_str(&body).unwrap()
    }

    #[test]
    fn a_change_names_the_one_identity_that_it_is_about() {
        let id = WORLD.user_assigned_id(1, 0).unwrap();
        let of = |value: Value| {
            json!({"identity": {"type": "SystemAssigned, UserAssigned",
                "userAssignedIdentities": {id.as_str(): value}}})
        };
        let user = Selector::UserAssigned(0);
        assert_eq!(content(user, SlotChange::Removal), of(Value::Null));
        assert_eq!(content(user, SlotChange::Return), of(json!({})));
        let system = json!({"identity": {"type": "UserAssigned"}});
        assert_eq!(content(Selector::Default, SlotChange::Removal), system);
    }

    #[test]
    fn a_re_enabled_identity_must_come_with_its_principal() {
        let slot = Slot { vm: 0, selector: Selector::Default };
        let reply = |status, body: Value| Reply { status, body: body.to_string() };
        let id = PrincipalId::from_bytes([9; 16]);
        let named = reply(200, json!({"identity": {"principalId": id.to_string()}}));
        assert_eq!(principal(&named, slot, SlotChange::Return), Ok(Some(id)));
        assert_eq!(principal(&named, slot, SlotChange::Removal), Ok(None));
        assert!(principal(&reply(200, json!({})), slot, SlotChange::Return).is_err());
        let refused = principal(&reply(409, json!("why")), slot, SlotChange::Removal).unwrap_err();
        assert_eq!(refused, "status 409: \"why\"");
    }
}
