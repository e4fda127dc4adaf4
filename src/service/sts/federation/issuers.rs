//! Keys of other issuers: held for a day, fetched again when they are old or when a token names a key that is not
//! among them, at a bounded pace.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::fetch::FetchError;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::service::token::ForeignKeys;

/// Age at which keys are fetched again, while the old ones are still used (Entra, "Signing key rollover").
const FRESH: Seconds = Seconds(3_600);

/// Age at which keys are not used any more.
const KEPT: Seconds = Seconds(86_400);

/// Shortest time between two fetches from one issuer that answers. A token with an unknown key waits no longer for
/// a new key, and whoever sends many such tokens causes no more than two fetches a minute.
const PACE: Seconds = Seconds(30);

/// Shortest time between two attempts while an issuer does not answer. It may just be starting.
const RETRY: Seconds = Seconds(5);

/// Greatest number of issuers whose keys are held. One more displaces the one that was asked longest ago.
const ISSUERS_MAX: usize = 256;

/// Next step of a request with a token of another issuer.
#[derive(Debug)]
pub(super) enum Step {
    /// Fetches the keys. Dropping `landed` ends `flight`.
    Fetch { landed: watch::Sender<()>, flight: watch::Receiver<()>, is_needed: bool },
    /// Takes what is there.
    Use,
    /// Waits for the fetch of another request.
    Wait(watch::Receiver<()>),
}

/// Keys by issuer.
#[derive(Debug)]
pub(super) struct Issuers {
    given: HashMap<String, Arc<ForeignKeys>>,
    fetched: Mutex<HashMap<String, Entry>>,
}

/// Keys of one issuer.
#[derive(Debug, Default)]
struct Entry {
    /// The keys, and the time of their fetch.
    keys: Option<(Arc<ForeignKeys>, UnixSeconds)>,
    /// Time of the last fetch, whether it succeeded or not.
    tried: Option<UnixSeconds>,
    /// True if the last fetch failed.
    is_failing: bool,
    /// The fetch under way. It has ended if the sender is gone.
    flight: Option<watch::Receiver<()>>,
}

impl Issuers {
    /// Creates a cache. Keys of the issuers in `given` are never fetched.
    pub(super) fn new(given: Vec<(String, ForeignKeys)>) -> Self {
        let given = given.into_iter().map(|(issuer, keys)| (issuer, Arc::new(keys))).collect();
        Self { given, fetched: Mutex::default() }
    }

    /// Returns what a request with a token of `issuer` does. A caller that gets `Fetch` must fetch and call
    /// [`land`](Self::land).
    pub(super) fn step(&self, issuer: &str, kid: Option<&str>, now: UnixSeconds) -> Step {
        if self.given.contains_key(issuer) {
            return Step::Use;
        }
        let mut fetched = self.fetched.lock();
        make_room(&mut fetched, issuer);
        let entry = fetched.entry(issuer.to_owned()).or_default();
        let is_needed = entry.lacks(kid, now);
        if let Some(flight) = entry.under_way() {
            return if is_needed { Step::Wait(flight) } else { Step::Use };
        }
        if !(is_needed || entry.is_older_than(FRESH, now)) || !entry.may_fetch(now) {
            return Step::Use;
        }
        let (landed, flight) = watch::channel(());
        entry.flight = Some(flight.clone());
        entry.tried = Some(now);
        Step::Fetch { landed, flight, is_needed }
    }

    /// Keeps the result of a fetch.
    pub(super) fn land(
        &self,
        issuer: &str,
        result: Result<ForeignKeys, FetchError>,
        now: UnixSeconds,
    ) {
        let mut fetched = self.fetched.lock();
        let Some(entry) = fetched.get_mut(issuer) else { return };
        entry.flight = None;
        entry.tried = Some(now);
        match result {
            Ok(keys) => {
                entry.keys = Some((Arc::new(keys), now));
                entry.is_failing = false;
            }
            Err(error) => {
                // Only the log says why. Whoever sends the token would otherwise learn what answers where.
                let reason = error.in_a_line();
                tracing::warn!(issuer, reason, "the keys of an issuer cannot be fetched");
                entry.is_failing = true;
            }
        }
    }

