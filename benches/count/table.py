"""What benches/count/run.sh makes of the gates' JSON: how much to plant, one line for each gate, the table."""

import json
import sys
from statistics import mean, median

SECONDS_MAX = 90
NAMES = {"equal": "a fresh copy of the base", "planted": "the build with more work"}
# What is planted: the class and the work that grow, and what a reader is told.
PLANTED = {
    ("hit", "instructions"): "more instructions of a hit",
    ("refused", "allocations"): "one allocation more of a refusal",
    ("refused", "system-calls"): "one system call more of a refusal",
}


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def lines(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(text) for text in file if text.strip()]


def metric(gate, of_class, work):
    return next(one for one in gate["metrics"] if (one["class"], one["work"]) == (of_class, work))


def rounds(path, slower, tried):
    """How many rounds make a hit take so many more instructions, if so many did what the trial says."""
    hit = metric(read(path), "hit", "instructions")
    if hit["change"] <= 0:
        sys.exit("the trial found no growth to go by")
    print(max(round(int(tried) * float(slower) * mean(hit["base"]) / hit["change"]), 1))


def line(path, kind, number, code, took_ms):
    head = {"kind": kind, "number": int(number), "code": int(code), "took_ms": int(took_ms)}
    print(json.dumps(head | {"gate": read(path)}))


def found(one, of_class, work):
    """Whether the gate failed because of what was planted there."""
    return one["code"] == 1 and not one["gate"]["failures"] and metric(one["gate"], of_class, work)["verdict"] == "fail"


def repeatability(gates):
    """The largest difference of two counts of one build, as a share, by class."""
    text = []
    for of_class in ("hit", "miss", "refused"):
        sides = [metric(one["gate"], of_class, "instructions")[side] for one in gates for side in ("base", "candidate")]
        spreads = sorted((max(counts) - min(counts)) / mean(counts) for counts in sides)
        text.append(f"{of_class} {median(spreads):.4%} (median), {spreads[-1]:.4%} (largest)")
    return "; ".join(text)


def row(kind, gates):
    took = [one["took_ms"] / 1000 for one in gates]
    codes = [one["code"] for one in gates]
    counts = " | ".join(str(codes.count(code)) for code in (0, 1, 3))
    spreads = []
    for of_class, work in PLANTED:
        changes = [metric(one["gate"], of_class, work)["change"] for one in gates]
        spreads.append(f"{min(changes):+.2f} to {max(changes):+.2f}")
    return f"| {NAMES[kind]} | {len(gates)} | {counts} | {' | '.join(spreads)} | {median(took):.0f} s, {max(took):.0f} s |"


def table(path, asked, share, slower):
    gates = [one for one in lines(path) if one["number"] <= int(asked)]
    first, last = gates[0]["gate"], gates[-1]["gate"]
    host = last["host"]
    by_kind = {kind: [one for one in gates if one["kind"] == kind] for kind in NAMES}
    false = sum(one["code"] == 1 for one in by_kind["equal"])
    passed = sum(one["code"] == 0 for one in by_kind["equal"])
    times_found = {what: sum(found(one, *what) for one in by_kind["planted"]) for what in PLANTED}
    slowest = max(one["took_ms"] for one in gates) / 1000
    whole = all(len(of) == int(asked) for of in by_kind.values())
    fine = whole and false == 0 and slowest < SECONDS_MAX and all(count == int(asked) for count in times_found.values())

    print("# What the gate that counts finds\n")
    print(f"Made by `benches/count/run.sh BASE PLANTED {asked}`, {first['started_at']} to {last['started_at']}.")
    print(f"Judge: commit {first['build']['git_commit']}, profile {first['build']['profile']}. {host['cpu_model']}, {host['cores']} cores, {host['kernel']}. {first['counter']}.")
    print(f"Neighbour: on each core for 1 to 20 ms at a time, {float(share):.0%} of the time.\n")
    print(f"Planted: {float(slower):.1%} more instructions of a hit, one allocation and one system call more of a refusal.\n")
    print("| candidate | gates | pass | fail | cannot tell | instructions of a hit | allocations of a refusal | system calls of a refusal | time of a gate, median and longest |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind, of in by_kind.items():
        if of:
            print(row(kind, of))
    print()
    print("A request of the base, medians:\n")
    print("| class | instructions | allocations | allocated bytes | system calls | written bytes |")
    print("|---|---|---|---|---|---|")
    works = ("instructions", "allocations", "allocated-bytes", "system-calls", "written-bytes")
    for of_class in ("hit", "miss", "refused"):
        values = [median(mean(metric(one["gate"], of_class, work)["base"]) for one in gates) for work in works]
        print(f"| {of_class} | " + " | ".join(f"{value:,.1f}" for value in values) + " |")
    print()
    print(f"- false fails of equal builds: {false} of {len(by_kind['equal'])} (none may); passes: {passed}")
    print("- found: " + ", ".join(f"{PLANTED[what]} {count} of {len(by_kind['planted'])}" for what, count in times_found.items()) + " (all asked)")
    print(f"- the longest gate took {slowest:.0f} s (less than {SECONDS_MAX} s asked)")
    print(f"- two counts of one build differ in instructions by: {repeatability(gates)}")
    print(f"\nThe proof {'holds' if fine else 'DOES NOT HOLD'}.")
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    commands = {"rounds": rounds, "line": line, "table": table}
    commands[sys.argv[1]](*sys.argv[2:])
