"""A neighbour for benches/gate/neighbour.sh: takes a core for 1 to 20 ms at a time, on average a share of it."""

import os
import random
import sys
import time

core, share = int(sys.argv[1]), float(sys.argv[2])
os.sched_setaffinity(0, {core})
chance = random.Random(core)
parent = os.getppid()
while os.getppid() == parent:
    busy = chance.uniform(0.001, 0.02)
    until = time.monotonic() + busy
    while time.monotonic() < until:
        pass
    # As long as makes the share, each time another span.
    time.sleep(chance.uniform(0, 2) * busy * (1 - share) / share)
