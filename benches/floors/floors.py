"""mintbench beside nginx, bare hyper and a raw epoll loop, or with many keys beside few; see `run.sh`."""

import argparse
import contextlib
import hashlib
import json
import math
import pathlib
import random
import sys
import tempfile
from dataclasses import dataclass, replace

from loads import HEADS, LOADS, Asking, Load, measure
from medians import LEVEL, cut, ratios, told
from rivals import Failed, head, raise_file_limit
from servers import MINTBENCH, fail, floor, mintbench, nginx
from setups import read_log
from texts import row

SERVERS = ("mintbench", "nginx", "hyper", "raw")
# What is asked of the processor time of a hit, as a share of that of another server.
ASKED = {
    "20000": {"nginx": 0.95, "hyper": 0.98, "raw": 1.12},
    "saturation": {"nginx": 0.95, "hyper": 0.95, "raw": 1.08},
}
# And of its times.
ASKED_TIME = 1.0
# The virtual machines of a measurement with many keys: each has a connection of its own.
VMS = 1000
# The address of the first of them in every synthetic world.
FIRST_VM = "127.1.0.1"
# What a hit among many keys may cost beyond one among few, by what it costs a server that sends as many bodies.
ASKED_KEYS = 1.05
# Loads that fill the cache, one after the other. The first ones are slow: nearly each of their requests is a mint.
WARM = (Load("warm-up", 4_000),) * 4 + (Load("warm-up", 20_000),) * 16
WARM_S = 10
# Each asks for other keys, and so does each round.
WARM_SEED = 1_000_000


