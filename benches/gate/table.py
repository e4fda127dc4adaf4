"""What benches/gate/proof.sh and neighbour.sh make of the gates' JSON: how much to slow, one line for each gate, the tables."""

import json
import sys
from collections import Counter
from statistics import mean, median

LIMIT = 0.05  # what the issue asks to be found, and the default of --limit


def judged(gate):
    metrics = [metric for metric in gate["metrics"] if metric["metric"] == "cpu"]
    return metrics[0]["judged"] if metrics else None


def cpu(path):
    with open(path, encoding="utf-8") as file:
        found = judged(json.load(file))
    if found is None:
        sys.exit("the processor time was not judged")
    return found


def rounds(slower, tried, *paths):
    """How many rounds make a hit slower by the share, if so many did what the trials say."""
    effect = median(cpu(path)["effect"] for path in paths)
    if effect <= 0:
        sys.exit("the trials found no slow-down to go by")
    print(max(round(int(tried) * float(slower) / effect), 1))


def line(path, kind, number, code, took_ms):
    with open(path, encoding="utf-8") as file:
        gate = json.load(file)
    gate["pairs"] = [[pair[side]["values"].get("cpu") for side in ("base", "candidate")] for pair in gate["pairs"]]
    head = {"kind": kind, "number": int(number), "code": int(code), "took_ms": int(took_ms)}
    print(json.dumps(head | {"gate": gate}))


def spread(values):
    values = [value for value in values if value is not None]
    if not values:
        return "-"
    return " / ".join(f"{value:+.2%}" for value in (min(values), median(values), max(values)))


def row(name, gates):
    verdicts = [gate["gate"]["verdict"] for gate in gates]
    counts = [str(verdicts.count(verdict)) for verdict in ("pass", "fail", "cannot-tell", "invalid")]
    found = [judged(gate["gate"]) for gate in gates]
    found = [one for one in found if one is not None]
    spreads = [spread([one[key] for one in found]) for key in ("effect", "smallest_effect")]
    return f"| {name} | {len(gates)} | {' | '.join(counts)} | {' | '.join(spreads)} |"


def broken(gate):
    return bool(gate["gate"]["failures"])


def table(path, asked, slower, extra_rounds, profile, flags):
    with open(path, encoding="utf-8") as file:
        gates = [json.loads(text) for text in file if text.strip()]
    gates = [gate for gate in gates if gate["number"] <= int(asked)]
    equal, slowed = ([gate for gate in gates if gate["kind"] == kind] for kind in ("equal", "slowed"))
    sharp = [gate for gate in slowed if (judged(gate["gate"]) or {}).get("smallest_effect") is not None]
    sharp = [gate for gate in sharp if judged(gate["gate"])["smallest_effect"] < LIMIT]
    false = sum(gate["code"] == 1 for gate in equal)
    # A check that failed is no slow-down that was found.
    detected = sum(gate["code"] == 1 and not broken(gate) for gate in sharp)
    silent = sum(gate["code"] == 0 for gate in slowed)
    host, first = gates[-1]["gate"]["host"], gates[0]["gate"]
    base_us = median(judged(gate["gate"])["base_median"] for gate in gates if judged(gate["gate"]))
    fine = false <= 0.05 * len(equal) and detected >= 0.9 * len(sharp) and silent == 0 and bool(sharp)

    print("# What the gate finds, and what it does not\n")
    print(f"Made by `benches/gate/proof.sh {asked}`, {first['started_at']} to {gates[-1]['gate']['started_at']}.")
    print(f"Commit {first['build']['git_commit']}, profile {profile}. {host['cpu_model']}, {host['cores']} cores, {host['kernel']},")
    print(f"load average {host['load_average']} at the end.\n")
    print(f"Each gate: `mintbench gate {flags}`, {mean(gate['took_ms'] for gate in gates) / 1000:.1f} s on average.")
    print(f"A request of the base takes {base_us:.2f} us of processor time (median); the slowed build sends itself {extra_rounds} thousandths of an answer more on each hit, which in trials was {float(slower):.0%}.\n")
    print("| candidate | gates | pass | fail | cannot tell | invalid | effect found, min / median / max | smallest effect, min / median / max |")
    print("|---|---|---|---|---|---|---|---|")
    print(row("the same build", equal))
    print(row("the slowed build", slowed))
    print()
    print(f"- false fails of equal builds: {false} of {len(equal)} (at most 5 % are nominal)")
    print(f"- slow-downs found where the printed smallest effect was below {LIMIT:.0%}: {detected} of {len(sharp)} (at least 90 % asked)")
    print(f"- slow-downs that passed: {silent} of {len(slowed)} (none may)")
    print(f"- gates that ended by a failed check instead: {sum(map(broken, gates))}")
    print(f"\nThe proof {'holds' if fine else 'DOES NOT HOLD'}.")
    sys.exit(0 if fine else 1)


def beside(path, settings, kind, number, code):
    """One gate beside a neighbour, as a line."""
    with open(path, encoding="utf-8") as file:
        gate = json.load(file)
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