    /// Returns the keys of an issuer that may be used at `now`, if there are any.
    pub(super) fn keys(&self, issuer: &str, now: UnixSeconds) -> Option<Arc<ForeignKeys>> {
        if let Some(keys) = self.given.get(issuer) {
            return Some(Arc::clone(keys));
        }
        let fetched = self.fetched.lock();
        let usable = fetched.get(issuer).filter(|entry| !entry.is_older_than(KEPT, now));
        usable.and_then(|entry| entry.keys.as_ref()).map(|(keys, _)| Arc::clone(keys))
    }
}

impl Entry {
    /// Returns true if a token cannot be checked without a fetch.
    fn lacks(&self, kid: Option<&str>, now: UnixSeconds) -> bool {
        let has = self.keys.as_ref().is_some_and(|(keys, _)| keys.has(kid));
        !has || self.is_older_than(KEPT, now)
    }

    fn is_older_than(&self, age: Seconds, now: UnixSeconds) -> bool {
        self.keys.as_ref().is_some_and(|(_, at)| now.since(*at) >= age)
    }

    /// Returns true if the last fetch was long enough ago, or the clock was set back since.
    fn may_fetch(&self, now: UnixSeconds) -> bool {
        let pace = if self.is_failing { RETRY } else { PACE };
        self.tried.is_none_or(|at| now < at || now.since(at) >= pace)
    }

    fn under_way(&self) -> Option<watch::Receiver<()>> {
        self.flight.clone().filter(|flight| flight.has_changed().is_ok())
    }
}

