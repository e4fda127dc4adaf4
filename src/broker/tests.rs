use std::time::Duration;

use super::*;
use crate::clock::{ManualClock, Seconds};
use crate::token::{Algorithm, Backend, SigningKey};
use crate::world::synthetic::Synthetic;

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const ARM: &str = "https://management.azure.com/";
const LIFETIME: Seconds = Seconds(1000);

struct Fixture {
    broker: Broker,
    clock: Arc<ManualClock>,
}

fn fixture(options: impl FnOnce(&mut BrokerOptions)) -> Fixture {
    let world = Synthetic { vms: 4, user_assigned: 2, seed: 1 }.build().unwrap();
    let key = SigningKey::generate(Algorithm::Es256, Backend::AwsLcRs, NOW).unwrap();
    let clock = Arc::new(ManualClock::new(NOW));
    let mut chosen = BrokerOptions {
        cache_entries: 1000,
        mint_lanes: 1,
        mint_queue: 100,
        refresh_fraction: 0.5,
        seed: [7; 32],
    };
    options(&mut chosen);
    let issuer = Arc::new(Issuer::new(Arc::new(key), LIFETIME));
    let broker =
        Broker::start(Arc::new(world), issuer, Arc::clone(&clock) as Arc<dyn Clock>, &chosen);
    Fixture { broker: broker.unwrap(), clock }
}

impl Fixture {
    fn vm(&self, number: u8) -> VmIndex {
        self.broker.caller([127, 1, 0, number + 1].into()).unwrap()
    }

    async fn ask(&self, vm: u8, resource: &str) -> Result<Answer, TokenError> {
        let request = TokenRequest { selector: None, resource, freshness: Freshness::Held };
        self.broker.token(self.vm(vm), &request, self.clock.now()).await
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

#[test]
fn the_first_answer_is_a_miss_and_the_next_a_hit_with_the_same_token() {
    let fixture = fixture(|_| {});
    let (first, second) = block_on(async {
        (fixture.ask(0, ARM).await.unwrap(), fixture.ask(0, ARM).await.unwrap())
    });
    assert_eq!((first.via, second.via), (Via::Miss, Via::Hit));
    assert_eq!(first.token().jwt(), second.token().jwt());
}

#[test]
fn identities_and_resources_do_not_share_tokens() {
    let fixture = fixture(|_| {});
    let mut tokens = std::collections::HashSet::new();
    for (vm, resource) in
        [(0, ARM), (1, ARM), (0, "https://vault.azure.net"), (0, "https://vault.azure.net/")]
    {
        let answer = block_on(fixture.ask(vm, resource)).unwrap();
        assert_eq!(answer.via, Via::Miss);
        assert!(tokens.insert(answer.token().jwt().to_owned()));
    }
}

#[test]
fn an_expired_token_is_never_served() {
    let fixture = fixture(|_| {});
    let first = block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.advance(LIFETIME);
    let second = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!(second.via, Via::Miss);
    assert!(second.token().expires_on() > first.token().expires_on());
}

#[test]
fn an_ageing_token_is_served_while_it_is_renewed_in_the_background() {
    let fixture = fixture(|_| {});
    let old = block_on(fixture.ask(0, ARM)).unwrap();
    fixture.clock.advance(Seconds(600));
    let during = block_on(fixture.ask(0, ARM)).unwrap();
    assert_eq!((during.via, during.token().jwt()), (Via::Hit, old.token().jwt()));
    let renewed = block_on(async {
        loop {
            let answer = fixture.ask(0, ARM).await.unwrap();
            assert_eq!(answer.via, Via::Hit);
            if answer.token().jwt() != old.token().jwt() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    assert!(renewed.token().expires_on() > old.token().expires_on());
    assert_eq!(fixture.broker.stats().lanes.refreshes, 1);
}

#[test]
fn a_renewed_token_can_be_asked_for() {
    let fixture = fixture(|_| {});
    let held = block_on(fixture.ask(0, ARM)).unwrap();
    let request = TokenRequest { selector: None, resource: ARM, freshness: Freshness::Renewed };
    let renewed = block_on(fixture.broker.token(fixture.vm(0), &request, NOW)).unwrap();
    assert_ne!(renewed.token().jwt(), held.token().jwt());
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap().token().jwt(), renewed.token().jwt());
}

#[test]
fn an_unknown_resource_names_itself_and_the_tenant() {
    let fixture = fixture(|_| {});
    let error = block_on(fixture.ask(0, "https://nowhere")).unwrap_err();
    assert!(
        error.to_string().starts_with("the resource `https://nowhere` is not known in the tenant ")
    );
}

#[test]
fn another_vms_identity_is_not_found() {
    let fixture = fixture(|_| {});
    let world = fixture.broker.world();
    let other = world.identities_of(world.vm(fixture.vm(1))).next().unwrap().client_id;
    let selector = Selector::ClientId(other);
    let request =
        TokenRequest { selector: Some(&selector), resource: ARM, freshness: Freshness::Held };
    let refused = block_on(fixture.broker.token(fixture.vm(0), &request, NOW)).unwrap_err();
    assert_eq!(refused, TokenError::Select(SelectError::NotFound));
}

#[test]
fn a_full_mint_queue_refuses_at_once_and_recovers() {
    let fixture = fixture(|options| options.mint_queue = 0);
    assert_eq!(block_on(fixture.ask(0, ARM)).unwrap_err(), TokenError::Busy);
    let stats = fixture.broker.stats();
    assert_eq!((stats.refused, stats.cache.flights), (1, 0));
}

#[test]
fn a_thousand_callers_of_one_cold_key_cause_one_mint() {
    let fixture = Arc::new(fixture(|_| {}));
    block_on(async {
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..1000 {
            let fixture = Arc::clone(&fixture);
            callers.spawn(async move { fixture.ask(0, ARM).await.unwrap().via });
        }
        let vias = callers.join_all().await;
        assert_eq!(vias.iter().filter(|via| **via == Via::Miss).count(), 1);
    });
    let stats = fixture.broker.stats();
    assert_eq!((stats.lanes.mints, stats.misses, stats.coalesced + stats.cache.hits), (1, 1, 999));
}

#[test]
fn a_caller_that_goes_away_leaves_the_token_for_the_next() {
    let fixture = fixture(|_| {});
    block_on(async {
        let gone = tokio::time::timeout(Duration::ZERO, fixture.ask(0, ARM)).await;
        let next = fixture.ask(0, ARM).await.unwrap();
        assert!(gone.is_ok() || next.via != Via::Miss);
    });
    assert_eq!(fixture.broker.stats().lanes.mints, 1);
}
