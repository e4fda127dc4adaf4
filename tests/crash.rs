//! The content of a store after `kill -9`: every acknowledged commit, the one in progress wholly or
//! not at all, and a file that opens without a repair.
//!
//! The writer is this test program again, started with a folder in its environment. It prints the
//! revision of every commit that returned, and is killed at a random moment in each round.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use mintbench::base::ids::{ArmId, ClientId, PrincipalId};
use mintbench::base::synthetic::IdentityIds;
use mintbench::service::store::{FolderOptions, RedbStore, Revision, Store as _};
use mintbench::service::world::record::{Change, Record, ResourceGroup, Tags, UserAssigned, Vault};
use mintbench::service::world::vault::VaultSettings;
use rand::{RngExt as _, SeedableRng as _};

const ROUNDS: u32 = 240;
const SEED: u64 = 20;
/// The longest delay before the kill. The range begins before the file is made and ends well within
/// the commits.
const KILL_AFTER_US_MAX: u64 = 30_000;
const FOLDER: &str = "MINTBENCH_CRASH_FOLDER";

/// Returns the changes of commit number `n`: three records that belong together, by `location`.
/// Every eleventh commit removes them. Every twentieth has many more, so that it spans many pages.
fn changes(n: u64) -> Vec<Change> {
    let slots = if n.is_multiple_of(20) { 0..200 } else { n % 7..n % 7 + 1 };
    let records = slots.flat_map(|slot| together(slot, n));
    if n.is_multiple_of(11) {
        records.map(|record| Change::Remove(record.key())).collect()
    } else {
        records.map(Change::Put).collect()
    }
}

fn together(slot: u64, n: u64) -> [Record; 3] {
    let group =
        format!("/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-{slot}");
    let id = |suffix: &str| -> ArmId { format!("{group}{suffix}").parse().unwrap() };
    let (location, tags) = (n.to_string(), Tags::new());
    let ids = IdentityIds {
        client_id: ClientId::from_bytes(u128::from(n).to_be_bytes()),
        principal_id: PrincipalId::from_bytes(u128::from(n).to_be_bytes()),
    };
    [
        Record::ResourceGroup(ResourceGroup {
            id: id(""),
            location: location.clone(),
            tags: tags.clone(),
        }),
        Record::UserAssigned(UserAssigned {
            id: id("/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id"),
            ids,
            location: location.clone(),
            tags: tags.clone(),
            isolation_scope: None,
            federated_credentials: Vec::new(),
        }),
        Record::Vault(Vault {
            id: id("/providers/Microsoft.KeyVault/vaults/v"),
            location,
            tags,
            settings: VaultSettings::default(),
        }),
    ]
}

/// The content of a store after whole commits.
#[derive(Default)]
struct Model {
    commits: u64,
    revision: u64,
    records: BTreeMap<String, (u64, Record)>,
}

impl Model {
    fn commit(&mut self) {
        self.commits += 1;
        for change in changes(self.commits) {
            self.revision += 1;
            let key = change.key().to_string();
            match change {
                Change::Put(record) => drop(self.records.insert(key, (self.revision, record))),
                Change::Remove(_) => drop(self.records.remove(&key)),
            }
        }
    }

    fn records(&self) -> Vec<Record> {
        let mut records: Vec<_> = self.records.values().cloned().collect();
        records.sort_by_key(|(revision, _)| *revision);
        records.into_iter().map(|(_, record)| record).collect()
    }
}

/// Runs the child that commits for ever.
#[test]
#[ignore = "the process that is killed; only another test starts it"]
fn writer() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let mut store = RedbStore::open(Path::new(&folder), FolderOptions::default()).unwrap();
    let mut revision = store.replay(&mut |_| {}).unwrap();
    let mut model = Model::default();
    while model.revision < revision.0 {
        model.commit();
    }
    for n in model.commits + 1.. {
        revision = store.commit(revision, &changes(n)).unwrap();
        acknowledge(revision);
        // Closing and opening also write to the file.
        if n.is_multiple_of(9) {
            drop(store);
            store = RedbStore::open(Path::new(&folder), FolderOptions::default()).unwrap();
        }
    }
}

