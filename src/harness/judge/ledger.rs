//! Record of the identities of each VM over time, as seen from outside, and the judgement of
//! answers.
//!
//! A change takes effect between the write of its request and the read of its acknowledgement.
//! Outside of that time the state is certain. An answer is judged only if the state was certain
//! from the write of its request to the end of the answer.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::base::clock::Monotonic;
use crate::base::ids::PrincipalId;
pub use crate::harness::document::run::changes::ChurnCounts as Judgement;
use crate::harness::nanos::Nanos;
use crate::harness::record::observer::Observation;
use crate::harness::scenario::key::Slot;

/// Kind of a change of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SlotChange {
    Removal,
    Return,
}

/// One change of a slot. Times are of the run's clock.
#[derive(Clone, Copy, Debug)]
struct Entry {
    change: SlotChange,
    /// Time of sending; the change is not in effect before it.
    sent: Nanos,
    /// Time of the acknowledgement; the change is in effect from then on. `None` if there was none.
    acked: Option<Nanos>,
    /// Principal of the slot after the change, if the acknowledgement named it.
    principal: Option<PrincipalId>,
}

/// State of a slot during a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Absent,
    Present,
    /// The slot changed, or may have changed, during that time.
    Unsettled,
}

/// All changes of a run. Each slot has its identity at the start.
#[derive(Debug)]
pub struct Ledger {
    clock: Monotonic,
    slots: Mutex<HashMap<Slot, Vec<Entry>>>,
}

impl Ledger {
    /// Creates a ledger without changes.
    pub(crate) fn new(clock: Monotonic) -> Self {
        Self { clock, slots: Mutex::default() }
    }

    /// Records that a change is about to be sent, and returns the time.
    ///
    /// The clock is read under the lock. Whoever takes the lock later therefore sees every change
    /// that was sent or acknowledged before.
    pub(crate) fn sending(&self, slot: Slot, change: SlotChange) -> Nanos {
        let mut slots = self.slots.lock();
        let sent = Nanos::now(self.clock);
        let entry = Entry { change, sent, acked: None, principal: None };
        slots.entry(slot).or_default().push(entry);
        sent
    }

    /// Records that the last change of a slot has been acknowledged.
    pub(crate) fn acknowledged(&self, slot: Slot, principal: Option<PrincipalId>) {
        let mut slots = self.slots.lock();
        if let Some(entry) = slots.get_mut(&slot).and_then(|entries| entries.last_mut()) {
            entry.acked = Some(Nanos::now(self.clock));
            entry.principal = principal;
        }
    }

    /// Judges answers, all of which must have been complete before this call.
    pub(crate) fn judge(&self, seen: &[Observation], judgement: &mut Judgement) {
        let slots = self.slots.lock();
        for seen in seen {
            let entries = slots.get(&seen.slot).map_or(&[][..], Vec::as_slice);
            let count = match (presence(entries, seen.written, seen.end), seen.token) {
                (Presence::Absent, false) => &mut judgement.refused_rightly,
                (Presence::Absent, true) => &mut judgement.tokens_after_removal,
                (Presence::Present, false) => &mut judgement.refused_wrongly,
                (Presence::Present, true) => &mut judgement.tokens_rightly,
                (Presence::Unsettled, _) => &mut judgement.undecided,
            };
            *count += 1;
        }
    }

    /// Returns true if the slot may have belonged to this principal between these times.
    ///
    /// `named` is the principal that the acknowledgement of a change named. `None` stands for the
    /// principal at the start of the run.
    pub(crate) fn may_have_been(
        &self,
        slot: Slot,
        named: Option<PrincipalId>,
        (written, end): (Nanos, Nanos),
    ) -> bool {
        let slots = self.slots.lock();
        let entries = slots.get(&slot).map_or(&[][..], Vec::as_slice);
        // Each holder counts from before its change was sent, or the start, until its removal was
        // acknowledged, or the end.
        let removal_after = |index: usize| {
            let gone = entries.iter().skip(index).find(|entry| entry.change == SlotChange::Removal);
            gone.map_or(Nanos::MAX, |entry| entry.acked.unwrap_or(Nanos::MAX))
        };
        let first = named.is_none() && written <= removal_after(0);
        first
            || entries.iter().enumerate().any(|(index, entry)| {
                named.is_some()
                    && entry.principal == named
                    && entry.sent <= end
                    && written <= removal_after(index)
            })
    }
}

