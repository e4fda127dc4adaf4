"""Makes plans beside a neighbour and checks each against its own figures; see `neighbour.sh`."""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import time
from statistics import median
from types import SimpleNamespace

from rivals import ROOT, head, settle
from setups import PLACES, SHARES, Neighbours, read_log

MINTBENCH = os.environ.get("MINTBENCH", str(ROOT / "target/dist/mintbench"))
FLEET = ROOT / "benches/plan/neighbour.toml"
SECONDS_MAX = 3600
# What the sentence of each answer holds, and its exit code.
ANSWERS = {
    "enough": (0, (" the least for ", " enough for ")),
    "not-enough": (5, (" not enough for ",)),
    "never": (5, ("No number of nodes ",)),
    "out-of-reach": (5, ("No plan: no measured rate ",)),
    "cannot-tell": (3, ("Cannot tell: ",)),
    "unknown": (4, ("No plan: ",)),
}
MIX = "highest rate of a mix within the objective"
INSIDE_LEAST = 0.9
NODES_APART = 1


def log(text):
    print(text, file=sys.stderr, flush=True)


def setup(number):
    """The neighbour of a plan: a share and a place of its own."""
    share = round(random.Random(number).uniform(*SHARES), 3)
    return SimpleNamespace(share=share, place=PLACES[number % len(PLACES)], seed=number + 1)


def plan(number, slo):
    """A plan beside its neighbour: a line of the log."""
    made = setup(number)
    flags = ["--slo", slo, *os.environ.get("PLAN_ARGS", "").split()]
    command = [MINTBENCH, "plan", "--fleet", str(FLEET), "--seed", str(made.seed), "--json", *flags]
    begun_s = time.monotonic()
    with Neighbours(made) as neighbours:
        # Its progress goes to whoever waits.
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=SECONDS_MAX)
    took_s = time.monotonic() - begun_s
    settle()
    if not ended.stdout.strip():
        log(f"error: mintbench ended with {ended.returncode}")
        sys.exit(2)
    of = {"number": number, "share": made.share, "place": made.place, "taken": neighbours.shares}
    return of | {"flags": flags, "code": ended.returncode, "took_s": round(took_s, 1), "plan": json.loads(ended.stdout)}


def agrees(line):
    """Whether sentence, answer and exit code say the same."""
    code, parts = ANSWERS[line["plan"]["answer"]]
    said = line["plan"]["sentences"][0]
    right = said.startswith(parts[0]) if parts[0][0] != " " else any(part in said for part in parts) and not said.startswith("Cannot")
    return line["code"] == code and right


def nodes(line):
    forecast = line["plan"]["forecast"]
    return forecast and forecast["nodes_needed"]


def mix(line):
    return next((one for one in line["plan"]["held_out"]["compared"] if one["what"] == MIX), None)


def inside(one):
    return one is not None and one["interval"][0] <= one["measured"] <= one["interval"][1]


def holds(line):
    """Whether the held-out rate lies in its interval, or the plan does not claim to know."""
    return inside(mix(line)) or line["plan"]["answer"] == "cannot-tell"


def told(line):
    found = mix(line)
    rate = f"{found['measured']:,.0f}/s in {spread(found)}" if found else "no rate of the mix"
    return f"{line['number']:>2} {line['share'] * 100:.0f} % {line['place']}: exit {line['code']}, {nodes(line)} nodes, {rate}, {line['took_s']:.0f} s: {line['plan']['sentences'][0]}"


def spread(one):
    return f"{one['interval'][0]:,.0f} to {one['interval'][1]:,.0f}"


