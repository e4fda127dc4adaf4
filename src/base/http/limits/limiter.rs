//! Limits on connections: admission of new ones, and the choice of a connection to close for them.
//!
//! One limiter counts the connections of all surfaces that share it. At the limit of a caller, it closes that
//! caller's connection that was idle longest. At the limit of all, it closes a connection of the caller with
//! the most connections, so no caller locks out another.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::activity::{Activity, CoarseClock, Rank};
use super::tally::Tally;

/// Limits on the number of connections and on the bytes of unsent answers.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Largest number of connections of all surfaces together.
    pub max: usize,
    /// Largest number of connections of one IP address.
    pub per_caller: usize,
    /// Largest number of unsent bytes of large answers, for each surface. One caller may use a quarter.
    pub unsent_bytes: usize,
}

impl ConnectionLimits {
    /// Returns the largest number of connections that hold a file descriptor, including those that are
    /// closing.
    fn ceiling(&self) -> usize {
        self.max.saturating_add(LEAVING_MAX)
    }
}

/// Largest number of closing connections: told to end, but not yet closed by their thread.
pub(crate) const LEAVING_MAX: usize = 32;

/// Number of candidates from one scan of a caller's connections, so that closing thousands takes few scans.
const CANDIDATES: usize = 256;

/// Smallest peak of connections after which it is worth looking for free memory.
const PEAK_MIN: usize = 256;

/// Counts connections and makes room for new ones. Requests do not touch it.
#[derive(Debug)]
pub struct ConnectionLimiter {
    limits: ConnectionLimits,
    pub(crate) clock: Arc<CoarseClock>,
    callers: Mutex<Callers>,
    tallies: Mutex<Vec<Arc<Tally>>>,
}

/// Reason for refusing a connection: no other connection can be closed for it.
#[derive(Debug, thiserror::Error)]
#[error("all connections have a request in flight")]
pub(crate) struct Full;

impl ConnectionLimiter {
    /// Creates a limiter without connections.
    pub fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            clock: Arc::new(CoarseClock::start()),
            callers: Mutex::default(),
            tallies: Mutex::default(),
        })
    }

    /// Returns its limits.
    pub(crate) fn limits(&self) -> ConnectionLimits {
        self.limits
    }

    /// Returns the counts of each surface.
    pub fn tallies(&self) -> Vec<Arc<Tally>> {
        self.tallies.lock().clone()
    }

    /// Returns the counts of a surface, which its workers share.
    pub(crate) fn tally(&self, surface: &'static str) -> Arc<Tally> {
        let mut tallies = self.tallies.lock();
        if let Some(known) = tallies.iter().find(|tally| tally.surface == surface) {
            return Arc::clone(known);
        }
        let tally = Arc::new(Tally::new(surface));
        tallies.push(Arc::clone(&tally));
        tally
    }

    /// Admits a connection of `caller`. Ends another one if there are too many.
    pub(crate) fn admit(
        self: &Arc<Self>,
        caller: IpAddr,
        tally: &Arc<Tally>,
    ) -> Result<Admitted, Full> {
        let caller = caller.to_canonical();
        let mut callers = self.callers.lock();
        let room = callers.make_room(caller, self.limits);
        let shed = room.inspect_err(|Full| tally.refused.add())?;
        let number = callers.next_number;
        callers.next_number += 1;
        let activity = Arc::new(Activity::new(number, Arc::clone(tally), Arc::clone(&self.clock)));
        callers.insert(caller, Arc::clone(&activity));
        drop(callers);
        tally.open.add();
        let has_shed = shed.is_some();
        end(shed);
        Ok(Admitted {
            slot: ConnectionSlot { limiter: Arc::clone(self), caller, activity },
            has_shed,
        })
    }

    /// Returns true if much memory may have become free since the last call: most connections have ended, or
    /// a limit was reached.
    pub fn has_receded(&self) -> bool {
        let limits_reached: u64 = self.tallies().iter().map(|tally| tally.limits_reached()).sum();
        let mut callers = self.callers.lock();
        let has_emptied = callers.peak >= PEAK_MIN && callers.open <= callers.peak / 2;
        let has_receded = has_emptied || limits_reached > callers.limits_reached;
        callers.limits_reached = limits_reached;
        if has_emptied {
            callers.peak = callers.open;
        }
        has_receded
    }

    /// Returns true if so many connections are closing that a new one would be refused.
    pub(crate) fn is_crowded(&self) -> bool {
        let callers = self.callers.lock();
        callers.leaving > 0 && callers.open + callers.leaving >= self.limits.ceiling()
    }

    /// Ends a connection of the caller with the most connections, because the system has no file descriptor
    /// left.
    pub(crate) fn shed_one(&self) {
        let shed = self.callers.lock().shed_largest();
        end(shed);
    }
}