def log(text):
    print(text, file=sys.stderr, flush=True)


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--loads", type=lambda text: text.split(","), default=list(LOADS))
    parser.add_argument("--head", choices=HEADS, default="five")
    parser.add_argument("--generator", choices=("mintbench", "wrk"), default="mintbench")
    parser.add_argument("--keys", type=lambda text: [int(part) for part in text.split(",")], default=[])
    parser.add_argument("--log", type=pathlib.Path, default=pathlib.Path("target/floors.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    unknown = [name for name in given.loads if name not in LOADS]
    if unknown:
        fail(f"there is no load {unknown[0]}; there are {', '.join(LOADS)}")
    if given.head == "changing" and given.loads != ["saturation"]:
        fail("only wrk changes the id of each request, and it takes no rate; add --loads saturation")
    if given.keys and (len(given.keys) < 2 or any(keys % VMS for keys in given.keys)):
        fail(f"--keys takes several multiples of {VMS}, as in 1000,10000,100000")
    return given


@dataclass
class Log:
    """The lines of one build and one kind of measurement; a file may have those of others too."""

    path: pathlib.Path
    kind: dict

    @classmethod
    def of_build(cls, path, kind):
        build = hashlib.sha256(pathlib.Path(MINTBENCH).read_bytes()).hexdigest()[:12]
        return cls(path, {"build": build} | kind)

    def lines(self):
        return [line for line in read_log(self.path) if all(line.get(key) == value for key, value in self.kind.items())]

    def add(self, said):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a") as file:
            file.write(json.dumps(said | self.kind) + "\n")


def turns(given, servers):
    """(round, load, server) in the order of measuring: each round at random, and the next one back."""
    for number in range(given.rounds):
        draw = random.Random(given.seed * 1000 + number // 2)
        for name in given.loads:
            order = draw.sample(servers, len(servers))
            for server in order if number % 2 == 0 else reversed(order):
                yield number, LOADS[name], server


def measure_all(given, kept, servers, asking):
    """Makes the runs that the log lacks. `servers` has for each name a server and how it is asked."""
    done = {(line["round"], line["load"], line["server"]) for line in kept.lines()}
    for number, load, name in turns(given, list(servers)):
        # Times are held against nginx alone.
        if (number, load.name, name) in done or (load.is_timed and name not in ("mintbench", "nginx")):
            continue
        log(f"round {number + 1}: {load.name}: {name}")
        try:
            said = measure(load, servers[name], asking[name], number + 1)
        except Failed as error:
            log(f"left out: {error}")
            continue
        kept.add({"round": number, "load": load.name, "server": name} | said)


def measure_floors(given, kept):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        broker = stack.enter_context(mintbench(given.workers))
        answer = broker.answer()
        response = folder / "response"
        response.write_bytes(answer)
        servers = {"mintbench": broker, "nginx": stack.enter_context(nginx(given.workers, answer, folder))}
        for kind in ("hyper", "raw"):
            servers[kind] = stack.enter_context(floor(kind, given.workers, response))
        for name, server in servers.items():
            if len(server.answer()) != len(answer):
                fail(f"the answer of {name} has {len(server.answer())} bytes, that of mintbench {len(answer)}")
        asking = Asking(given.seconds, given.head, given.generator)
        measure_all(given, kept, servers, dict.fromkeys(servers, asking))


def measure_keys(given, kept):
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers, asking = {}, {}
        for keys in given.keys:
            user_assigned = keys // VMS - 1
            world = ("--synthetic", f"vms={VMS},user-assigned={user_assigned}", "--alg", "ES256")
            broker = stack.enter_context(mintbench(given.workers, f"mintbench {keys}", world, caller=FIRST_VM))
            asks = Asking(given.seconds, connections=VMS, vms=VMS, user_assigned=user_assigned)
            warm_up(broker, asks)
            response = folder / f"response-{keys}"
            response.write_bytes(broker.answer())
            raw = stack.enter_context(floor("raw", given.workers, response, f"raw {keys}", keys))
            servers |= {broker.name: broker, raw.name: raw}
            asking |= {broker.name: asks, raw.name: asks}
        measure_all(given, kept, servers, asking)


def warm_up(broker, asks):
    """Until hardly an answer is no hit."""
    for number, load in enumerate(WARM):
        log(f"{broker.name}: warm-up {number + 1}")
        try:
            measure(load, broker, replace(asks, seconds=WARM_S), WARM_SEED + number)
            return
        except Failed as error:
            log(str(error))
    fail(f"{broker.name} has not all keys after {len(WARM)} loads of {WARM_S} s")


def print_floors(lines, given):
    title("Processor time of the server for a request", "mintbench by each server, in the same round.")
    row("load", "server", "ratio", "asked", "rounds")
    row("---", "---", "--:", "--:", "--:")
    for name in given.loads:
        for base in SERVERS[1:]:
            of = ratios(lines, name, "mintbench", base, cpu_us)
            if of:
                row(load_name(name), base, told(of.values()), ASKED.get(name, {}).get(base, ""), len(of))
    timed = [name for name in given.loads if LOADS[name].is_timed]
    if timed:
        print_times(lines, timed)
    print_each(lines, given.loads, SERVERS)


def print_times(lines, loads):
    title("Response times", "mintbench by nginx, in the same round.")
    row("load", "percentile", "ratio", "asked", "rounds")
    row("---", "---", "--:", "--:", "--:")
    for name in loads:
        for percentile in ("p50", "p99"):
            of = ratios(lines, name, "mintbench", "nginx", lambda line: line["us"][percentile])
            row(load_name(name), percentile, told(of.values()), ASKED_TIME, len(of))


def print_keys(lines, given):
    few, *others = sorted(given.keys)
    title(f"A hit among many keys beside one among {few:,}", "Processor time of the server for a request, in the same round. It grows with the keys to the power of the exponent.")
    row("load", "keys", "mintbench", "raw", "mintbench beyond raw", "asked", "exponent of mintbench", "of raw", "rounds")
    row("---", *["--:"] * 8)
    for name in given.loads:
        for many in others:
            ours, raw = (ratios(lines, name, f"{server} {many}", f"{server} {few}", cpu_us) for server in ("mintbench", "raw"))
            beyond = [ours[number] / raw[number] for number in sorted(ours.keys() & raw.keys())]
            exponents = (told([math.log(ratio, many / few) for ratio in of.values()]) for of in (ours, raw))
            if beyond:
                row(load_name(name), f"{many:,}", told(ours.values()), told(raw.values()), told(beyond), ASKED_KEYS, *exponents, len(beyond))
    print_each(lines, given.loads, [f"{server} {keys}" for keys in given.keys for server in ("mintbench", "raw")])


def print_each(lines, loads, servers):
    title("Each server", "Medians of the rounds. They move with the machine; the ratios above hardly do.")
    row("load", "server", "processor time, us", "requests/s", "server busy, %", "p50, us", "p99, us")
    row("---", "---", *["--:"] * 5)
    for name in loads:
        for server in servers:
            some = [line for line in lines if (line["load"], line["server"]) == (name, server)]
            if some:
                cells = [told([line[key] * times for line in some if line.get(key) is not None], form) for key, times, form in CELLS]
                row(load_name(name), server, *cells, *(told(times_us(name, some, at), "{:.0f}") for at in ("p50", "p99")))


def times_us(name, lines, percentile):
    """Without a warm-up times say little."""
    return [line["us"][percentile] for line in lines if LOADS[name].is_timed and line["us"].get(percentile) is not None]


def cpu_us(line):
    return line.get("cpu_us")


CELLS = (("cpu_us", 1, "{:.2f}"), ("rate", 1, "{:,.0f}"), ("busy", 100, "{:.0f}"))


def load_name(name):
    return f"{int(name):,}/s" if name.isdigit() else name


def title(text, below):
    print(f"\n## {text}\n\n{below}\n")


def print_table(given, lines):
    print("# mintbench beside servers that do nothing else\n")
    print(f"Made by `{' '.join(['benches/floors/run.sh', *sys.argv[1:]])}`. All servers send as many bytes, and each answer is a hit.")
    print(f"{given.rounds} rounds were asked, each with {given.seconds} s of every load on every server, in random order and then back. A cell is the median of")
    print(f"the rounds and its {LEVEL * 100:.0f} % interval, from order statistics ({cut(given.rounds)} of {given.rounds} values left out at each end). *saturation* asks for more than a")
    asking = "Requests ask for all keys at random" if given.keys else f"The head of a request is *{given.head}*"
    print(f"server can do. Workers of each server: {given.workers}. {asking} (`benches/floors/loads.py`).\n")
    print("\n".join(list(head([]))[:2]))
    (print_keys if given.keys else print_floors)(lines, given)


def main():
    given = options()
    raise_file_limit()
    names = ("seconds", "workers", "head", "generator", "keys")
    kept = Log.of_build(given.log, {name: getattr(given, name) for name in names})
    if not given.table:
        (measure_keys if given.keys else measure_floors)(given, kept)
    print_table(given, kept.lines())


if __name__ == "__main__":
    main()
