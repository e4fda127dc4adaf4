//! Generator of histories: everything that people, machines and nature do, and when. A function of the seed.

use mintbench::service::cache::Freshness;
use mintbench::service::world::Throttle;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::disk::DiskMode;
use crate::source::{CALL_MAX, LIES, SourceMode};
use crate::world::{ADDRESSES, IDENTITIES, MACHINES};

/// Resources that are asked for: two of the list, the host of an account, and one that nobody knows.
pub(crate) const RESOURCES: [&str; 4] = [
    "https://management.azure.com/",
    "https://vault.azure.net",
    "https://account.blob.core.windows.net",
    "https://nowhere.example",
];
/// Those of [`RESOURCES`] that there are.
pub(crate) const KNOWN: usize = 3;

/// Number of an address that stands for any address.
pub(crate) const ANY: u8 = ADDRESSES;

/// Identity whose ids a request names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    /// The user-assigned identity of this number.
    Assigned(u8),
    /// The user-assigned identity that had this number before.
    Former(u8),
    /// The own identity of this machine.
    Own(u8),
}

/// Selector of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Choice {
    Client(Who),
    Nothing,
    Principal(Who),
    Resource(u8),
}

/// Requests for a token, all alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) address: u8,
    /// True if the request comes on a connection that was opened before.
    pub(crate) is_kept: bool,
    pub(crate) choice: Choice,
    pub(crate) resource: usize,
    pub(crate) freshness: Freshness,
    pub(crate) count: u8,
    /// Seconds after which the caller goes away.
    pub(crate) patience: Option<u64>,
}

/// A change of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Write {
    Assign { machine: u8, identities: u8 },
    Create { machine: u8, address: u8, has_own: bool, identities: u8 },
    CreateIdentity(u8),
    Move { machine: u8, address: u8 },
    Own { machine: u8, has_own: bool },
    Remove(u8),
    RemoveIdentity(u8),
}

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Ask(Ask),
    /// The process dies, and starts again after so many seconds.
    Crash {
        down: u64,
    },
    Disk(DiskMode),
    /// The periodic attempt to write to a store that failed.
    Recover,
    Revoke,
    Rotate,
    Source(SourceMode),
    /// The wall clock is set by so many seconds.
    Step(i64),
    Write(Write),
}

/// Settings of the broker in one history.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) lifetime: u64,
    /// Part of a token's life after which it is renewed.
    pub(crate) refresh_percent: u32,
    pub(crate) lanes: usize,
    pub(crate) mint_queue: usize,
    pub(crate) cache_entries: usize,
    pub(crate) min_distance: u64,
    pub(crate) throttle: Throttle,
    /// True if some requests ask for a new token whatever the cache holds.
    pub(crate) has_renewed: bool,
}

impl Settings {
    /// Returns true if the broker may mint what it has minted already: some requests want it, or the cache evicts.
    pub(crate) const fn is_forgetful(&self) -> bool {
        self.has_renewed || self.cache_entries < 1000
    }
}

/// A history.
#[derive(Clone, Debug)]
pub(crate) struct History {
    pub(crate) seed: u64,
    pub(crate) settings: Settings,
    /// Operations, by the second since the beginning.
    pub(crate) ops: Vec<(u64, Op)>,
}

/// Kinds of faults that a history has: some have few, so that their effects are not hidden behind others.
#[expect(clippy::struct_excessive_bools, reason = "each kind is there or not")]
struct Kinds {
    crashes: bool,
    disk: bool,
    keys: bool,
    renewed: bool,
    source: bool,
    steps: bool,
}

impl History {
    /// Returns the history of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let settings = settings(&mut rng);
        let mut kind = || rng.random_bool(0.6);
        let kinds = Kinds {
            crashes: kind(),
            disk: kind(),
            keys: kind(),
            renewed: settings.has_renewed,
            source: kind(),
            steps: kind(),
        };
        let mut ops = Vec::new();
        let mut second = 0;
        for _ in 0..rng.random_range(8..24) {
            second += match rng.random_range(0..4) {
                0 => rng.random_range(0..5),
                1 => rng.random_range(5..60),
                _ => rng.random_range(60..settings.lifetime * 2 / 3),
            };
            for _ in 0..rng.random_range(1..8) {
                let after = if rng.random_bool(0.7) { 0 } else { rng.random_range(0..4) };
                ops.push((second + after, op(&mut rng, &kinds)));
            }
        }
        ops.extend(peace(second + 10));
        ops.sort_by_key(|(second, _)| *second);
        Self { seed, settings, ops }
    }
}

fn settings(rng: &mut StdRng) -> Settings {
    let throttle = if rng.random_bool(0.2) {
        let (rate, concurrent) = (rng.random_range(2..6), rng.random_range(1..4));
        format!("identity={rate}/s,concurrent={concurrent}").parse().unwrap()
    } else {
        Throttle::Off
    };
    Settings {
        lifetime: rng.random_range(400..1600),
        refresh_percent: *[30, 50, 80].choose(rng).unwrap(),
        lanes: rng.random_range(1..4),
        mint_queue: if rng.random_bool(0.1) { rng.random_range(1..4) } else { 64 },
        cache_entries: if rng.random_bool(0.1) { 64 } else { 4096 },
        min_distance: rng.random_range(30..200),
        throttle,
        has_renewed: rng.random_bool(0.15),
    }
}

