#!/usr/bin/env python3
"""Runs scenarios with the reader of token requests in front of hyper and through hyper alone, and holds their counters against each other:

    benches/both_paths.py target/release/mintbench > results/reference/both-paths.md    # about 9 minutes

`isolation` asks for a token of each of 3,000 identities again and again, a million times in all, and checks every answer: its signature, its
identity, its audience and its times. Counters that the schedule alone decides have to be equal. Those that also depend on the moment of a change
are printed. Exit code 0 if no run failed and all of the former are equal.

--scenarios NAMES, --seed N, and --answers N of `isolation` change what runs.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HYPER_ONLY = ["--hyper-only"]
PATHS = {"reader": [], "hyper": HYPER_ONLY}
RATE = 20_000
# Of boot-storm each key is minted once, whoever asks first. The rest are hits or wait for another's mint.
SCHEDULED = ("requests", "failed requests", "wrong answers", "failed checks", "hits and coalesced", "misses", "mints")
# When a change happens beside a request is chance, and with it who is refused and what is minted.
BY_CHANCE = {"churn": ("hits and coalesced", "misses", "mints"), "rotate": ("mints",)}
# What such a run has to show all the same.
NEVER = ("tokens after a removal", "refused wrongly", "unpublished", "withdrawn")


def isolation(answers):
    return ["steady", "--rate", str(RATE), "--requests", str(answers), "--samples", str(answers)]


def run(mintbench, name, flags, arguments, folder):
    """The record of a run, whose broker has these arguments."""
    text = subprocess.check_output([mintbench, "run", "--print-scenario", name], text=True)
    scenario = folder / f"{name}.toml"
    if "[broker]" in text:
        raise SystemExit(f"error: {name} sets its broker, and this script would set it again")
    scenario.write_text(f"{text}\n[broker]\narguments = {json.dumps(arguments)}\n")
    command = [mintbench, "run", str(scenario), *flags, "--json", "--out", str(folder / "run")]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if not ended.stdout.strip():
        raise SystemExit(f"error: `{' '.join(command)}` ended with {ended.returncode}")
    return json.loads(ended.stdout)


def counters(record):
    broker, verified = record["broker"], record["verified"]
    figures = {
        "requests": sum(of["count"] for of in record["classes"].values()),
        "failed requests": sum(of["errors"] for of in record["classes"].values()),
        "sampled answers": verified["sampled"],
        "wrong answers": sum(count for name, count in verified.items() if name != "sampled"),
        "failed checks": len(record["checks"]["failures"]),
        "hits and coalesced": broker["hits"] + broker["coalesced"],
        "misses": broker["misses"],
        "mints": broker["mints"],
    }
    if churn := record["churn"]:
        figures |= {"changes": record["changes"]["count"], "tokens after a removal": churn["tokens_after_removal"], "refused rightly": churn["refused_rightly"], "refused wrongly": churn["refused_wrongly"]}
    if rotation := record["rotation"]:
        figures |= {name: rotation[name] for name in ("rotations", "certificates", "unpublished", "withdrawn")}
    return figures


def decided(scenario, name):
    """True if the schedule alone decides the counter."""
    return name in SCHEDULED and name not in BY_CHANCE.get(scenario, ()) or name in NEVER


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mintbench", type=pathlib.Path)
    parser.add_argument("--scenarios", default="isolation,boot-storm,churn,rotate")
    parser.add_argument("--answers", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    mintbench, is_right = str(given.mintbench.resolve()), True
    print("## Both paths of the identity endpoint\n")
    print(f"`benches/both_paths.py`, {subprocess.check_output([mintbench, '--version'], text=True).strip()}, seed {given.seed}.\n")
    print("| scenario | counter | " + " | ".join(PATHS) + " | |\n|---|---|---:|---:|---|")
    for scenario in given.scenarios.split(","):
        name, *flags = isolation(given.answers) if scenario == "isolation" else [scenario]
        seen = []
        for path, arguments in PATHS.items():
            print(f"{scenario}: {path}", file=sys.stderr)
            with tempfile.TemporaryDirectory() as folder:
                seen.append(counters(run(mintbench, name, [*flags, "--seed", str(given.seed)], arguments, pathlib.Path(folder))))
        for counter, figure in seen[0].items():
            other = seen[1][counter]
            is_never = counter in NEVER or counter in ("failed requests", "wrong answers", "failed checks")
            is_same = figure == other and not (is_never and figure)
            verdict = ("equal" if is_same else "**differs**") if decided(scenario, counter) else "by chance"
            is_right &= verdict != "**differs**"
            print(f"| {scenario} | {counter} | {figure:,} | {other:,} | {verdict} |", flush=True)
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
