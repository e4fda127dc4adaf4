//! The witnesses beside the generator, with planted folders of the kernel.

use super::*;
use std::fs::{create_dir_all, remove_dir_all, write};
use tempfile::TempDir;

const OWN: u32 = 50;

fn own() -> Own {
    Own { pid: OWN, limited: None }
}

fn thread(proc: &Path, pid: u32, tid: u32, cores: &str, core: usize) {
    let folder = proc.join(format!("{pid}/task/{tid}"));
    create_dir_all(&folder).unwrap();
    write(folder.join("status"), format!("Cpus_allowed_list:\t{cores}\n")).unwrap();
    let stat = format!("{tid} (x) S{} {core}", " 0".repeat(35));
    write(folder.join("stat"), stat).unwrap();
    times(proc, pid, tid, [0, 0, 0]);
}

fn times(proc: &Path, pid: u32, tid: u32, [ran_us, waited_us, turns]: [u64; 3]) {
    let text = format!("{} {} {turns}\n", ran_us * 1000, waited_us * 1000);
    write(proc.join(format!("{pid}/task/{tid}/schedstat")), text).unwrap();
}

fn machine() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    thread(root.path(), 7, 7, "0", 0);
    thread(root.path(), 7, 8, "0", 0);
    thread(root.path(), OWN, 51, "1", 1);
    root
}

fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}

#[test]
fn a_wait_is_blamed_on_a_neighbour_only_if_the_target_did_not_have_the_core() {
    let root = machine();
    let proc = root.path();
    let witnesses = Witnesses::at(Place::Here(vec![7]), proc, &[1], Waiting::Spin);
    assert_eq!(witnesses.neighbourhood(), Neighbourhood::Apart);
    let mut watch = Watch::begin(&witnesses, proc, own(), ms(100));
    times(proc, 7, 7, [1_000, 3_000, 1]);
    times(proc, 7, 8, [500, 0, 1]);
    // Of 3 ms without a core, 0.5 ms went to the thread beside it; 10 us are the switch.
    let lost = Nanos::from_micros(2_490);
    let witness = Witness::TargetWait;
    let seen = Disturbance { from: ms(100) - lost, to: ms(105), lost, witness };
    assert_eq!(watch.read(ms(105)), [seen]);
    assert_eq!(watch.read(ms(110)), []);
    // The other thread spins: the first one waits for the target itself.
    times(proc, 7, 7, [1_000, 7_000, 2]);
    times(proc, 7, 8, [4_500, 0, 2]);
    assert_eq!(watch.read(ms(115)), []);
    // Many short waits are no long one.
    times(proc, 7, 7, [2_000, 7_900, 102]);
    assert_eq!(watch.read(ms(120)), []);
}

#[test]
fn the_use_of_the_target_is_that_of_its_busiest_thread_or_of_its_cores() {
    let root = machine();
    let proc = root.path();
    let witnesses = Witnesses::at(Place::Here(vec![7]), proc, &[1], Waiting::Spin);
    let mut watch = Watch::begin(&witnesses, proc, own(), ms(100));
    times(proc, 7, 7, [2_000, 0, 1]);
    times(proc, 7, 8, [3_000, 0, 1]);
    watch.read(ms(110));
    assert!((watch.utilisation().unwrap() - 0.5).abs() < 1e-9);
    thread(proc, 7, 7, "0-1", 0);
    thread(proc, 7, 8, "0-1", 0);
    if allowed().starts_with(&[0, 1]) {
        watch.refresh();
        assert!((watch.utilisation().unwrap() - 0.3).abs() < 1e-9);
    }
}