/// Ends a connection. Call it without the lock: the ended task may be dropped at once, and its slot takes
/// the lock.
fn end(shed: Option<Arc<Activity>>) {
    if let Some(shed) = shed {
        shed.tally.shed.add();
        shed.end();
    }
}

/// Result of an admission.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) slot: ConnectionSlot,
    /// True if another connection was ended for it.
    pub(crate) has_shed: bool,
}

/// The slot of an open connection. Dropping it frees the slot.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    limiter: Arc<ConnectionLimiter>,
    caller: IpAddr,
    pub(crate) activity: Arc<Activity>,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.activity.tally.open.subtract();
        let mut callers = self.limiter.callers.lock();
        if callers.remove(self.caller, self.activity.number).is_none() {
            callers.leaving -= 1;
        }
    }
}

/// The connections of every caller.
#[derive(Debug, Default)]
struct Callers {
    by_address: HashMap<IpAddr, Caller>,
    /// Callers ordered by their number of connections.
    by_count: BTreeSet<(usize, IpAddr)>,
    open: usize,
    leaving: usize,
    next_number: u64,
    /// Largest number of open connections since most had ended.
    peak: usize,
    /// Number of reached limits at the last check.
    limits_reached: u64,
}

#[derive(Debug, Default)]
struct Caller {
    connections: HashMap<u64, Arc<Activity>>,
    /// Connections to close first, as of the last scan. The next one is at the end.
    candidates: Vec<Rank>,
}

impl Callers {
    /// Makes room for a connection of `caller`. Returns the connection to end, if any.
    fn make_room(
        &mut self,
        caller: IpAddr,
        limits: ConnectionLimits,
    ) -> Result<Option<Arc<Activity>>, Full> {
        if self.open + self.leaving >= limits.ceiling() {
            return Err(Full);
        }
        let own = self.by_address.get(&caller).map_or(0, |own| own.connections.len());
        if own >= limits.per_caller {
            return self.shed(caller).ok_or(Full).map(Some);
        }
        if self.open >= limits.max {
            return self.shed_largest().ok_or(Full).map(Some);
        }
        Ok(None)
    }

    fn shed_largest(&mut self) -> Option<Arc<Activity>> {
        let (_, largest) = self.by_count.last().copied()?;
        self.shed(largest)
    }

    fn shed(&mut self, caller: IpAddr) -> Option<Arc<Activity>> {
        let number = self.by_address.get_mut(&caller)?.next_candidate()?;
        let shed = self.remove(caller, number)?;
        self.leaving += 1;
        Some(shed)
    }

    fn insert(&mut self, caller: IpAddr, activity: Arc<Activity>) {
        let own = self.by_address.entry(caller).or_default();
        self.by_count.remove(&(own.connections.len(), caller));
        own.connections.insert(activity.number, activity);
        self.by_count.insert((own.connections.len(), caller));
        self.open += 1;
        self.peak = self.peak.max(self.open);
    }

    fn remove(&mut self, caller: IpAddr, number: u64) -> Option<Arc<Activity>> {
        let own = self.by_address.get_mut(&caller)?;
        let count = own.connections.len();
        let removed = own.connections.remove(&number)?;
        self.by_count.remove(&(count, caller));
        self.open -= 1;
        if count > 1 {
            self.by_count.insert((count - 1, caller));
        } else {
            self.by_address.remove(&caller);
        }
        Some(removed)
    }
}

impl Caller {
    /// Returns the connection to close next.
    fn next_candidate(&mut self) -> Option<u64> {
        self.known_candidate().or_else(|| {
            self.look();
            self.known_candidate()
        })
    }

    /// Returns the next candidate of the last scan without activity since.
    fn known_candidate(&mut self) -> Option<u64> {
        while let Some(rank @ (_, _, number)) = self.candidates.pop() {
            let now = self.connections.get(&number).and_then(|activity| activity.rank());
            if now.is_some_and(|now| now.1 == rank.1) {
                return Some(number);
            }
        }
        None
    }

