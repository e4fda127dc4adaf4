"""What benches/gate/proof.sh and neighbour.sh make of the gates' JSON: how much to slow, one line for each gate, the tables."""

import json
import sys
from collections import Counter
from statistics import median

SECONDS_MAX = 60  # of a gate, in the median
SMALLEST_MAX = 0.02  # smallest effect on the median of a hit that a gate prints, in the median
FALSE_MAX = 1 / 60  # share of equal builds that may fail
FOUND_MIN = 0.9  # share of slowed builds that have to fail
SLOWED = "hit.p50"  # what the slowed build is slower in


def read(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def judged(gate, name=SLOWED):
    return next((metric["judged"] for metric in gate["metrics"] if metric["metric"] == name), None)


def rounds(slower, tried, *paths):
    """How many rounds make a hit slower by the share, if so many did what the trials say."""
    found = [judged(read(path)) for path in paths]
    if None in found:
        sys.exit(f"{SLOWED} was not judged")
    effect = median(one["effect"] for one in found)
    if effect <= 0:
        sys.exit("the trials found no slow-down to go by")
    print(max(round(int(tried) * float(slower) / effect), 1))


def line(path, kind, number, code, took_ms):
    gate = read(path)
    gate["pairs"] = [{side: pair[side]["values"] for side in ("base", "candidate")} for pair in gate["pairs"]]
    head = {"kind": kind, "number": int(number), "code": int(code), "took_ms": int(took_ms)}
    print(json.dumps(head | {"gate": gate}))


def spread(values):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    return " / ".join(f"{value:+.2%}" for value in (min(values), median(values), max(values)))


def failed(gate):
    """The metrics that failed, or the checks."""
    if broken(gate):
        return ["a check"]
    return [metric["metric"] for metric in gate["gate"]["metrics"] if (metric["judged"] or {}).get("verdict") == "fail"]


def row(name, gates):
    codes = [gate["code"] for gate in gates]
    counts = " | ".join(str(codes.count(code)) for code in (0, 1, 3, 4))
    causes = Counter(cause for gate in gates for cause in failed(gate))
    causes = ", ".join(f"{cause} ({count})" for cause, count in sorted(causes.items())) or "-"
    pairs = median(gate["gate"]["policy"]["pairs_made"] for gate in gates)
    took = median(gate["took_ms"] for gate in gates) / 1000
    return f"| {name} | {len(gates)} | {counts} | {causes} | {pairs:g} | {took:.0f} s |"


def effects(name, metric, gates):
    found = [judged(gate["gate"], metric) for gate in gates]
    found = [one for one in found if one is not None]
    spreads = [spread([one[key] for one in found]) for key in ("effect", "smallest_effect")]
    return f"| {name} | {metric} | {len(found)} | {' | '.join(spreads)} |"


def smallest(gate):
    return (judged(gate["gate"]) or {}).get("smallest_effect")


def broken(gate):
    return bool(gate["gate"]["failures"])


def table(path, asked, slower, extra_rounds, flags):
    with open(path, encoding="utf-8") as file:
        gates = [json.loads(text) for text in file if text.strip()]
    gates = [gate for gate in gates if gate["number"] <= int(asked)]
    equal, slowed = ([gate for gate in gates if gate["kind"] == kind] for kind in ("equal", "slowed"))
    false = sum(gate["code"] == 1 for gate in equal)
    # A check that failed is no slow-down that was found.
    found = sum(gate["code"] == 1 and not broken(gate) for gate in slowed)
    by_median = sum(SLOWED in failed(gate) for gate in slowed)
    # What a gate of equal builds prints is what it promises for the slowed one beside it.
    promised = {gate["number"] for gate in equal if (smallest(gate) or 1) <= float(slower)}
    kept = [gate["code"] == 1 and not broken(gate) for gate in slowed if gate["number"] in promised]
    sharp = median(smallest(gate) or 1 for gate in equal) if equal else 1
    seconds = median(gate["took_ms"] for gate in equal) / 1000 if equal else 0
    host, first = gates[-1]["gate"]["host"], gates[0]["gate"]
    base_us = {name: median(judged(gate["gate"], name)["base_median"] for gate in gates if judged(gate["gate"], name)) for name in ("cpu", SLOWED)}
    fine = (
        len(equal) == len(slowed) == int(asked)
        and false <= FALSE_MAX * len(equal)
        and found >= FOUND_MIN * len(slowed)
        and sum(kept) >= FOUND_MIN * len(kept)
        and sharp <= SMALLEST_MAX
        and seconds <= SECONDS_MAX
    )

    print("# What the timed gate finds, and what it does not\n")
    print(f"Made by `benches/gate/proof.sh {asked}`, {first['started_at']} to {gates[-1]['gate']['started_at']}.")
    print(f"Commit {first['build']['git_commit']}, profile {first['build']['profile']}. {host['cpu_model']}, {host['cores']} cores, {host['kernel']},")
    print(f"load average {host['load_average']} at the end.\n")
    print(f"Each gate: `mintbench gate{' ' * bool(flags)}{flags}`{'' if flags else ', with its default settings'}. A hit of the base takes {base_us[SLOWED]:.1f} us, and {base_us['cpu']:.2f} us of")
    print(f"processor time (medians). The slowed build makes {int(extra_rounds) / 1000:g} system calls more on each hit, which in trials made the median")
    print(f"{float(slower):.0%} longer.\n")
    print("| candidate | gates | pass | fail | cannot tell | invalid | what failed | pairs, median | time, median |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = [(name, of) for name, of in (("a fresh copy of the base", equal), ("the slowed build", slowed)) if of]
    for name, of in rows:
        print(row(name, of))
    print("\n| candidate | metric | gates that judged it | effect, min / median / max | smallest effect, min / median / max |")
    print("|---|---|---|---|---|")
    for name, of in rows:
        for metric in (SLOWED, "cpu"):
            print(effects(name, metric, of))
    print()
    print(f"- false fails of equal builds: {false} of {len(equal)} (at most 1 in 60 asked)")
    print(f"- slow-downs found: {found} of {len(slowed)} (at least 90 % asked); by `{SLOWED}` itself: {by_median}")
    print(f"- slow-downs found where the gate of equal builds beside it printed a smallest effect of at most {float(slower):.0%}: {sum(kept)} of {len(kept)} (at least 90 % asked)")
    print(f"- smallest effect on `{SLOWED}` of the gates of equal builds: {sharp:.2%} in the median (at most {SMALLEST_MAX:.0%} asked), after {seconds:.0f} s (at most {SECONDS_MAX} s)")
    print(f"- gates that ended by a failed check instead: {sum(map(broken, gates))}")
    print(f"\nThe proof {'holds' if fine else 'DOES NOT HOLD'}.")
    sys.exit(0 if fine else 1)


def beside(path, settings, kind, number, code):
    """One gate beside a neighbour, as a line."""
    gate = read(path)
    failed = [metric["metric"] for metric in gate["metrics"] if (metric["judged"] or {}).get("verdict") == "fail"]
    head = {"settings": settings, "kind": kind, "number": int(number), "code": int(code), "failed": failed}
    kept = ("started_at", "verdict", "sentence", "failures", "build", "host", "metrics")
    print(json.dumps(head | {"gate": {key: gate[key] for key in kept}}))


def neighbour(path, asked, share, report):
    with open(path, encoding="utf-8") as file:
        gates = [json.loads(text) for text in file if text.strip()]
    first, host = gates[0]["gate"], gates[-1]["gate"]["host"]
    print("# The gate beside a neighbour\n")
    print(f"Made by `benches/gate/neighbour.sh BASE SLOW {asked}`, {first['started_at']} to {gates[-1]['gate']['started_at']}.")
    print(f"Judge: commit {first['build']['git_commit']}, profile {first['build']['profile']}. {host['cpu_model']}, {host['cores']} cores, {host['kernel']}.")
    print(f"Neighbour: on each core for 1 to 20 ms at a time, {float(share):.0%} of the time.")
    print(f"Settings `report`: `{report}`.\n")
    print("| settings | candidate | gates | fail | cannot tell | pass | invalid | what failed |")
    print("|---|---|---|---|---|---|---|---|")
    fine = True
    for settings in ("default", "report"):
        for kind, name in (("slow", "waits 2 ms before each answer"), ("copy", "a fresh copy of the base")):
            made = [gate for gate in gates if (gate["settings"], gate["kind"]) == (settings, kind)]
            codes = [gate["code"] for gate in made]
            fine = fine and codes.count(1) == (len(made) if kind == "slow" else 0) and len(made) == int(asked)
            counts = " | ".join(str(codes.count(code)) for code in (1, 3, 0, 4))
            print(f"| {settings} | {name} | {len(made)} | {counts} | {causes(made)} |")
    print(f"\nThe proof {'holds' if fine else 'DOES NOT HOLD'}: the slow build fails in every gate, the copy in none.")
    sys.exit(0 if fine else 1)


def causes(gates):
    counts = Counter(metric for gate in gates for metric in gate["failed"])
    counts["a check"] = sum(map(broken, gates))
    return ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()) if count) or "-"


if __name__ == "__main__":
    commands = {"rounds": rounds, "line": line, "table": table, "beside": beside, "neighbour": neighbour}
    commands[sys.argv[1]](*sys.argv[2:])
