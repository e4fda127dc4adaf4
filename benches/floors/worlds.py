"""The time and the memory that a broker takes to load a world; see `worlds.sh`."""

import math
import os
import pathlib
import statistics
import sys
import time

from floors import log
from rivals import head
from servers import mintbench
from texts import row

# What is asked of a world of so many machines.
ASKED = {1_000_000: (10, 800)}


def start(vms):
    """Seconds until it is ready, and resident bytes then."""
    begun = time.monotonic()
    with mintbench(1, f"vms={vms}", ("--synthetic", f"vms={vms}")) as broker:
        ready_s = time.monotonic() - begun
        status = pathlib.Path(f"/proc/{broker.process.pid}/status").read_text().splitlines()
        resident_kb = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
        # A graceful end of a large world takes longer than its start.
        broker.process.kill()
    return ready_s, resident_kb * 1024


def main():
    sizes = sorted(int(size) for text in sys.argv[1:] for size in text.split())
    rounds = int(os.environ.get("ROUNDS", "3"))
    print("# Worlds of several sizes\n")
    print(f"Made by `benches/floors/worlds.sh {' '.join(map(str, sizes))}`: medians of {rounds} starts on one processor. Time and bytes grow with the")
    print("machines to the power of the exponent, from the size above.\n")
    print("\n".join(list(head([]))[:2]) + "\n")
    row("machines", "ready, s", "asked", "exponent", "resident, MiB", "bytes for each", "asked", "exponent")
    row("--:", *["--:"] * 7)
    last = None
    for vms in sizes:
        log(f"{vms} machines")
        starts = [start(vms) for _ in range(rounds)]
        ready_s, resident = (statistics.median(values) for values in zip(*starts))
        exponents = ("", "")
        if last:
            exponents = [f"{math.log(now / before, vms / last[0]):.2f}" for now, before in ((ready_s, last[1]), (resident, last[2]))]
        asked = ASKED.get(vms, ("", ""))
        row(f"{vms:,}", f"{ready_s:.2f}", asked[0], exponents[0], f"{resident / 2**20:.0f}", f"{resident / vms:.0f}", asked[1], exponents[1])
        last = (vms, ready_s, resident)


if __name__ == "__main__":
    main()
