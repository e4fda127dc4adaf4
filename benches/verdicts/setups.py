"""What is tried: laws, loads and neighbours, as a function of the number of the run."""

import dataclasses
import itertools
import json
import pathlib
import random
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass

from rivals import ROOT, processors

MEANS_US = (100, 200, 500, 1000)
UTILISATIONS = (0.1, 0.2, 0.3, 0.4, 0.5)
KINDS = ("constant", "exponential", "two-modes")
# With fewer requests per second 20 s have too few beyond the p99: at 1,000 its interval alone is 10 % wide on each
# side. The number of servers makes the rate.
RATE_MIN = 4000
# For the undisturbed view, which is held against the law: of fewer requests chance alone moves the p99 by more than 5 %.
RATE_MIN_UNDISTURBED = 3000
RATE_MIN_STALLED = 2000
# The share of the short mode, and how much longer the long one takes.
SHORT_SHARE, LONG_TIMES = 0.9, 5
# Where an exponential law is cut off, in means: one of 500 million draws is longer.
CAP_MEANS = 20
SHARES = (0.05, 0.30)
PLACES = ("generator", "server", "both", "any")
# Where a neighbour changes the p99 although the schedule pauses while something else than the target stops the generator.
PLACES_UNDISTURBED = ("server", "both", "any")
SMOOTH = ("constant", "exponential")
# Planted stalls put the p99 at 10 ms and more, and as much is left out before each disturbance.
SHARES_STALLED = (0.05, 0.10)
UTILISATIONS_STALLED = (0.1, 0.2, 0.3)
MEANS_STALLED_US = (100, 200, 500)
STALL = "20ms:1s"
NEIGHBOUR = ROOT / "benches/neighbour/neighbour.py"


@dataclass(frozen=True)
class Stalls:
    """Planted stalls, as `benches/truth/server.rs` takes them: a time in each period, in milliseconds or seconds."""

    text: str

    @property
    def length_us(self):
        return microseconds(self.text.split(":")[0])

    @property
    def period_us(self):
        return microseconds(self.text.split(":")[1])


def microseconds(text):
    return float(text.removesuffix("ms")) * 1e3 if text.endswith("ms") else float(text.removesuffix("s")) * 1e6


@dataclass(frozen=True)
class Setup:
    """One run. A share of 0 means no neighbour."""

    kind: str
    mean_us: int
    utilisation: float
    servers: int
    busy: bool
    share: float
    place: str
    seed: int
    stall: str = ""
    # Asks for requests again and again. A virtual processor that sleeps is often woken late by its host.
    spin: bool = False

    @property
    def stalls(self):
        return Stalls(self.stall) if self.stall else None

    @property
    def rate(self):
        return round(self.utilisation * self.servers / self.mean_us * 1e6)

    @property
    def law(self):
        if self.kind == "constant":
            return f"constant:{self.mean_us}us"
        if self.kind == "exponential":
            return f"exponential:{self.mean_us}us:{self.mean_us * CAP_MEANS}us"
        short_ns = self.mean_us * 1e3 / (SHORT_SHARE + (1 - SHORT_SHARE) * LONG_TIMES)
        return f"two-modes:{SHORT_SHARE}:{short_ns:.0f}ns:{short_ns * LONG_TIMES:.0f}ns"

    @property
    def service(self):
        stall = ["--stall", self.stall] if self.stall else []
        return [*(["--busy"] if self.busy else ["--servers", str(self.servers)]), *stall]

    def as_json(self):
        return asdict(self) | {"rate": self.rate, "law": self.law}

    @classmethod
    def of_json(cls, fields):
        return cls(**{field.name: fields[field.name] for field in dataclasses.fields(cls) if field.name in fields})


def servers(mean_us, utilisation, rate_min=RATE_MIN):
    """A power of two, as few as serve at least the lowest rate."""
    return next(n for n in (2**k for k in range(12)) if utilisation * n / mean_us * 1e6 >= rate_min)


def setup(number):
    """Runs with and without a neighbour in turn; both see each combination of law, mean and load."""
    beside, combination = number % 2 == 1, number // 2
    every = list(itertools.product(KINDS, MEANS_US, UTILISATIONS))
    # Shuffled, so that the first few are a mix, too.
    random.Random(16).shuffle(every)
    kind, mean_us, utilisation = every[combination % len(every)]
    chance = random.Random(number)
    count = servers(mean_us, utilisation)
    share = round(chance.uniform(*SHARES), 3) if beside else 0.0
    place = PLACES[combination % len(PLACES)] if beside else "none"
    # One server alone may as well work as wait.
    busy = count == 1 and chance.random() < 0.5
    return Setup(kind, mean_us, utilisation, count, busy, share, place, number + 1, spin=True)


def combinations(seed, *choices):
    """All combinations, shuffled."""
    every = list(itertools.product(*choices))
    random.Random(seed).shuffle(every)
    return every


def undisturbed_setup(number):
    """Runs beside a neighbour for the undisturbed view. Every fourth has a law of two modes."""
    chance = random.Random(1000 + number)
    kinds = ("two-modes",) if number % 4 == 3 else SMOOTH
    every = combinations(17, kinds, MEANS_US, UTILISATIONS)
    kind, mean_us, utilisation = every[(number // 4 if number % 4 == 3 else number - number // 4) % len(every)]
    count = servers(mean_us, utilisation, RATE_MIN_UNDISTURBED)
    place = PLACES_UNDISTURBED[number % len(PLACES_UNDISTURBED)]
    return Setup(kind, mean_us, utilisation, count, count == 1, round(chance.uniform(*SHARES), 3), place, 1001 + number)


def stalled_setup(number):
    """Runs beside a neighbour of a server with planted stalls, asleep and at work in turn, otherwise in pairs."""
    pair = number // 2
    chance = random.Random(2000 + pair)
    every = combinations(18, SMOOTH, MEANS_STALLED_US, UTILISATIONS_STALLED)
    kind, mean_us, utilisation = every[pair % len(every)]
    count = servers(mean_us, utilisation, RATE_MIN_STALLED)
    stall = STALL + (":busy" if number % 2 else "")
    return Setup(kind, mean_us, utilisation, count, False, round(chance.uniform(*SHARES_STALLED), 3), PLACES[pair % len(PLACES)], 2001 + pair, stall)


class Neighbours:
    """Those of one run, as a context; `shares` is what they took."""

    def __init__(self, setup):
        server, generator = processors()
        cpus = {"generator": [generator], "server": [server], "both": [server, generator], "any": [None], "none": []}
        self.setup, self.cpus, self.running, self.shares = setup, cpus[setup.place], [], []

    def __enter__(self):
        for index, cpu in enumerate(self.cpus):
            command = [sys.executable, str(NEIGHBOUR), "--share", str(self.setup.share), "--seed", str(self.setup.seed * 10 + index)]
            command += [] if cpu is None else ["--cpu", str(cpu)]
            self.running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return self

    def __exit__(self, *_):
        for process in self.running:
            process.send_signal(signal.SIGTERM)
            text = process.communicate()[0]
            self.shares += [json.loads(text)["share"]] if text.strip() else []


def read_log(path):
    """The lines of a log; none if there is none. A last line that was cut off is left out."""
    lines = pathlib.Path(path).read_text().splitlines() if pathlib.Path(path).exists() else []
    runs = []
    for index, line in enumerate(lines):
        try:
            runs.append(json.loads(line))
        except json.JSONDecodeError:
            if index + 1 < len(lines):
                raise
    return runs