/// Runs the child that keeps a store open.
#[test]
#[ignore = "the process that is killed; only another test starts it"]
fn holder() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = RedbStore::open(Path::new(&folder), FolderOptions::default()).unwrap();
    acknowledge(store.replay(&mut |_| {}).unwrap());
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Writes each line in one call, past the test harness, which would buffer it.
fn acknowledge(revision: Revision) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\nacknowledged {revision}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

fn start(child: &str, folder: &Path) -> Running {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    Running { process, lines }
}

/// A process, and the lines in which it acknowledges commits.
struct Running {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    /// Returns the next acknowledged revision, or `None` if the process has ended.
    fn next(&mut self) -> Option<u64> {
        self.lines
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.strip_prefix("acknowledged ")?.parse().ok())
    }

    /// Kills the process. Returns the last revision that it acknowledged since `seen`, or else
    /// `seen`.
    fn kill(mut self, mut seen: Option<u64>) -> Option<u64> {
        self.process.kill().unwrap();
        while let Some(revision) = self.next() {
            seen = Some(revision);
        }
        let output = self.process.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "it failed before it was killed: {errors}");
        seen
    }
}

#[test]
fn after_kill_9_every_acknowledged_commit_is_there_and_none_is_there_in_part() {
    let mut random = rand::rngs::StdRng::seed_from_u64(SEED);
    let (mut model, mut folder) = (Model::default(), tempfile::tempdir().unwrap());
    let (mut idle, mut unacknowledged) = (0, 0);
    for round in 0..ROUNDS {
        // Every fourth round begins with the first start, so that the creation of the file is
        // interrupted too.
        if round % 4 == 0 {
            (model, folder) = (Model::default(), tempfile::tempdir().unwrap());
        }
        let mut writer = start("writer", folder.path());
        // Every third round counts the delay from the start, the others from the first commit.
        let first = if round % 3 == 0 { None } else { writer.next() };
        std::thread::sleep(Duration::from_micros(random.random_range(0..KILL_AFTER_US_MAX)));
        let acknowledged = writer.kill(first);
        idle += u32::from(acknowledged.is_none());
        while model.revision < acknowledged.unwrap_or(0) {
            model.commit();
        }
        if let Some(revision) = acknowledged {
            assert_eq!(model.revision, revision, "round {round}: acknowledged in part");
        }
        unacknowledged += u32::from(check(folder.path(), &mut model, round));
    }
    println!(
        "{ROUNDS} rounds: {idle} without a commit, {unacknowledged} with one not acknowledged"
    );
}

/// Compares the store in `folder` with the model. If the commit in progress is there, adds it to
/// the model. Every other time it opens a copy, so that the next writer finds the file as the kill
/// left it.
fn check(folder: &Path, model: &mut Model, round: u32) -> bool {
    let copy = tempfile::tempdir().unwrap();
    let mut opened = folder;
    if round % 2 == 1 && folder.join("world.redb").exists() {
        std::fs::copy(folder.join("world.redb"), copy.path().join("world.redb")).unwrap();
        opened = copy.path();
    }
    let store = RedbStore::open(opened, FolderOptions::default()).unwrap();
    let mut records = Vec::new();
    let Revision(revision) = store.replay(&mut |record| records.push(record)).unwrap();
    assert_eq!(store.commit(Revision(revision), &[]).unwrap(), Revision(revision));
    assert!(!store.repaired(), "round {round}: the file had to be repaired");
    let one_more = revision > model.revision;
    if one_more {
        model.commit();
    }
    assert_eq!(revision, model.revision, "round {round}");
    assert!(records == model.records(), "round {round}: records are not those of {revision}");
    one_more
}

#[test]
fn the_folder_of_a_killed_process_can_be_opened_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = start("holder", folder.path());
    assert_eq!(holder.next(), Some(0));
    let refused = RedbStore::open(folder.path(), FolderOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("another mintbench serves from"), "{refused}");
    holder.kill(None);
    RedbStore::open(folder.path(), FolderOptions::default()).unwrap();
}
