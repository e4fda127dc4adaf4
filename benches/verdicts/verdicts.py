"""Makes runs against a queue that records its own answers, and checks each verdict; see `run.sh`."""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import table
from figures import NAMES, errors, reported, truth_us, verdicts, whole
from rivals import ROOT, Server, processors, settle
from setups import Neighbours, Setup, read_log, setup

MINTBENCH = os.environ.get("MINTBENCH", str(ROOT / "target/dist/mintbench"))
WARMUP_S = 3
CONNECTIONS = 256
# Objectives that a run is given: a ladder with steps of 2 %, from half of the mean time of service on. The truth is
# known after the run only; the step next to 10 % above or below it is looked up then.
STEP = 1.02
TOPS_US = {"p50": 30_000, "p99": 300_000}
# The slack of the issue, and of the way over loopback, which is measured.
SLACK = 0.01
FACTORS = {"above": 1.10, "below": 0.90}
# Every so many runs another of the same kind gets one objective, and its exit code is held against the truth. An odd
# number: with a neighbour and without in turn.
ASKED_EVERY = 5
WAY_S = 5


def log(text):
    print(text, file=sys.stderr, flush=True)


def ladder(mean_us):
    """All objectives, as flags."""
    for name in NAMES:
        steps = math.ceil(math.log(TOPS_US[name] / (mean_us / 2)) / math.log(STEP))
        for step in range(steps):
            yield f"--slo={name}<{mean_us / 2 * STEP**step * 1e3:.0f}ns"


def run(made, law, seconds, objectives):
    """The exit code and the report of a run of mintbench, the server's truth, and the neighbours' shares."""
    _, generator_cpu = processors()
    with tempfile.TemporaryDirectory() as folder:
        rows = f"{folder}/rows.csv"
        more = [*made.service, "--rows", rows, "--seed", str(made.seed)]
        with Server(law, spin=False, more=more) as at:
            command = [MINTBENCH, "run", "--target", f"get+{at.url}", "--rate", str(made.rate), "--arrivals", "poisson", "--seed", str(made.seed)]
            command += ["--pacer-test", "0s", "--warmup", f"{WARMUP_S}s", "--duration", f"{seconds}s", "--threads", "1"]
            command += ["--cores", str(generator_cpu), "--connections", str(CONNECTIONS), "--json", "--out", f"{folder}/run", *objectives]
            with Neighbours(made) as neighbours:
                ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 3 + 60)
        settle()
        if not ended.stdout.strip():
            log(f"error: mintbench ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
            sys.exit(2)
        return ended.returncode, json.loads(ended.stdout), truth_us(rows, seconds), neighbours.shares


def way_us(seconds):
    """The median that a client sees above the server's own, of a server that answers at once: the way over loopback."""
    made = Setup("floor", 100, 0.1, 1, False, 0.0, "none", 1)
    _, report, (truth, *_), _ = run(made, "floor", seconds, [])
    return reported(report)["p50"]["value"] - truth["p50"]


def is_wrong(limit_us, met, truth, way):
    """Whether a verdict contradicts the truth by more than the slack. What the client sees includes the way."""
    if met is None:
        return False
    return truth * (1 - SLACK) > limit_us if met else truth * (1 + SLACK) + way < limit_us


def judged(said, truth, way):
    """Of one percentile: the verdicts on the steps next to 10 % above and below the truth, and the wrong ones of all."""
    near = {}
    for side, factor in FACTORS.items():
        limit_us, met = min(said, key=lambda step: abs(math.log(step[0] / (factor * truth))))
        # A truth beyond the ladder, on a machine that stood still: nobody was asked.
        met = met if abs(math.log(limit_us / (factor * truth))) < math.log(STEP) else None
        near[side] = {"limit_us": limit_us, "met": met, "wrong": is_wrong(limit_us, met, truth, way)}
    wrong = [[limit_us, met] for limit_us, met in said if is_wrong(limit_us, met, truth, way)]
    return near | {"asked": len(said), "decided": sum(met is not None for _, met in said), "wrong": wrong}


def expected_code(mets):
    """What the exit code has to be by the verdicts of the same run."""
    return 5 if False in mets else 3 if None in mets else 0


def common_part(number, made, seconds, result):
    code, report, (truth, count, unstamped), shares = result
    return {
        "number": number, "setup": made.as_json(), "seconds": seconds, "schema": report["schema"], "commit": report["build"]["git_commit"],
        "profile": report["build"]["profile"], "code": code, "truth_us": truth, "answers": count, "unstamped": unstamped,
        "count": whole(report)["count"], "errors": errors(report), "taken": shares, "says": reported(report),
    }  # fmt: skip


def laddered(number, seconds, way):
    """A run with the ladder: a line of the log."""
    made = setup(number)
    result = run(made, made.law, seconds, list(ladder(made.mean_us)))
    line = common_part(number, made, seconds, result) | {"way_us": way}
    said = list(verdicts(result[1]))
    line["code_expected"] = expected_code([met for *_, met in said])
    line["judged"] = {name: judged([(limit, met) for of, limit, met in said if of == name], line["truth_us"][name], way) for name in NAMES}
    return line


def asked(line, seconds, way):
    """A run of the same kind with one objective, 10 % above or below the truth of the first."""
    number = line["number"]
    made = setup(number)
    count = number // ASKED_EVERY
    name, side = NAMES[count // 2 % 2], list(FACTORS)[count // 4 % 2]
    limit_us = line["truth_us"][name] * FACTORS[side]
    result = run(made, made.law, seconds, [f"--slo={name}<{limit_us * 1e3:.0f}ns"])
    again = common_part(number, made, seconds, result) | {"way_us": way, "objective": [name, side, limit_us]}
    [(_, limit_us, met)] = verdicts(result[1])
    return again | {"met": met, "code_expected": expected_code([met]), "wrong": is_wrong(limit_us, met, again["truth_us"][name], way)}


def made_already(path):
    lines = read_log(path)
    return {(line["number"], "objective" in line): line for line in lines}


def make(given):
    """All runs that are not in the log yet."""
    path = pathlib.Path(given.log)
    path.parent.mkdir(parents=True, exist_ok=True)
    done, way = made_already(path), None
    with path.open("a") as file:
        for number in range(given.runs):
            for is_asked in (False, True)[: 1 + (number % ASKED_EVERY == 0)]:
                if (number, is_asked) in done:
                    continue
                way = way_us(WAY_S) if way is None else way
                line = asked(done[number, False], given.duration, way) if is_asked else laddered(number, given.duration, way)
                done[number, is_asked] = line
                file.write(json.dumps(line) + "\n")
                file.flush()
                log(table.told(line))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--duration", type=int, default=20)
    parser.add_argument("--log", default=str(ROOT / "target/verdicts.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        make(given)
    return table.print_all(read_log(given.log))


if __name__ == "__main__":
    sys.exit(main())
