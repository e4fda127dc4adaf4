"""Prints criterion's results as a Markdown table of ratios; `run.sh` calls it."""

import json
import os
import pathlib
import platform
import re
import subprocess
import sys

PASSES = ("forth", "back")

# A bench, and what it is divided by. The first pattern that fits wins; a bench that none fits is a
# comparison itself.
COMPARED = [
    (r"cache/(?:hit)/(threads-\d)/(entries-\d+)", [r"cache/locked-map/\1/\2", r"cache/bare-map/threads-1/\2"]),
    (r"cache/locked-map/threads-1/(entries-\d+)", [r"cache/bare-map/threads-1/\1"]),
    (r"maps/hand-out/copy-under-lock/(.+)", [r"maps/hand-out/arc-clone/\1"]),
    (r"maps/(?!shards|hand-out)[a-z-]+/(.+)", [r"maps/shards/\1"]),
    (r"mint/(\w+)/([a-z-]+)/token", [r"mint/\1/\2/bare-signature", r"mint/\1/jsonwebtoken"]),
    (r"mint/(\w+)/ring/bare-signature", [r"mint/\1/aws-lc-rs/bare-signature"]),
    (r"mint/(\w+)/jsonwebtoken", [r"mint/\1/aws-lc-rs/bare-signature"]),
    (r"miss/(\w+)", [r"mint/\1/aws-lc-rs/token"]),
    (r"request/query/parse", ["request/query/form-urlencoded"]),
    (r"request/body/render", ["request/body/copy"]),
    (r"request/in-process/imds-hit", ["request/in-process/fixed-response"]),
]


def medians(root, name):
    """The median of each bench of one pass, in nanoseconds, by id."""
    found = {}
    for file in sorted(root.glob(f"**/{name}/estimates.json")):
        bench = json.loads((file.parent / "benchmark.json").read_text())["full_id"]
        found[bench] = json.loads(file.read_text())["median"]["point_estimate"]
    return found


def bases(bench):
    for pattern, compared in COMPARED:
        match = re.fullmatch(pattern, bench)
        if match:
            return [match.expand(base) for base in compared]
    return []


def ratio(one_pass, bench, base):
    return f"{one_pass[bench] / one_pass[base]:.2f}" if bench in one_pass and base in one_pass else "-"


def nanoseconds(one_pass, bench):
    return f"{one_pass[bench]:,.1f}" if bench in one_pass else "-"


def rows(passes):
    for bench in sorted(set().union(*passes), key=natural):
        times = [nanoseconds(one_pass, bench) for one_pass in passes]
        for base in bases(bench) or [None]:
            name = f"`{base}`" if base else ""
            ratios = [ratio(one_pass, bench, base) if base else "" for one_pass in passes]
            yield " | ".join([f"| `{bench}`", *times, name, *ratios]) + " |"


def natural(bench):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", bench)]


def machine(load):
    cpus = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*: (.*)", cpus)
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True)
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return [
        f"Commit {commit.stdout.strip()}, {rustc.stdout.strip()}, profile bench.",
        f"{model.group(1) if model else platform.machine()}, {len(os.sched_getaffinity(0))} processors,"
        f" {platform.system()} {platform.release()}; load average before {load}.",
    ]


def main():
    root = pathlib.Path(sys.argv[1])
    passes = [medians(root, name) for name in PASSES]
    print("# Micro-benchmarks\n")
    print("Made by `benches/run.sh`. Medians in nanoseconds per operation; a ratio is the first column's")
    print("median over that of what it is compared with, in the same pass. The whole set ran twice, forth")
    print("and back; where the two ratios differ, the machine was not quiet. On a machine that was busy")
    print("before, threads take turns and do not meet: then rows of several threads show no contention.\n")
    print("\n".join(machine(sys.argv[2])) + "\n")
    print("| bench | ns, forth | ns, back | compared with | ratio, forth | ratio, back |")
    print("|---|--:|--:|---|--:|--:|")
    print("\n".join(rows(passes)))


if __name__ == "__main__":
    main()