/// Returns the state of a slot between two times.
///
/// Each change is sent after the one before was acknowledged or given up. After a change that was
/// given up, nothing is certain any more.
fn presence(entries: &[Entry], written: Nanos, end: Nanos) -> Presence {
    let sent = entries.partition_point(|entry| entry.sent < end);
    let Some(last) = sent.checked_sub(1).and_then(|last| entries.get(last)) else {
        return Presence::Present;
    };
    match (last.acked, last.change) {
        (Some(acked), SlotChange::Removal) if acked <= written => Presence::Absent,
        (Some(acked), SlotChange::Return) if acked <= written => Presence::Present,
        _ => Presence::Unsettled,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::harness::scenario::key::Selector;
    use proptest::prelude::*;

    fn entry(change: SlotChange, sent_ns: u64, acked_ns: Option<u64>) -> Entry {
        let (sent, acked) = (Nanos::new(sent_ns), acked_ns.map(Nanos::new));
        Entry { change, sent, acked, principal: None }
    }

    /// Returns the state between two times in nanoseconds.
    fn between(entries: &[Entry], written_ns: u64, end_ns: u64) -> Presence {
        presence(entries, Nanos::new(written_ns), Nanos::new(end_ns))
    }

    /// Returns a removal within 10 to 20 and a return within 50 to 60.
    fn away() -> Vec<Entry> {
        vec![entry(SlotChange::Removal, 10, Some(20)), entry(SlotChange::Return, 50, Some(60))]
    }

    #[test]
    fn an_answer_within_the_removal_is_absent_and_one_across_its_edges_undecided() {
        for (written, end, expected) in [
            (0, 10, Presence::Present),
            (0, 11, Presence::Unsettled),
            (12, 15, Presence::Unsettled),
            (19, 30, Presence::Unsettled),
            (20, 30, Presence::Absent),
            (20, 50, Presence::Absent),
            (49, 51, Presence::Unsettled),
            (5, 70, Presence::Unsettled),
            (59, 70, Presence::Unsettled),
            (60, 70, Presence::Present),
        ] {
            assert_eq!(between(&away(), written, end), expected, "{written} {end}");
        }
    }

    #[test]
    fn nothing_is_certain_after_a_change_that_was_not_acknowledged() {
        let entries = [entry(SlotChange::Removal, 10, None)];
        assert_eq!(between(&entries, 0, 9), Presence::Present);
        assert_eq!(between(&entries, 100, 110), Presence::Unsettled);
    }

    fn slot(vm: u32) -> Slot {
        Slot { vm, selector: Selector::Default }
    }

    fn ledger(entries: Vec<Entry>) -> Ledger {
        let ledger = Ledger::new(Monotonic::start());
        ledger.slots.lock().insert(slot(0), entries);
        ledger
    }

    #[test]
    fn a_token_after_removal_is_found_and_so_is_a_refusal_without_one() {
        let seen = |vm, written_ns, end_ns, token| {
            let (written, end) = (Nanos::new(written_ns), Nanos::new(end_ns));
            Observation { slot: slot(vm), written, end, token }
        };
        let mut judgement = Judgement::default();
        let answers = [
            seen(0, 30, 40, true),
            seen(0, 30, 40, false),
            seen(0, 60, 61, true),
            seen(0, 60, 61, false),
            seen(0, 15, 16, true),
            seen(1, 30, 40, false),
        ];
        ledger(away()).judge(&answers, &mut judgement);
        let expected = Judgement {
            removals: 0,
            refused_rightly: 1,
            refused_wrongly: 2,
            tokens_rightly: 1,
            tokens_after_removal: 1,
            undecided: 1,
        };
        assert_eq!(judgement, expected);
    }

    #[test]
    fn the_principal_of_before_may_be_seen_until_the_removal_and_the_new_one_from_then_on() {
        let new = PrincipalId::from_bytes([7; 16]);
        let mut entries = away();
        entries[1].principal = Some(new);
        entries.push(entry(SlotChange::Removal, 90, Some(95)));
        let ledger = ledger(entries);
        let may = |named, (from, to)| {
            ledger.may_have_been(slot(0), named, (Nanos::new(from), Nanos::new(to)))
        };
        assert!(may(None, (0, 5)) && may(None, (20, 25)) && !may(None, (21, 25)));
        assert!(!may(Some(new), (0, 49)) && may(Some(new), (0, 50)) && may(Some(new), (95, 99)));
        assert!(!may(Some(new), (96, 99)));
        assert!(!may(Some(PrincipalId::from_bytes([8; 16])), (60, 70)));
        assert!(ledger.may_have_been(slot(1), None, (Nanos::ZERO, Nanos::MAX)));
    }

    /// Applies the rule literally: between the end of one change and the beginning of the next, the
    /// state is that of the first.
    fn naive(entries: &[Entry], written: Nanos, end: Nanos) -> Presence {
        let mut since = Some((Nanos::ZERO, Presence::Present));
        for entry in entries {
            if let Some((from, state)) = since
                && from <= written
                && end <= entry.sent
            {
                return state;
            }
            let state = match entry.change {
                SlotChange::Removal => Presence::Absent,
                SlotChange::Return => Presence::Present,
            };
            since = entry.acked.map(|acked| (acked, state));
        }
        match since {
            Some((from, state)) if from <= written => state,
            _ => Presence::Unsettled,
        }
    }

    proptest! {
        #[test]
        fn the_search_agrees_with_the_rule_read_word_by_word(
            gaps in prop::collection::vec(1_u64..5, 0..40),
            lost: bool,
            written in 0_u64..120,
            length_ns in 1_u64..20,
        ) {
            let mut at_ns = 0;
            let mut times = gaps.into_iter().map(|gap| { at_ns += gap; at_ns });
            let mut entries = Vec::new();
            while let (Some(sent), Some(acked)) = (times.next(), times.next()) {
                let change = [SlotChange::Removal, SlotChange::Return][entries.len() % 2];
                entries.push(entry(change, sent, Some(acked)));
            }
            if let Some(last) = entries.last_mut().filter(|_| lost) {
                last.acked = None;
            }
            let end = written + length_ns;
            let expected = naive(&entries, Nanos::new(written), Nanos::new(end));
            prop_assert_eq!(between(&entries, written, end), expected);
        }
    }
}