    fn look(&mut self) {
        let ranks = self.connections.values().filter_map(|activity| activity.rank());
        let mut ranks: Vec<Rank> = ranks.collect();
        if ranks.len() > CANDIDATES {
            ranks.select_nth_unstable(CANDIDATES);
            ranks.truncate(CANDIDATES);
        }
        ranks.sort_unstable_by(|one, other| other.cmp(one));
        self.candidates = ranks;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(max: usize, per_caller: usize) -> ConnectionLimits {
        ConnectionLimits { max, per_caller, unsent_bytes: 0 }
    }

    fn caller(last: u8) -> IpAddr {
        [127, 0, 0, last].into()
    }

    /// Creates a connection that has had a request and waits for the next.
    fn idle(limiter: &Arc<ConnectionLimiter>, last: u8) -> ConnectionSlot {
        let admitted = limiter.admit(caller(last), &limiter.tally("test")).unwrap();
        admitted.slot.activity.begin(0);
        admitted.slot.activity.finish();
        admitted.slot
    }

    fn is_open(limiter: &ConnectionLimiter, slot: &ConnectionSlot) -> bool {
        let callers = limiter.callers.lock();
        let own = callers.by_address.get(&slot.caller);
        own.is_some_and(|own| own.connections.contains_key(&slot.activity.number))
    }

    #[test]
    fn at_its_cap_a_caller_loses_its_longest_idle_connection_and_others_lose_none() {
        let limiter = ConnectionLimiter::new(limits(100, 3));
        let other = idle(&limiter, 2);
        let mut own: Vec<ConnectionSlot> = (0..3).map(|_| idle(&limiter, 1)).collect();
        limiter.clock.set(5);
        own[0].activity.begin(0);
        own[0].activity.finish();
        own.push(idle(&limiter, 1));
        let open: Vec<bool> = own.iter().map(|slot| is_open(&limiter, slot)).collect();
        assert_eq!(open, [true, false, true, true]);
        assert!(is_open(&limiter, &other));
        drop(own);
        assert_eq!(limiter.tally("test").shed.get(), 1);
        let callers = limiter.callers.lock();
        assert_eq!((callers.open, callers.leaving, callers.by_count.len()), (1, 0, 1));
    }

    #[test]
    fn when_all_places_are_taken_who_has_the_most_makes_room_for_a_newcomer() {
        let limiter = ConnectionLimiter::new(limits(6, 4));
        let small: Vec<ConnectionSlot> = (0..2).map(|_| idle(&limiter, 1)).collect();
        let large: Vec<ConnectionSlot> = (0..4).map(|_| idle(&limiter, 2)).collect();
        let newcomers = [3, 4, 5].map(|last| idle(&limiter, last));
        let open = |places: &[ConnectionSlot]| {
            places.iter().filter(|slot| is_open(&limiter, slot)).count()
        };
        assert_eq!((open(&small), open(&large), open(&newcomers)), (2, 1, 3));
    }

    #[test]
    fn a_connection_with_a_request_in_flight_is_not_closed_for_another() {
        let limiter = ConnectionLimiter::new(limits(100, 2));
        let tally = limiter.tally("test");
        let busy = [(); 2].map(|()| idle(&limiter, 1));
        for slot in &busy {
            slot.activity.begin(0);
        }
        assert!(limiter.admit(caller(1), &tally).is_err());
        assert!(busy.iter().all(|slot| is_open(&limiter, slot)));
        assert_eq!(tally.refused.get(), 1);
        busy[1].activity.finish();
        limiter.admit(caller(1), &tally).unwrap();
        assert!(is_open(&limiter, &busy[0]) && !is_open(&limiter, &busy[1]));
    }

    #[test]
    fn a_request_since_the_last_look_saves_its_connection() {
        let limiter = ConnectionLimiter::new(limits(100, 3));
        let own: Vec<ConnectionSlot> = (0..3).map(|_| idle(&limiter, 1)).collect();
        let _first = idle(&limiter, 1);
        limiter.clock.set(1);
        own[1].activity.begin(0);
        own[1].activity.finish();
        let _second = idle(&limiter, 1);
        let open: Vec<bool> = own.iter().map(|slot| is_open(&limiter, slot)).collect();
        assert_eq!(open, [false, true, false]);
    }

    #[test]
    fn memory_is_looked_for_once_after_most_connections_have_ended() {
        let limiter = ConnectionLimiter::new(limits(1000, 1000));
        let mut open: Vec<ConnectionSlot> = (0..PEAK_MIN).map(|_| idle(&limiter, 1)).collect();
        assert!(!limiter.has_receded());
        open.truncate(PEAK_MIN / 2);
        assert!(limiter.has_receded());
        assert!(!limiter.has_receded());
        drop(open);
        assert!(!limiter.has_receded());
    }

    #[test]
    fn memory_is_looked_for_after_a_limit_was_reached() {
        let limiter = ConnectionLimiter::new(limits(100, 1));
        let _shed = [idle(&limiter, 1), idle(&limiter, 1)];
        assert!(limiter.has_receded());
        assert!(!limiter.has_receded());
    }

    #[test]
    fn an_address_in_the_form_of_ipv6_is_the_same_caller() {
        let limiter = ConnectionLimiter::new(limits(100, 1));
        let own = idle(&limiter, 1);
        limiter.admit("::ffff:127.0.0.1".parse().unwrap(), &limiter.tally("test")).unwrap();
        assert!(!is_open(&limiter, &own));
    }
}
