"""A neighbour: a process that takes 1 to 20 ms of a processor at a time, on average a share of the time.

    neighbour.py --share 0.15 [--cpu 1] [--seed 7] [--seconds 30]

Without --cpu the system chooses the processor, each time anew. The spans follow from the seed. It ends after its
seconds, on SIGTERM, or with its parent, and prints what it took as one line of JSON.
"""

import argparse
import json
import os
import random
import signal
import sys
import time

SHORTEST_S, LONGEST_S = 0.001, 0.02
# How often a sleeping neighbour looks for its parent.
LOOK_S = 0.5


def spans(share, seed):
    """Pairs of seconds, busy and idle, without end."""
    chance = random.Random(seed)
    while True:
        busy_s = chance.uniform(SHORTEST_S, LONGEST_S)
        # As long as makes the share, each time another span.
        yield busy_s, chance.uniform(0, 2) * busy_s * (1 - share) / share


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, required=True, help="of the time, above 0 and below 1")
    parser.add_argument("--cpu", type=int, help="the processor that it stays on [any]")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    if not 0 < given.share < 1:
        parser.error("a share is above 0 and below 1")
    return given


def take(given, begun_s):
    """Takes its processor until it is to end."""
    parent = os.getppid()
    for busy_s, idle_s in spans(given.share, given.seed):
        if os.getppid() != parent or time.monotonic() - begun_s > given.seconds:
            break
        # Of its own processor time: beside a thread that spins, the clock would count that thread's turns, too.
        until_s = time.process_time() + busy_s
        while time.process_time() < until_s:
            pass
        while idle_s > 0 and os.getppid() == parent:
            time.sleep(min(idle_s, LOOK_S))
            idle_s -= LOOK_S


def main():
    given = arguments()
    if given.cpu is not None:
        os.sched_setaffinity(0, {given.cpu})
    begun_s = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    # The start of the interpreter is not a part of the share.
    before_s = time.process_time()
    try:
        take(given, begun_s)
    finally:
        passed_s = time.monotonic() - begun_s
        taken_s = time.process_time() - before_s
        print(json.dumps({"seconds": round(passed_s, 3), "share": round(taken_s / passed_s, 4)}))


if __name__ == "__main__":
    main()
