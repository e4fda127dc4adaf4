"""Makes runs against a queue that records its own answers, and checks what they say; see `run.sh`."""

import argparse
import json
import pathlib
import sys

import ladder
import stalls
import table
import undisturbed
from law import Laws
from rivals import ROOT
from runs import Way, log
from setups import read_log

# The runs of each part, their seconds of load, and their log.
PARTS = {"verdicts": (120, 20, "verdicts.jsonl"), "undisturbed": (80, 30, "undisturbed.jsonl"), "stalls": (20, 60, "stalls.jsonl")}


def line_of(part, number, is_asked, seconds, way, done):
    if part == "undisturbed":
        return undisturbed.made(number, seconds, way)
    if part == "stalls":
        return stalls.made(number, seconds, way)
    return ladder.asked(done[number, False], seconds, way) if is_asked else ladder.laddered(number, seconds, way)


def wanted(part, runs):
    """The runs of a part: their numbers, and whether it is one with one objective."""
    for number in range(runs):
        yield number, False
        if part == "verdicts" and number % ladder.ASKED_EVERY == 0:
            yield number, True


def make(part, runs, seconds, path):
    """All runs of a part that are not in its log yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, way = {(line["number"], "objective" in line): line for line in read_log(path)}, None
    with path.open("a") as file:
        for number, is_asked in wanted(part, runs):
            if (number, is_asked) in done:
                continue
            way = way or Way.measured()
            line = line_of(part, number, is_asked, seconds, way, done)
            done[number, is_asked] = line
            file.write(json.dumps(line) + "\n")
            file.flush()
            log(table.told(line))


def print_all(folder):
    """Prints the tables of all logs; 0 if everything that is demanded holds."""
    logs = {part: read_log(folder / name) for part, (*_, name) in PARTS.items()}
    if not any(logs.values()):
        print("error: there is no run in the logs", file=sys.stderr)
        return 2
    laws = Laws(folder / "laws.json")
    table.print_head(logs)
    failed = []
    if logs["verdicts"]:
        failed += table.print_all(logs["verdicts"])
    if logs["undisturbed"] or any(map(undisturbed.has_view, logs["verdicts"])):
        failed += undisturbed.print_all(logs["undisturbed"], [line for line in logs["verdicts"] if "objective" not in line], laws)
    if logs["stalls"]:
        failed += stalls.print_all(logs["stalls"], laws)
    failed += [f"there are no runs for {part}" for part, log in logs.items() if not log]
    print("\n**Not shown:** " + "; ".join(failed) + "." if failed else "\nAll of this holds as demanded.")
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--duration", type=int)
    parser.add_argument("--logs", type=pathlib.Path, default=ROOT / "target")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        for part in given.part or PARTS:
            runs, seconds, name = PARTS[part]
            make(part, runs if given.runs is None else given.runs, given.duration or seconds, given.logs / name)
    return print_all(given.logs)


if __name__ == "__main__":
    sys.exit(main())
