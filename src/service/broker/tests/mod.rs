mod clocks;
mod holdings;
mod throttle;

use std::num::NonZeroUsize;
use std::sync::mpsc;
use std::time::Duration;

use parking_lot::Mutex;

use super::*;
use crate::base::clock::{ManualClock, Seconds};
use crate::base::synthetic::Synthetic;
use crate::service::directory;
use crate::service::token::{Entropy, Issuer, MintError, Subject};
use crate::service::world::record::{Record, VirtualMachine};

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ARM: &str = "https://management.azure.com/";
const VAULT: &str = "https://vault.azure.net";
const LIFETIME: Seconds = Seconds(1000);

/// A token source that a test can block, make fail, and inspect for the resources asked for.
#[derive(Debug)]
struct Source {
    issuer: Issuer,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    /// While the test holds the sender, each mint waits for one message.
    gate: Option<mpsc::Receiver<()>>,
    next: Vec<Mishap>,
    asked: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
enum Mishap {
    Error,
    Panic,
}

impl TokenSource for Source {
    fn mint(
        &self,
        subject: &Subject<'_>,
        resource: &str,
        now: UnixSeconds,
        entropy: &Entropy,
    ) -> Result<Token, MintError> {
        // Signed first, so that the test acts on a signed token while the gate is closed.
        let signed = self.issuer.mint(subject, resource, now, entropy);
        let mishap = {
            let mut script = self.script.lock();
            script.asked.push(resource.to_owned());
            if let Some(gate) = &script.gate {
                let _ = gate.recv();
            }
            script.next.pop()
        };
        match mishap {
            None => signed,
            Some(Mishap::Error) => Err(MintError::Sign),
            Some(Mishap::Panic) => panic!("a mint that panics"),
        }
    }
}

struct Fixture {
    broker: Broker,
    clock: Arc<ManualClock>,
    source: Arc<Source>,
}

fn fixture(mint_queue: usize) -> Fixture {
    fixture_of(Synthetic { vms: 4, user_assigned: 2, seed: 1 }.build().unwrap(), mint_queue)
}

fn fixture_of(seed: Vec<Record>, mint_queue: usize) -> Fixture {
    let directory = Arc::new(directory::tests::of(seed, Seconds(0)));
    let clock = Arc::new(ManualClock::new(NOW));
    let options = BrokerOptions {
        cache_entries: NonZeroUsize::new(1000).unwrap(),
        mint_lanes: NonZeroUsize::MIN,
        mint_queue: NonZeroUsize::new(mint_queue).unwrap(),
        refresh_fraction: 0.5,
        seed: [7; 32],
    };
    let issuer = Issuer::new(directory.ring(), LIFETIME);
    let source = Arc::new(Source { issuer, script: Mutex::default() });
    let broker = Broker::start(
        directory,
        Arc::<Source>::clone(&source),
        Arc::<ManualClock>::clone(&clock),
        &options,
    );
    Fixture { broker: broker.unwrap(), clock, source }
}

impl Fixture {
    fn vm(&self, number: u8) -> Caller {
        self.broker.caller([127, 1, 0, number + 1].into())
    }

    async fn ask(&self, vm: u8, resource: &str) -> Result<Answer, TokenError> {
        let request = TokenRequest { selector: None, resource, freshness: Freshness::Held };
        self.broker.token(&self.vm(vm), &request, &*self.clock).await
    }

    /// Makes each mint wait for a message from the returned sender, until the sender is dropped.
    fn hold_mints(&self) -> mpsc::Sender<()> {
        let (go, gate) = mpsc::channel();
        self.source.script.lock().gate = Some(gate);
        go
    }