#[test]
fn generators_are_watched_where_their_own_clocks_prove_nothing() {
    let root = machine();
    let proc = root.path();
    let seen = |cores: &[usize], waiting| {
        let witnesses = Witnesses::at(Place::Here(vec![7]), proc, cores, waiting);
        witnesses.introduce(51);
        let watch = Watch::begin(&witnesses, proc, own(), ms(1));
        let own = watch.watched.iter().filter(|thread| thread.role == Role::Generator).count();
        (own, witnesses.neighbourhood())
    };
    assert_eq!(seen(&[1], Waiting::Spin), (0, Neighbourhood::Apart));
    assert_eq!(seen(&[1], Waiting::Sleep), (1, Neighbourhood::Apart));
    assert_eq!(seen(&[], Waiting::Spin), (1, Neighbourhood::Mixed));
    assert_eq!(seen(&[0], Waiting::Spin), (1, Neighbourhood::Mixed));
}

#[test]
fn a_target_that_moves_to_the_generators_core_is_noticed() {
    let root = machine();
    let proc = root.path();
    let witnesses = Witnesses::at(Place::Here(vec![7]), proc, &[1], Waiting::Spin);
    let mut watch = Watch::begin(&witnesses, proc, own(), ms(1));
    thread(proc, 7, 9, "0-1", 1);
    watch.refresh();
    assert!(!witnesses.are_apart());
    assert_eq!(witnesses.neighbourhood(), Neighbourhood::Unknown);
}

#[test]
fn a_child_that_is_started_later_is_watched_and_has_to_keep_off_the_generators_core() {
    let root = machine();
    let proc = root.path();
    let witnesses = Witnesses::at(Place::Here(vec![7]), proc, &[1], Waiting::Spin);
    let mut watch = Watch::begin(&witnesses, proc, own(), ms(1));
    let start = |pid: u32, cores: &str| {
        thread(proc, pid, pid, cores, 0);
        write(proc.join(format!("{pid}/stat")), format!("{pid} (x) S 7 1")).unwrap();
    };
    start(20, "0");
    watch.refresh();
    let is_child = |of: &Watched| of.pid == 20 && of.role == Role::Target;
    assert!(watch.watched.iter().any(is_child) && witnesses.are_apart());
    remove_dir_all(proc.join("20")).unwrap();
    watch.refresh();
    assert!(witnesses.are_apart(), "a child that has ended runs nowhere");
    start(21, "0-1");
    watch.refresh();
    assert!(!witnesses.are_apart());
}

#[test]
fn nobody_knows_what_serves_after_all_processes_of_the_target_have_ended() {
    let root = machine();
    let proc = root.path();
    let witnesses = Witnesses::at(Place::Here(vec![7]), proc, &[1], Waiting::Spin);
    let mut watch = Watch::begin(&witnesses, proc, own(), ms(1));
    remove_dir_all(proc.join("7")).unwrap();
    watch.refresh();
    assert!(!witnesses.are_apart());
}

#[test]
fn only_a_target_here_that_is_apart_and_shares_no_quota_is_cleared_by_a_gap_alone() {
    let root = machine();
    let of = |place, cores: &[usize], waiting| {
        Witnesses::at(place, root.path(), cores, waiting).clears_all_gaps()
    };
    let here = || Place::Here(vec![7]);
    assert!(of(here(), &[1], Waiting::Spin));
    assert!(!of(here(), &[0], Waiting::Spin));
    assert!(!of(here(), &[1], Waiting::Sleep));
    assert!(!of(Place::Elsewhere, &[1], Waiting::Spin));
    let apart = Witnesses::at(here(), root.path(), &[1], Waiting::Spin);
    let limited = Witnesses { shares_quota: true, ..apart };
    assert!(limited.are_apart() && !limited.target_is_clear() && !limited.clears_all_gaps());
}

#[test]
fn nothing_is_known_of_a_target_that_cannot_be_seen() {
    let root = machine();
    let witnesses = |place| Witnesses::at(place, root.path(), &[1], Waiting::Spin).neighbourhood();
    assert_eq!(witnesses(Place::Unknown), Neighbourhood::Unknown);
    assert_eq!(witnesses(Place::Elsewhere), Neighbourhood::Apart);
}
