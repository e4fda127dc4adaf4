"""Prints what `fleet.sh` measured as Markdown."""

import os
import pathlib
import platform
import statistics
import subprocess
import sys

work = pathlib.Path(sys.argv[1])
load_ms, load_kb, file_bytes, identities = map(int, sys.argv[2:])


def spread(values, digits):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


restarts = [tuple(map(int, line.split())) for line in (work / "restarts").read_text().splitlines()]
acks = sorted(float(line) for line in (work / "acks").read_text().split())
runs = {}
for line in (work / "runs").read_text().splitlines():
    pair, side, p50, p99, valid = line.split()
    runs[int(pair), side] = (float(p50), float(p99), valid == "1")
pairs = sorted({pair for pair, _ in runs})
commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
build = "the binary in MINTBENCH" if os.environ.get("MINTBENCH") else "profile dist"

print("# A fleet in a folder\n")
print(f"`benches/fleet.sh {len(pairs)}` at {commit}, {build}, {platform.machine()}, broker on core 0, load and writer on core 1.\n")
print("| what | measured |\n|---|---|")
print(f"| identities (a quarter system-assigned) | {identities:,} |")
print(f"| first start: made up, stored in one commit, ready | {load_ms / 1e3:.2f} s |")
print(f"| start again after kill -9, ready | {spread([ms / 1e3 for ms, _ in restarts], 2)} s |")
print(f"| resident memory after starting again | {restarts[-1][1] / 1024:.0f} MiB, {restarts[-1][1] * 1024 / identities:.0f} bytes per identity |")
print(f"| resident memory after the first start | {load_kb / 1024:.0f} MiB |")
print(f"| file | {file_bytes / 2**20:.0f} MiB, {file_bytes / identities:.0f} bytes per identity |")
print(f"| an assignment is acknowledged (p50, p99, worst of {len(acks)}) | {acks[len(acks) // 2]:.2f} ms, {acks[int(len(acks) * 0.99)]:.2f} ms, {acks[-1]:.2f} ms |")
for at, name in enumerate(("p50", "p99")):
    quiet = [runs[pair, "quiet"][at] for pair in pairs]
    written = [runs[pair, "written"][at] for pair in pairs]
    ratios = [b / a for a, b in zip(quiet, written)]
    print(f"| hit {name} at 2,000/s, no writes | {spread(quiet, 1)} us |")
    print(f"| hit {name} at 2,000/s, 20 assignments/s | {spread(written, 1)} us |")
    print(f"| ratio of the two, within {len(pairs)} pairs | {spread(ratios, 2)} |")
valid = sum(run[2] for run in runs.values())
print(f"\n{valid} of the {len(runs)} runs were valid by the harness's own rules.")