/// Makes room for the entry of an issuer.
fn make_room(fetched: &mut HashMap<String, Entry>, issuer: &str) {
    if fetched.len() < ISSUERS_MAX || fetched.contains_key(issuer) {
        return;
    }
    let oldest = fetched.iter().min_by_key(|(_, entry)| entry.tried);
    if let Some(oldest) = oldest.map(|(issuer, _)| issuer.clone()) {
        fetched.remove(&oldest);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::service::token::{Algorithm, SigningKey};

    const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
    const ISSUER: &str = "https://issuer";

    fn keys(kid: &str) -> ForeignKeys {
        let key = SigningKey::generate(Algorithm::EdDsa, NOW).unwrap();
        let mut jwk = json!(key.jwk());
        jwk["kid"] = kid.into();
        ForeignKeys::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap()
    }

    fn issuers() -> Issuers {
        Issuers::new(vec![("https://given".to_owned(), keys("given"))])
    }

    fn fetches(step: Step) -> Option<(watch::Sender<()>, bool)> {
        match step {
            Step::Fetch { landed, is_needed, .. } => Some((landed, is_needed)),
            Step::Use | Step::Wait(_) => None,
        }
    }

    fn failed() -> Result<ForeignKeys, FetchError> {
        Err(FetchError::Keys("https://issuer/keys".to_owned()))
    }

    fn is_use(step: &Step) -> bool {
        matches!(step, Step::Use)
    }

    #[test]
    fn given_keys_are_never_fetched() {
        let issuers = issuers();
        assert!(is_use(&issuers.step("https://given", Some("other"), NOW)));
        assert!(
            issuers.keys("https://given", NOW + Seconds(1_000_000)).unwrap().has(Some("given"))
        );
    }

    #[test]
    fn the_first_token_fetches_and_later_ones_use_its_keys_until_they_are_old() {
        let issuers = issuers();
        assert!(issuers.keys(ISSUER, NOW).is_none());
        let (landed, is_needed) = fetches(issuers.step(ISSUER, Some("a"), NOW)).unwrap();
        assert!(is_needed);
        issuers.land(ISSUER, Ok(keys("a")), NOW);
        drop(landed);
        assert!(is_use(&issuers.step(ISSUER, Some("a"), NOW + Seconds(3_599))));
        // Old keys are still used while newer ones are fetched.
        let later = NOW + FRESH;
        let (_landed, is_needed) = fetches(issuers.step(ISSUER, Some("a"), later)).unwrap();
        assert!(!is_needed && issuers.keys(ISSUER, later).is_some());
        assert!(is_use(&issuers.step(ISSUER, Some("a"), later)));
        assert!(issuers.keys(ISSUER, NOW + KEPT).is_none());
    }

    #[test]
    fn tokens_that_come_during_a_fetch_wait_for_it_if_they_need_it() {
        let issuers = issuers();
        let (landed, _) = fetches(issuers.step(ISSUER, Some("a"), NOW)).unwrap();
        assert!(matches!(issuers.step(ISSUER, Some("a"), NOW), Step::Wait(_)));
        assert!(matches!(issuers.step(ISSUER, None, NOW + PACE), Step::Wait(_)));
        // A fetch that was given up is not waited for. The next one keeps the pace.
        drop(landed);
        assert!(is_use(&issuers.step(ISSUER, Some("a"), NOW + Seconds(1))));
        assert!(fetches(issuers.step(ISSUER, Some("a"), NOW + PACE)).is_some());
    }

    #[test]
    fn an_unknown_key_is_asked_for_at_a_bounded_pace() {
        let issuers = issuers();
        let (landed, _) = fetches(issuers.step(ISSUER, Some("a"), NOW)).unwrap();
        issuers.land(ISSUER, Ok(keys("a")), NOW);
        drop(landed);
        for seconds in [0, 1, 29] {
            assert!(is_use(&issuers.step(ISSUER, Some("b"), NOW + Seconds(seconds))));
        }
        let later = NOW + PACE;
        let (landed, is_needed) = fetches(issuers.step(ISSUER, Some("b"), later)).unwrap();
        assert!(is_needed);
        issuers.land(ISSUER, Ok(keys("b")), later);
        drop(landed);
        assert!(issuers.keys(ISSUER, later).unwrap().has(Some("b")));
        // After the clock was set back the pace does not hold anybody up.
        assert!(fetches(issuers.step(ISSUER, Some("c"), NOW - Seconds(1000))).is_some());
    }

    #[test]
    fn a_failed_fetch_keeps_the_old_keys_and_is_tried_again_soon() {
        let issuers = issuers();
        let (landed, _) = fetches(issuers.step(ISSUER, Some("a"), NOW)).unwrap();
        issuers.land(ISSUER, failed(), NOW);
        drop(landed);
        assert!(issuers.keys(ISSUER, NOW).is_none());
        assert!(is_use(&issuers.step(ISSUER, Some("a"), NOW + Seconds(4))));
        let (landed, _) = fetches(issuers.step(ISSUER, Some("a"), NOW + RETRY)).unwrap();
        issuers.land(ISSUER, Ok(keys("a")), NOW + RETRY);
        drop(landed);
        let later = NOW + RETRY + PACE;
        let (landed, _) = fetches(issuers.step(ISSUER, Some("b"), later)).unwrap();
        issuers.land(ISSUER, failed(), later);
        drop(landed);
        assert!(issuers.keys(ISSUER, later).unwrap().has(Some("a")));
    }

    #[test]
    fn the_number_of_issuers_is_bounded() {
        let issuers = issuers();
        for number in 0..=ISSUERS_MAX {
            let now = NOW + Seconds(number as u64);
            let (_landed, _) =
                fetches(issuers.step(&format!("https://i-{number}"), None, now)).unwrap();
        }
        let fetched = issuers.fetched.lock();
        assert_eq!(fetched.len(), ISSUERS_MAX);
        assert!(!fetched.contains_key("https://i-0") && fetched.contains_key("https://i-1"));
    }
}