    fn fail_next(&self, mishap: Mishap) {
        self.source.script.lock().next.push(mishap);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

/// Polls a request once and drops it.
fn ask_and_leave(fixture: &Fixture, vm: u8, resource: &str) {
    let asked = std::pin::pin!(fixture.ask(vm, resource));
    let waker = std::task::Waker::noop();
    assert!(asked.poll(&mut std::task::Context::from_waker(waker)).is_pending());
}

fn poll<T>(mut probe: impl FnMut() -> Option<T>) -> T {
    let stopwatch = crate::base::clock::Monotonic::start();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(stopwatch.now_ns() < 30_000_000_000, "nothing came in time");
        std::thread::yield_now();
    }
}

#[test]
fn the_first_answer_is_a_miss_and_the_next_a_hit_with_the_same_token() {
    let fixture = fixture(10);
    let first = block_on(fixture.ask(0, ARM)).unwrap();
    let second = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!((first.via, second.via), (Via::Miss, Via::Hit));
    assert_eq!(first.token().jwt(), second.token().jwt());
}

#[test]
fn identities_and_resources_do_not_share_tokens() {
    let fixture = fixture(10);
    let mut tokens = std::collections::HashSet::new();
    for (vm, resource) in [(0, ARM), (1, ARM), (0, VAULT), (0, "https://vault.azure.net/")] {
        let answer = block_on(fixture.ask(vm, resource)).unwrap();
        assert_eq!(answer.via, Via::Miss);
        assert!(tokens.insert(answer.token().jwt().to_owned()));
    }
}

#[test]
fn an_expired_token_is_never_served() {
    let fixture = fixture(10);
    let first = block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.advance(LIFETIME);
    let second = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!(second.via, Via::Miss);
    assert!(second.token().expires_on() > first.token().expires_on());
}

#[test]
fn an_ageing_token_is_served_while_it_is_renewed_in_the_background() {
    let fixture = fixture(10);
    let old = block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.advance(Seconds(600));
    let go = fixture.hold_mints();
    let during = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!((during.via, during.token().jwt()), (Via::Hit, old.token().jwt()));
    drop(go);
    let renewed = poll(|| {
        let answer = block_on(fixture.ask(0, ARM)).unwrap();
        assert_eq!(answer.via, Via::Hit);
        (answer.token().jwt() != old.token().jwt()).then_some(answer)
    });
    assert!(renewed.token().expires_on() > old.token().expires_on());
    assert_eq!(fixture.broker.stats().lanes.refreshes, 1);
}

#[test]
fn while_the_source_is_down_the_old_token_is_served_until_it_expires() {
    let fixture = fixture(10);
    let old = block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.advance(Seconds(600));
    for failures in 1..=3 {
        fixture.fail_next(Mishap::Error);
        let answer = block_on(fixture.ask(0, ARM)).unwrap();
        assert_eq!((answer.via, answer.token().jwt()), (Via::Hit, old.token().jwt()));
        poll(|| (fixture.broker.stats().lanes.failures == failures).then_some(()));
        // After a failed renewal, an immediate request does not ask the source again.
        block_on(fixture.ask(0, ARM)).unwrap();
        assert_eq!(fixture.broker.stats().lanes.queued, 0);
        fixture.clock.advance(Seconds(30));
    }
    fixture.clock.advance(LIFETIME);
    fixture.fail_next(Mishap::Error);
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap_err(), TokenError::Mint(MintError::Sign));
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().via, Via::Miss);
}

#[test]
fn callers_mints_come_before_renewals() {
    let fixture = fixture(10);
    block_on(fixture.ask(0, ARM)).unwrap();
    block_on(fixture.ask(1, ARM)).unwrap();
    fixture.clock.advance(Seconds(600));
    let go = fixture.hold_mints();
    block_on(fixture.ask(0, ARM)).unwrap(); // the lane takes this renewal and waits
    poll(|| (fixture.broker.stats().lanes.queued == 0).then_some(()));
    block_on(fixture.ask(1, ARM)).unwrap(); // this one stays in its queue
    ask_and_leave(&fixture, 2, VAULT);
    drop(go);
    poll(|| (fixture.broker.stats().lanes.mints == 5).then_some(()));
    assert_eq!(fixture.source.script.lock().asked, [ARM, ARM, ARM, VAULT, ARM]);
}

#[test]
fn a_mint_that_panics_fails_its_callers_and_nobody_else() {
    let fixture = fixture(10);
    fixture.fail_next(Mishap::Panic);
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap_err(), TokenError::Abandoned);
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().via, Via::Miss);
}

#[test]
fn a_renewed_token_can_be_asked_for() {
    let fixture = fixture(10);
    let held = block_on(fixture.ask(0, ARM)).unwrap();
    let request = TokenRequest { selector: None, resource: ARM, freshness: Freshness::Renewed };
    let renewed =
        block_on(fixture.broker.token(&fixture.vm(0), &request, &*fixture.clock)).unwrap();
    assert_ne!(renewed.token().jwt(), held.token().jwt());
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().token().jwt(), renewed.token().jwt());
}

#[test]
fn an_unknown_resource_names_itself_and_the_tenant() {
    let error = block_on(fixture(10).ask(0, "https://nowhere")).unwrap_err();
    let expected = "the resource `https://nowhere` is not known in the tenant ";
    assert!(error.to_string().starts_with(expected));
}

#[test]
fn another_vms_identity_is_not_found() {
    let fixture = fixture(10);
    let vm = fixture.broker.vm(&fixture.vm(1), NOW).unwrap();
    let other = vm.held().next().unwrap().identity.ids.client_id;
    let selector = Selector::ClientId(other);
    let request =
        TokenRequest { selector: Some(&selector), resource: ARM, freshness: Freshness::Held };
    let refused =
        block_on(fixture.broker.token(&fixture.vm(0), &request, &*fixture.clock)).unwrap_err();
    assert_eq!(refused, TokenError::Select(SelectError::NotFound));
}

/// Removes the system-assigned identity of VM number `vm`, as the control plane would.
fn disable_own_identity(fixture: &Fixture, vm: u8) {
    let record = fixture.broker.vm(&fixture.vm(vm), NOW).unwrap().record.clone();
    let changed = VirtualMachine { system_assigned: None, ..record };
    directory::tests::put(fixture.broker.directory(), Record::VirtualMachine(changed));
}

