#!/usr/bin/env bash
# How large the result folder and the generator's memory are after many requests. Prints Markdown:
#
#   benches/size.sh > results/reference/size.md
#
#   REQUESTS=10000000   how many
#   RATE=50000          per second
#   MINTBENCH=FILE TRUTH=FILE   binaries instead of those that cargo builds
#
# The bounds are 20 MB and 200 MB; exit code 1 where one is exceeded. Needs python3.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
[[ -n ${TRUTH:-} ]] || cargo build --profile dist --quiet --package truth
PYTHONPATH=benches/generator exec python3 -B - "${REQUESTS:-10000000}" "${RATE:-50000}" <<'PY'
import json, os, pathlib, subprocess, sys, tempfile
from rivals import Mintbench, Server, head, processors, raise_file_limit

requests, rate = int(sys.argv[1]), int(sys.argv[2])
FOLDER_MB, MEMORY_MB = 20, 200
raise_file_limit()
with tempfile.TemporaryDirectory() as parent, Server("exponential:1ms:50ms") as server:
    folder = pathlib.Path(parent) / "run"
    process = subprocess.Popen(
        [Mintbench().path(), "run", "--target", f"get+{server.url}", "--rate", str(rate), "--arrivals", "constant",
         "--pacer-test", "0s", "--warmup", "0s", "--duration", f"{requests / rate:.3f}s", "--connections", "1000", "--threads", "1",
         "--cores", str(processors()[1]), "--json", "--out", str(folder)],
        stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 4):
        sys.exit(f"error: the run ended with {code}")
    run = json.loads((folder / "run.json").read_text())
    files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
count = run["classes"]["all"]["count"]
folder_mb, memory_mb = sum(files.values()) / 1e6, usage.ru_maxrss * 1024 / 1e6
print("# How much a long run takes\n")
print("Made by `benches/size.sh`: answers after an exponential delay of 1 ms in the mean, so that histograms")
print("have many buckets.\n")
print("\n".join(list(head([Mintbench()]))[:2]))
print(f"\n{count:,} requests in {run['load']['duration_s']:,.1f} s at {rate:,}/s.\n")
print("| what | is | may be |\n|---|--:|--:|")
print(f"| result folder | {folder_mb:.2f} MB | {FOLDER_MB} MB |")
print(f"| memory of the process at its peak | {memory_mb:.1f} MB | {MEMORY_MB} MB |\n")
print("| file | bytes |\n|---|--:|")
for name, size in files.items():
    print(f"| `{name}` | {size:,} |")
sys.exit(folder_mb > FOLDER_MB or memory_mb > MEMORY_MB)
PY
