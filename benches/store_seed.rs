//! Time and space that the store takes for a large world: `store_seed FOLDER [VMS [COMMITS]]`.
//!
//! Stores `VMS` machines (100,000) and three user-assigned identities of each in one commit. Then
//! it times `COMMITS` small commits (200), closes the store, opens it and reads everything back. If
//! the folder exists, it only opens and reads. The numbers come from one run on one machine, file
//! system and disk, and show an order of magnitude.
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;

use anyhow::Context as _;
use mintbench::base::clock::Monotonic;
use mintbench::base::ids::VmId;
use mintbench::base::synthetic::Synthetic;
use mintbench::service::store::{FolderOptions, RedbStore, Revision, Store as _};
use mintbench::service::world::record::{
    Assignment, Change, Record, Tags, UserAssigned, VirtualMachine,
};

const USER_ASSIGNED: u32 = 3;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().context("name a folder")?;
    let folder = Path::new(&folder);
    let vms: u32 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let commits: u32 = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let clock = Monotonic::start();
    if !folder.exists() {
        fill(&clock, folder, vms, commits)?;
    }
    read_back(&clock, folder)
}

fn fill(clock: &Monotonic, folder: &Path, vms: u32, commits: u32) -> anyhow::Result<()> {
    let changes = seed(&Synthetic { vms, user_assigned: USER_ASSIGNED, seed: 1 })?;
    println!("{} records made; peak memory {} MiB", changes.len(), peak_memory_mib()?);
    let store = RedbStore::open(folder, FolderOptions::default())?;
    let start = clock.now_ns();
    let mut revision = store.commit(Revision(0), &changes)?;
    let all_ms = since_ms(clock, start);
    println!("one commit of all: {all_ms} ms; peak memory {} MiB", peak_memory_mib()?);

    let mut spent_us = Vec::new();
    for change in changes.iter().cycle().take(usize::try_from(commits)?) {
        let start = clock.now_ns();
        revision = store.commit(revision, std::slice::from_ref(change))?;
        spent_us.push((clock.now_ns() - start) / 1000);
    }
    spent_us.sort_unstable();
    let percentile = |percent: usize| spent_us.get(spent_us.len() * percent / 100).unwrap_or(&0);
    println!("commits of one record: p50 {} us, p99 {} us", percentile(50), percentile(99));
    Ok(())
}

fn read_back(clock: &Monotonic, folder: &Path) -> anyhow::Result<()> {
    let start = clock.now_ns();
    let store = RedbStore::open(folder, FolderOptions::default())?;
    println!("open: {} ms, repaired: {}", since_ms(clock, start), store.repaired());
    let start = clock.now_ns();
    let mut records = 0;
    store.replay(&mut |_| records += 1)?;
    println!("replay of {records} records: {} ms", since_ms(clock, start));
    let bytes = std::fs::metadata(folder.join("world.redb"))?.len();
    println!("file: {} MiB, {} bytes a record", bytes >> 20, bytes / records.max(1));
    Ok(())
}

fn since_ms(clock: &Monotonic, start_ns: u64) -> u64 {
    (clock.now_ns() - start_ns) / 1_000_000
}

fn seed(world: &Synthetic) -> anyhow::Result<Vec<Change>> {
    let mut changes = Vec::new();
    for vm in 0..world.vms {
        let mut user_assigned = Vec::new();
        for index in 0..world.user_assigned {
            let (id, ids) = (world.user_assigned_id(vm, index)?, world.user_assigned(vm, index));
            user_assigned.push(Assignment { id: id.clone(), principal_id: ids.principal_id });
            let location = "westeurope".into();
            let identity = UserAssigned {
                id,
                ids,
                location,
                tags: Tags::new(),
                isolation_scope: None,
                federated_credentials: Vec::new(),
            };
            changes.push(Change::Put(Record::UserAssigned(identity)));
        }
        changes.push(Change::Put(Record::VirtualMachine(VirtualMachine {
            id: world.vm_id(vm)?,
            vm_id: VmId::from_bytes(*world.system_assigned(vm).principal_id.as_bytes()),
            location: "westeurope".into(),
            tags: Tags::new(),
            address: Some(std::net::IpAddr::V4(world.address(vm)).into()),
            listener: None,
            throttle: None,
            system_assigned: Some(world.system_assigned(vm)),
            user_assigned,
            properties: serde_json::Map::new(),
        })));
    }
    Ok(changes)
}

fn peak_memory_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.trim().strip_suffix(" kB")).context("no VmHWM")?;
    Ok(kib.trim().parse::<u64>()? >> 10)
}
