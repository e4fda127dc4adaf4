"""Hits while the world changes and while tokens are renewed, beside those of a quiet broker; see `changing.sh`."""

import argparse
import contextlib
import pathlib
import signal
import subprocess
import sys
import tempfile

from floors import VMS, Log, log, title
from loads import Asking, Load, Timed
from medians import cut, ratios, told
from rivals import ROOT, Failed, head, processors, raise_file_limit, settle
from servers import mintbench
from texts import row

# The sides of each pair: the quiet one, and the one that is held against it.
PAIRS = {"assignments": "quiet", "renewals": "no renewals"}
WHAT = {"assignments": "identities are assigned to machines, 20 a second", "renewals": "tokens are renewed in the background"}
# A token of the second pair is renewed 3 to 9 s after its mint, or in 24 hours.
RENEWING = ("--token-lifetime", "60s", "--refresh-at", "0.1")
# What is asked of the p99, by that of the quiet side.
ASKED = 1.2
WARMUP_S = 3


class Undisturbed(Timed):
    """Times of those answers during which nothing but the broker itself took a core (`docs/statistics.md`)."""

    WARMUP_S = WARMUP_S

    @staticmethod
    def result(report, job, cpu_s):
        result = Timed.result(report, job, cpu_s)
        kept = ((report.get("undisturbed") or {}).get("classes") or {}).get("all", {}).get("kept")
        if not kept or kept["response_us"]["p99"] is None:
            raise Failed("too little of the run was undisturbed")
        result.us = {name: kept["response_us"][name] for name in ("p50", "p99")}
        result.kept = kept["share"]
        return result


def options():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rate", type=int, default=2000)
    parser.add_argument("--world", default="vms=100000,user-assigned=3")
    parser.add_argument("--log", type=pathlib.Path, default=pathlib.Path("target/changing.jsonl"))
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


@contextlib.contextmanager
def writer(broker, vms, acks):
    """Assigns identities meanwhile. Yields nothing; `acks` gets how long each assignment took, in milliseconds."""
    behind = ["chrt", "--idle", "0", "taskset", "-c", str(processors()[1])]
    script = str(ROOT / "benches/assign.py")
    process = subprocess.Popen([*behind, sys.executable, script, broker.endpoints["arm"], str(vms), str(acks)])
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def measure_side(side, broker, given, number):
    """What one run says, as it is kept in the log."""
    vms = int(dict(part.split("=") for part in given.world.split(","))["vms"])
    asking = Asking(given.seconds, vms=VMS)
    before = broker.count("refreshes")
    with tempfile.TemporaryDirectory() as folder:
        acks = pathlib.Path(folder, "acks")
        acks.touch()
        with writer(broker, vms, acks) if side == "assignments" else contextlib.nullcontext():
            result = Undisturbed().run(asking.job(Load("hits", given.rate, True), broker, number + 1))
        changes = len(acks.read_text().split()) + broker.count("refreshes") - before
    settle()
    return {"kept": result.kept, "us": result.us, "changes": changes / (given.seconds + WARMUP_S)}


def measure_all(given, kept):
    done = {(line["round"], line["load"], line["server"]) for line in kept.lines()}
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(dir=given.log.parent))
        small = ("--synthetic", f"vms={VMS}")
        world = ("--synthetic", given.world, "--data", folder, "--arm-auth", "off")
        changing = stack.enter_context(mintbench(1, "quiet", world))
        still = stack.enter_context(mintbench(1, "no renewals", small))
        renewing = stack.enter_context(mintbench(1, "renewals", (*small, *RENEWING)))
        brokers = {"quiet": changing, "assignments": changing, "no renewals": still, "renewals": renewing}
        for number in range(given.rounds):
            for pair in PAIRS.items():
                for side in pair if number % 2 else reversed(pair):
                    if (number, pair[0], side) in done:
                        continue
                    log(f"round {number + 1}: {side}")
                    try:
                        said = measure_side(side, brokers[side], given, number)
                    except Failed as error:
                        log(f"left out: {error}")
                        continue
                    kept.add({"round": number, "load": pair[0], "server": side} | said)


def print_table(given, lines):
    print("# Hits while the world changes\n")
    print(f"Made by `{' '.join(['benches/floors/changing.sh', *sys.argv[1:]])}`: {given.rate:,} hits a second for {VMS:,} virtual machines, {given.rounds} pairs of runs of {given.seconds} s.")
    print("Broker and generator have a processor each. Times are those of the undisturbed view (`docs/statistics.md`), which leaves out the moments in which")
    print("other programs took a processor, but nothing that the broker does. A cell is the median and its 95 % interval, from order statistics")
    print(f"({cut(given.rounds)} of {given.rounds} values left out at each end).\n")
    print("\n".join(list(head([]))[:2]))
    title("While something changes, by quiet", "Ratios within a pair.")
    row("meanwhile", "changes/s", "p50", "p99", "asked of p99", "pairs")
    row("---", *["--:"] * 5)
    for side, quiet in PAIRS.items():
        of = {name: ratios(lines, side, side, quiet, lambda line, name=name: line["us"][name]) for name in ("p50", "p99")}
        changes = [line["changes"] for line in lines if line["server"] == side]
        row(WHAT[side], told(changes, "{:.0f}"), *(told(of[name].values(), "{:.2f}") for name in of), ASKED, len(of["p99"]))
    title("Each side", "They move with the machine; the ratios hardly do.")
    row("side", "p50, us", "p99, us", "undisturbed answers, %", "runs")
    row("---", *["--:"] * 4)
    for side in (side for pair in PAIRS.items() for side in reversed(pair)):
        some = [line for line in lines if line["server"] == side]
        times = (told([line["us"][name] for line in some], "{:.0f}") for name in ("p50", "p99"))
        row(side, *times, told([line["kept"] * 100 for line in some], "{:.0f}"), len(some))


def main():
    given = options()
    raise_file_limit()
    given.log.parent.mkdir(parents=True, exist_ok=True)
    kept = Log.of_build(given.log, {"seconds": given.seconds, "rate": given.rate, "world": given.world})
    if not given.table:
        measure_all(given, kept)
    print_table(given, kept.lines())


if __name__ == "__main__":
    main()
