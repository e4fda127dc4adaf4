"""The README's first command, beside a neighbour, against the record of loopback; see `readme.sh`."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.parse

from figures import at, errors, reported, whole
from rivals import ROOT, head, settle
from setups import NEIGHBOUR
from wire import exchanges

MINTBENCH = str(pathlib.Path(os.environ.get("MINTBENCH", ROOT / "target/release/mintbench")).resolve())
SHARE = os.environ.get("SHARE", "0.15")
NAMES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
# Of percentiles as of the other checks, and what a client sees beside the time between the stamps.
SLACK, WAY_US = 0.01, 25
# Of counts: the record does not know to which side of the warm-up's end a request belongs.
COUNT_SLACK = 0.005


class Beside:
    """A process that runs beside, and ends with the context; `said` is the last line of its output."""

    def __init__(self, *command):
        self.process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
        self.said = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        lines = self.process.communicate()[0].splitlines()
        # One that was ended before it had begun says nothing.
        self.said = json.loads(lines[-1]) if lines else {}


def run(folder, number):
    """The exit code, the text, the report, the exchanges of the measured part, and what ran beside."""
    wire = Beside(str(ROOT / "benches/verdicts/wire.py"), f"{folder}/wire")
    with wire:
        if wire.process.stdout.readline() != "ready\n":
            print("error: loopback cannot be recorded; this needs CAP_NET_RAW", file=sys.stderr)
            sys.exit(2)
        with Beside(str(NEIGHBOUR), "--share", SHARE, "--seed", str(number)) as neighbour:
            ended = subprocess.run([MINTBENCH, "run"], cwd=folder, capture_output=True, text=True, timeout=300)
    results = list(pathlib.Path(folder).glob("results/*/run.json"))
    if len(results) != 1:
        print(f"error: mintbench ended with {ended.returncode} and {len(results)} results: {ended.stderr[-500:]}", file=sys.stderr)
        sys.exit(2)
    report = json.loads(results[0].read_text())
    seen = exchanges(f"{folder}/wire", urllib.parse.urlsplit(report["target"]).port)
    begun_ns = max(exchange.received_ns for exchange in seen) - int(report["load"]["duration_s"] * 1e9)
    return ended, report, [exchange for exchange in seen if exchange.received_ns >= begun_ns], (wire.said, neighbour.said)


def statements(report, seen):
    """(statement, what the record says, whether they agree) of one run."""
    answered = [exchange for exchange in seen if exchange.sent_ns]
    good = [exchange for exchange in answered if exchange.status == 200]
    count, failed, broker = whole(report)["count"], errors(report), report["broker"]
    yield f"{count} good answers", len(good), is_near(count, len(good))
    yield f"{failed} failed", len(seen) - len(good), failed == len(seen) - len(good)
    counted = broker["hits"] + broker["misses"] + broker["coalesced"]
    yield f"{counted:.0f} tokens by the broker's counters", len(good), is_near(counted, len(good))
    load = report["load"]
    # Rates are without the time in which the schedule stood still.
    active_s = load["duration_s"] - (load["paused_s"] or 0)
    yield f"{load['rate_answered']:.0f} answers per second", round(len(answered) / active_s), is_near(load["rate_answered"] * active_s, len(answered))
    times_ns = sorted(exchange.sent_ns - exchange.received_ns for exchange in answered)
    # Nearly all answers are of one class.
    service_us = max(report["classes"].values(), key=lambda of: of["count"])["service_us"]
    for name, says in reported(report, NAMES).items():
        truth = at(times_ns, NAMES[name]) / 1e3
        yield told(name, says), f"{truth:.1f} us", holds(says, truth)
        served = service_us[name]
        yield f"{name} {served:.1f} us from the write on", f"{truth:.1f} us", truth * (1 - SLACK) <= served <= truth * (1 + SLACK) + WAY_US


def is_near(count, reference):
    return abs(count - reference) <= COUNT_SLACK * max(reference, 1)


def told(name, says):
    if says["standing"] == "measured":
        return f"{name} {says['lower']:.1f} to {says['upper']:.1f} us"
    return f"{name} at most {says['upper']:.1f} us" if says["standing"] == "bounded" else f"{name} {says['standing']}"


def holds(says, truth):
    """A response includes the wait for the connection of its virtual machine, which nobody sees on the wire. So the
    record is a lower bound.
    """
    if says["standing"] not in ("measured", "bounded"):
        return True
    return truth * (1 - SLACK) <= says["upper"]


def main():
    runs = int(sys.argv[1])
    if not os.access(MINTBENCH, os.X_OK):
        print(f"error: there is no program {MINTBENCH}", file=sys.stderr)
        return 2
    print("# The README's command beside a neighbour\n")
    print("Made by `benches/verdicts/readme.sh`. Each statement of `run.json` beside the record of loopback: the time from the kernel's stamp of a request to that")
    print(f"of its answer. {next(head([]))}\n")
    wrong = 0
    print("| run | exit | statements | wrong | p50 | p99 | neighbour, recorder |\n|--:|--:|--:|--:|---|---|---|")
    details = []
    for number in range(1, runs + 1):
        with tempfile.TemporaryDirectory() as folder:
            ended, report, seen, (wire, neighbour) = run(folder, number)
        found = list(statements(report, seen))
        bad = [f"run {number}: {says}; the record: {known}" for says, known, agrees in found if not agrees]
        bad += [f"run {number}: it ended with {ended.returncode}"] if ended.returncode else []
        bad += [f"run {number}: the record lost {wire['lost']} packets"] if wire["lost"] else []
        details += bad
        percentiles = {says.split()[0]: f"{says}; {known}" for says, known, _ in found[-2 * len(NAMES) :: 2]}
        beside = f"{neighbour['share'] * 100:.0f} %, {wire['cpu_s']:.1f} s"
        print(f"| {number} | {ended.returncode} | {len(found)} | {len(bad)} | {percentiles['p50']} | {percentiles['p99']} | {beside} |", flush=True)
        wrong += len(bad)
        settle()
    print("\n" + ("\n".join(f"- {line}" for line in details) if details else "All statements agree with the record, and each run ended with 0."))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
