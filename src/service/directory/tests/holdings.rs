//! Callers and the identities of machines, while changes are pending and after machines were removed.

use super::*;
use crate::service::directory::Called;

const LATER: Seconds = Seconds(60);

/// Returns the present record of the only machine.
fn machine(directory: &Directory) -> VirtualMachine {
    let state = directory.read();
    let vm = state.vms().next().unwrap();
    VirtualMachine::clone(&vm.vm.record)
}

/// Returns a directory of one machine with a system-assigned identity, whose changes take effect later.
fn delayed() -> Directory {
    of(file::parse("test.toml", &format!("{PREFIX}system_assigned = true")).unwrap(), LATER)
}

/// Returns the tags of the machine that calls at `now`, if there is one.
fn tags(directory: &Directory, caller: &Caller, now: UnixSeconds) -> Option<usize> {
    caller.with_vm(directory, now, |vm| vm.record.tags.len())
}

#[test]
fn a_holding_counts_until_every_endpoint_follows_its_end() {
    for (delay, after) in [(Seconds(0), false), (LATER, true)] {
        let directory = of(
            file::parse("test.toml", &format!("{PREFIX}system_assigned = true")).unwrap(),
            delay,
        );
        let vm = machine(&directory);
        let holding = sole_vm(&directory).select(None, NOW).unwrap().index;
        assert!(directory.holds(&vm.id, holding));
        put(
            &directory,
            Record::VirtualMachine(VirtualMachine { system_assigned: None, ..vm.clone() }),
        );
        assert_eq!(directory.holds(&vm.id, holding), after, "{delay:?}");
    }
}

#[test]
fn changes_that_are_pending_take_effect_one_after_the_other() {
    let directory = delayed();
    let caller = directory.caller([127, 0, 0, 1].into());
    let vm = machine(&directory);
    let mut wanted = Tags::new();
    let mut write = |at| {
        wanted.insert(wanted.len().to_string(), String::new());
        let changed = VirtualMachine { tags: wanted.clone(), ..vm.clone() };
        let change = Change::Put(Record::VirtualMachine(changed));
        directory.write(NOW + Seconds(at), |_, _| Ok::<_, StoreError>((vec![change], ()))).unwrap();
    };
    let seen = |times: [u64; 4]| times.map(|at| tags(&directory, &caller, NOW + Seconds(at)));
    write(0);
    write(10);
    assert_eq!(seen([10, 59, 60, 70]), [Some(0), Some(0), Some(1), Some(2)]);
    write(100);
    assert_eq!(seen([100, 159, 160, 500]), [Some(2), Some(2), Some(3), Some(3)]);
}

#[test]
fn a_listener_is_of_one_machine_and_not_of_its_successor() {
    let directory = of(
        file::parse("test.toml", &format!("{PREFIX}system_assigned = true")).unwrap(),
        Seconds(0),
    );
    let vm = machine(&directory);
    let called = Arc::new(Called { vm: vm.id.clone(), vm_id: vm.vm_id });
    let anywhere = [127, 9, 9, 9].into();
    assert_eq!(tags(&directory, &directory.caller_at(&called, anywhere), NOW), Some(0));
    assert_eq!(tags(&directory, &directory.caller(anywhere), NOW), None);
    let state = directory.read();
    assert!(state.answers([127, 0, 0, 1].into()) && !state.answers(anywhere));
    let (name, id) = (vm.id.name().to_uppercase(), vm.id.to_string());
    assert_eq!(state.vms_called(&name).len(), 1);
    assert_eq!(state.vms_called(&id).len(), 1);
    assert!(state.vms_called("nobody").is_empty() && state.vms_called("/nobody").is_empty());
    drop(state);
    change(&directory, Change::Remove(Key::VirtualMachine(vm.id.clone())));
    let successor = VirtualMachine { vm_id: VmId::from_bytes([9; 16]), ..vm };
    put(&directory, Record::VirtualMachine(successor));
    assert_eq!(tags(&directory, &directory.caller_at(&called, anywhere), NOW), None);
}
