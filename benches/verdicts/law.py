"""The percentiles that a law of service leads to: a queue in order of arrival, with one or several servers and
requests at random times, simulated. Planted stalls are simulated too.
"""

import heapq
import json
import math
import pathlib
import random
import statistics
import sys
from bisect import bisect_left, bisect_right

from figures import NAMES, SHARES, at
from setups import CAP_MEANS, LONG_TIMES, SHORT_SHARE

# A batch is a run of its own. Its first requests meet an empty queue and are left out.
BATCH, FIRST = 200_000, 5_000
BATCHES_MIN, BATCHES_MAX = 8, 60
# The standard error of the p99 at which no more batches are simulated.
ERROR_MAX = 0.003


def service(setup, overhead_us, chance):
    """A function that draws a time of service in microseconds."""
    mean_us, draw = setup.mean_us, chance.random
    if setup.kind == "constant":
        return lambda: mean_us + overhead_us
    if setup.kind == "exponential":
        return lambda: min(-math.log(1 - draw()), CAP_MEANS) * mean_us + overhead_us
    short_us = mean_us / (SHORT_SHARE + (1 - SHORT_SHARE) * LONG_TIMES)
    short, long = short_us + overhead_us, short_us * LONG_TIMES + overhead_us
    return lambda: short if draw() < SHORT_SHARE else long


class Standing:
    """Time in which a service that stands still at times makes headway. Times in microseconds."""

    def __init__(self, stall, end_us, chance):
        self.length_us, period_us = stall.length_us, stall.period_us
        begins = (number * period_us + chance.uniform(0, period_us - self.length_us) for number in range(int(end_us / period_us) + 2))
        self.begins_us = list(begins)
        # The same, by the headway.
        self.stops_us = [begin_us - index * self.length_us for index, begin_us in enumerate(self.begins_us)]

    def headway(self, now_us):
        """The headway by this time."""
        index = bisect_right(self.begins_us, now_us)
        if index and now_us < self.begins_us[index - 1] + self.length_us:
            return self.stops_us[index - 1]
        return now_us - index * self.length_us

    def when(self, headway_us):
        """The time of a headway."""
        return headway_us + bisect_left(self.stops_us, headway_us) * self.length_us


def times(setup, overhead_us, chance, count):
    """The response times of so many requests."""
    gap_us, draw, uniform, log = 1e6 / setup.rate, service(setup, overhead_us, chance), chance.random, math.log
    free = [0.0] * setup.servers
    standing = Standing(setup.stalls, count * gap_us * 1.1, chance) if setup.stalls else None
    now, taken = 0.0, []
    for _ in range(count):
        now -= log(1 - uniform()) * gap_us
        came = standing.headway(now) if standing else now
        first = free[0]
        end = (came if came > first else first) + draw()
        heapq.heapreplace(free, end)
        taken.append((standing.when(end) if standing else end) - now)
    return taken


def simulated(setup, overhead_us):
    """The percentiles in microseconds, the relative error of the p99, and `spread`: what chance alone does to the p99 of a
    run, times the root of its number of requests.
    """
    batches = []
    while len(batches) < BATCHES_MAX:
        chance = random.Random(f"{key(setup, overhead_us)} {len(batches)}")
        taken = sorted(times(setup, overhead_us, chance, FIRST + BATCH)[FIRST:])
        batches.append({name: at(taken, SHARES[name]) for name in NAMES})
        if len(batches) >= BATCHES_MIN and error(batches) <= ERROR_MAX:
            break
    us = {name: statistics.fmean(batch[name] for batch in batches) for name in NAMES}
    return us | {"error": error(batches), "spread": error(batches) * math.sqrt(len(batches) * BATCH)}


def error(batches):
    p99s = [batch["p99"] for batch in batches]
    return statistics.stdev(p99s) / math.sqrt(len(p99s)) / statistics.fmean(p99s)


def key(setup, overhead_us):
    return f"{setup.law} {setup.rate}/s {setup.servers} servers {overhead_us:.1f} us {setup.stalls.text if setup.stalls else ''}".strip()


def added_us(line):
    """What a client sees beside the queue: the way over loopback, and what the server adds to its law in the median of
    the run. A neighbour may prolong the latter, so it is at most that of a server that answers at once, without one.
    """
    return line["way_us"] + min(line["handling_us"], line["floor_us"] - line["way_us"])


class Laws:
    """The law of each setup, simulated once and kept in a file."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.known = json.loads(self.path.read_text()) if self.path.exists() else {}

    def of(self, setup, overhead_us):
        name = key(setup, overhead_us)
        if name not in self.known:
            print(f"simulating {name}", file=sys.stderr, flush=True)
            self.known[name] = simulated(setup, overhead_us)
            written = self.path.with_suffix(".new")
            written.write_text(json.dumps(self.known, indent=1) + "\n")
            written.replace(self.path)
        return self.known[name]