fn op(rng: &mut StdRng, kinds: &Kinds) -> Op {
    loop {
        return match rng.random_range(0..100) {
            0..55 => Op::Ask(ask(rng, kinds)),
            55..73 => Op::Write(write(rng)),
            73..76 if kinds.crashes => Op::Crash { down: rng.random_range(0..120) },
            76..81 if kinds.disk => Op::Disk(disk(rng)),
            81..83 if kinds.disk => Op::Recover,
            83..88 if kinds.keys => Op::Rotate,
            88..90 if kinds.keys => Op::Revoke,
            90..96 if kinds.source => Op::Source(source(rng)),
            96..100 if kinds.steps => Op::Step(step(rng)),
            _ => continue,
        };
    }
}

fn ask(rng: &mut StdRng, kinds: &Kinds) -> Ask {
    let who = match rng.random_range(0..5) {
        0 => Who::Own(rng.random_range(0..MACHINES)),
        1 => Who::Former(rng.random_range(0..IDENTITIES)),
        _ => Who::Assigned(rng.random_range(0..IDENTITIES)),
    };
    let choice = match rng.random_range(0..10) {
        0..5 => Choice::Nothing,
        5..8 => Choice::Client(who),
        8 => Choice::Principal(who),
        _ => Choice::Resource(rng.random_range(0..IDENTITIES)),
    };
    Ask {
        // The first ones are those of machines, as long as nobody moves.
        address: rng.random_range(0..ADDRESSES).min(rng.random_range(0..ADDRESSES)),
        is_kept: rng.random_bool(0.5),
        choice,
        resource: match rng.random_range(0..20) {
            0..12 => 0,
            12..16 => 1,
            16..19 => 2,
            _ => 3,
        },
        freshness: if kinds.renewed && rng.random_bool(0.1) {
            Freshness::Renewed
        } else {
            Freshness::Held
        },
        count: if rng.random_bool(0.2) { rng.random_range(2..7) } else { 1 },
        patience: rng.random_bool(0.1).then(|| rng.random_range(0..6)),
    }
}

fn write(rng: &mut StdRng) -> Write {
    let machine = rng.random_range(0..MACHINES);
    let address = rng.random_range(0..=ANY).min(rng.random_range(0..=ANY));
    let identities = rng.random_range(0..1 << IDENTITIES);
    let number = rng.random_range(0..IDENTITIES);
    match rng.random_range(0..20) {
        0..5 => Write::Assign { machine, identities },
        5..9 => Write::Create { machine, address, has_own: rng.random_bool(0.6), identities },
        9..12 => Write::CreateIdentity(number),
        12..15 => Write::Move { machine, address },
        15..17 => Write::Own { machine, has_own: rng.random_bool(0.5) },
        17..19 => Write::Remove(machine),
        _ => Write::RemoveIdentity(number),
    }
}

fn disk(rng: &mut StdRng) -> DiskMode {
    match rng.random_range(0..5) {
        0 | 1 => DiskMode::Failing,
        2 => DiskMode::Slow(rng.random_range(1..8)),
        _ => DiskMode::Healthy,
    }
}

fn source(rng: &mut StdRng) -> SourceMode {
    match rng.random_range(0..12) {
        0 | 1 => SourceMode::Down,
        2 => SourceMode::Hanging,
        3 => SourceMode::Flapping,
        4 => SourceMode::Panicking,
        5 => SourceMode::Lying(*LIES.choose(rng).unwrap()),
        6 | 7 => SourceMode::Slow(rng.random_range(1..CALL_MAX)),
        _ => SourceMode::Up,
    }
}

fn step(rng: &mut StdRng) -> i64 {
    match rng.random_range(0..6) {
        0 => rng.random_range(-20..20),
        1 => rng.random_range(-400..400),
        2 | 3 => rng.random_range(-2500..0),
        4 => rng.random_range(0..2500),
        _ => rng.random_range(-200_000..200_000),
    }
}

/// Returns the end of each history: all faults end, and after a while everybody gets what is his.
fn peace(second: u64) -> impl Iterator<Item = (u64, Op)> {
    let calm = [Op::Disk(DiskMode::Healthy), Op::Source(SourceMode::Up), Op::Recover, Op::Recover];
    let ask = |address| Ask {
        address,
        is_kept: address % 2 == 0,
        choice: Choice::Nothing,
        resource: 0,
        freshness: Freshness::Held,
        count: 2,
        patience: None,
    };
    let asks = (0..ADDRESSES).map(move |address| (second + 300, Op::Ask(ask(address))));
    // The last process that died is back by now.
    calm.into_iter().map(move |op| (second + 130, op)).chain(asks)
}