def make(given):
    path = pathlib.Path(given.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {line["number"] for line in read_log(path)}
    with path.open("a") as file:
        for number in range(given.plans):
            if number not in done:
                line = plan(number, given.slo)
                file.write(json.dumps(line) + "\n")
                file.flush()
                log(told(line))


def row(*cells):
    print(f"| {' | '.join(str(cell) for cell in cells)} |")


def print_plans(lines):
    row("plan", "neighbour", "answer", "exit", "agrees", "nodes", "at least, at most", "costs", "mix predicted, /s", "measured", "inside", "seconds")
    row(*["---"] * 3, "--:", "---", "--:", "---", "---", "---", "--:", "---", "--:")
    for line in lines:
        said, found = line["plan"], mix(line)
        ends, costs = said["nodes"], said["costs"]
        row(
            line["number"],
            f"{line['share'] * 100:.0f} %, {line['place']}",
            said["answer"],
            line["code"],
            "yes" if agrees(line) else "**no**",
            nodes(line) or "-",
            f"{ends['at_least']}, {ends['at_most']}" if ends else "-",
            f"{costs['likely']:.2f} ({costs['low']:.2f} to {costs['high']:.2f})" if costs else "-",
            f"{found['predicted']:,.0f} ({spread(found)})" if found else "-",
            f"{found['measured']:,.0f}" if found else "-",
            "-" if found is None else "yes" if inside(found) else "**no**",
            f"{line['took_s']:.0f}",
        )


def print_sentences(lines):
    print("\n## First sentences\n")
    for line in lines:
        print(f"- plan {line['number']}: {line['plan']['sentences'][0]}")


def print_sides(lines):
    print("\n## Costs of a core\n")
    row("plan", "of", "highest rate", "next that missed", "cost, us", "basis", "core taken, most")
    row("---", "---", "--:", "--:", "--:", "---", "--:")
    for line in lines:
        for name in ("hit", "mint"):
            side = line["plan"][name]
            if side is None:
                continue
            taken = [level["core_taken"] for level in side["levels"] if level["core_taken"] is not None]
            rate, missed = side["rate_per_core"], side["bracket"]
            row(
                line["number"],
                name,
                f"{rate:,.0f}/s" if rate else "none",
                f"{missed['rate']:,.0f}/s" if missed else "none",
                f"{side['cost']['core_us']:.1f} ({side['cost']['low_us']:.1f} to {side['cost']['high_us']:.1f})",
                side["cost"]["basis"],
                f"{max(taken) * 100:.0f} %" if taken else "-",
            )


def failures(lines, asked):
    if len(lines) < asked:
        yield f"{len(lines)} of {asked} plans were made"
    apart = [line["number"] for line in lines if not agrees(line)]
    if apart:
        yield f"sentence and exit code of plan {', '.join(map(str, apart))} disagree"
    counts = [nodes(line) for line in lines if nodes(line) is not None]
    if counts and max(counts) - min(counts) > NODES_APART:
        yield f"the numbers of nodes are {min(counts)} to {max(counts)}"
    held = sum(map(holds, lines))
    if held < INSIDE_LEAST * len(lines):
        yield f"{held} of {len(lines)} held-out rates are in their interval, or their plan cannot tell"


def print_all(given):
    lines = sorted((line for line in read_log(given.log) if line["number"] < given.plans), key=lambda line: line["number"])
    if not lines:
        log("error: there is no plan in the log")
        return 2
    print("# Plans beside a neighbour\n")
    print("Made by `benches/plan/neighbour.sh`. Each plan has a neighbour, which takes a processor for 1 to 20 ms at a time: that of the broker (`server`), that of the")
    print("`generator`, both, or any that the system chooses. The mix of hits and mints is not a part of what the model is fitted to.\n")
    builds = sorted({" ".join(line["flags"]) for line in lines})
    print(f"{next(head([]))} Flags: {'; '.join(f'`{args}`' for args in builds)}. A plan took {median(line['took_s'] for line in lines):.0f} s in the median.\n")
    print_plans(lines)
    decided = sum(line["plan"]["answer"] not in ("cannot-tell", "unknown") for line in lines)
    print(f"\n{decided} of {len(lines)} plans have an answer; {sum(inside(mix(line)) for line in lines)} held-out rates lie in their interval.")
    print_sides(lines)
    print_sentences(lines)
    failed = list(failures(lines, given.plans))
    print("\n**Not shown:** " + "; ".join(failed) + "." if failed else "\nAll of this holds as demanded.")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plans", type=int, default=10)
    parser.add_argument("--slo", default="p99<100ms")
    parser.add_argument("--log", default=str(ROOT / "target/plans.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        make(given)
    return print_all(given)


if __name__ == "__main__":
    sys.exit(main())