#[test]
fn a_removed_identity_gets_no_token_and_keeps_none_in_the_cache() {
    let fixture = fixture(10);
    block_on(fixture.ask(0, ARM)).unwrap();
    block_on(fixture.ask(0, VAULT)).unwrap();
    block_on(fixture.ask(1, ARM)).unwrap();
    disable_own_identity(&fixture, 0);
    assert_eq!(fixture.broker.stats().cache.entries, 1);
    // Two user-assigned identities are left, so a selector is needed.
    let refused = block_on(fixture.ask(0, ARM)).unwrap_err();
    assert_eq!(refused, TokenError::Select(SelectError::Ambiguous));
    assert_eq!(block_on(fixture.ask(1, ARM)).unwrap().via, Via::Hit);
}

#[test]
fn a_token_in_flight_when_its_identity_is_removed_reaches_nobody() {
    let fixture = Arc::new(fixture(10));
    let go = fixture.hold_mints();
    let waits = std::thread::spawn({
        let fixture = Arc::clone(&fixture);
        move || block_on(fixture.ask(0, ARM))
    });
    poll(|| (fixture.broker.stats().misses == 1).then_some(()));
    disable_own_identity(&fixture, 0);
    drop(go);
    let refused = waits.join().unwrap().unwrap_err();
    assert_eq!(refused, TokenError::Select(SelectError::Ambiguous));
    poll(|| (fixture.broker.stats().cache.entries == 0).then_some(()));
}

#[test]
fn a_caller_whose_vm_gets_another_identity_while_he_waits_gets_its_token() {
    let fixture = Arc::new(fixture(10));
    let go = fixture.hold_mints();
    let waits = std::thread::spawn({
        let fixture = Arc::clone(&fixture);
        move || block_on(fixture.ask(0, ARM))
    });
    poll(|| (fixture.broker.stats().misses == 1).then_some(()));
    let vm = fixture.broker.vm(&fixture.vm(0), NOW).unwrap();
    let ids = fixture
        .broker
        .directory()
        .write(NOW, |_, fresh| Ok::<_, directory::StoreError>((Vec::new(), fresh.identity_ids())));
    let ids = ids.unwrap();
    let changed =
        VirtualMachine { system_assigned: Some(ids), ..VirtualMachine::clone(&vm.record) };
    directory::tests::put(fixture.broker.directory(), Record::VirtualMachine(changed));
    drop(go);
    let answer = waits.join().unwrap().unwrap();
    let body = String::from_utf8(answer.token().body(NOW)).unwrap();
    assert!(body.contains(&ids.client_id.to_string()), "{body}");
}

#[test]
fn a_removed_identity_stays_removed_when_the_clock_steps_back() {
    let fixture = fixture(10);
    disable_own_identity(&fixture, 0);
    let earlier = ManualClock::new(NOW - Seconds(30));
    let request = TokenRequest { selector: None, resource: ARM, freshness: Freshness::Held };
    let caller = fixture.vm(0);
    let asked = fixture.broker.token(&caller, &request, &earlier);
    assert_eq!(block_on(asked).unwrap_err(), TokenError::Select(SelectError::Ambiguous));
}

#[test]
fn a_full_mint_queue_refuses_at_once_and_recovers() {
    let fixture = fixture(2);
    let go = fixture.hold_mints();
    ask_and_leave(&fixture, 0, ARM);
    poll(|| (fixture.broker.stats().lanes.queued == 0).then_some(()));
    ask_and_leave(&fixture, 1, ARM);
    ask_and_leave(&fixture, 2, ARM);
    assert_eq!(block_on(fixture.ask(3, ARM)).unwrap_err(), TokenError::Busy);
    drop(go);
    poll(|| (fixture.broker.stats().lanes.mints == 3).then_some(()));
    assert_eq!(block_on(fixture.ask(3, ARM)).unwrap().via, Via::Miss);
    assert_eq!(fixture.broker.stats().refused, 1);
}

#[test]
fn a_thousand_callers_of_one_cold_key_cause_one_mint() {
    let fixture = Arc::new(fixture(10));
    let go = fixture.hold_mints();
    let vias = block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let fixture = Arc::clone(&fixture);
            callers.spawn(async move { fixture.ask(0, ARM).await.unwrap().via });
        }
        tokio::time::timeout(Duration::ZERO, std::future::pending::<()>()).await.unwrap_err();
        drop(go);
        callers.join_all().await
    });
    assert_eq!(vias.iter().filter(|via| **via == Via::Miss).count(), 1);
    let stats = fixture.broker.stats();
    assert_eq!((stats.lanes.mints, stats.misses), (1, 1));
    assert_eq!(stats.coalesced + stats.cache.hits, 999);
}

#[test]
fn a_caller_that_goes_away_is_counted_and_leaves_the_token_for_the_next() {
    let fixture = fixture(10);
    let go = fixture.hold_mints();
    ask_and_leave(&fixture, 0, ARM);
    ask_and_leave(&fixture, 0, ARM);
    drop(go);
    let next = poll(|| block_on(fixture.ask(0, ARM)).ok().filter(|answer| answer.via == Via::Hit));
    assert_eq!(next.token().expires_on(), NOW + LIFETIME);
    let stats = fixture.broker.stats();
    assert_eq!((stats.misses, stats.lanes.mints), (1, 1));
    assert!(stats.coalesced >= 1);
}
