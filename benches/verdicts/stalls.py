"""Planted stalls of the server beside a neighbour: the undisturbed view has to keep them like everything else. Runs, and
their table.
"""

import statistics

from figures import at, kept
from law import added_us
from runs import line, run
from setups import Setup, stalled_setup
from texts import row, share

# What is demanded of all runs of a kind together.
RATIO_MIN, RATIO_MAX, OFF_MAX = 0.9, 1.1, 0.10
# The rows that the view should have kept and the requests that it says it kept are counted at the two ends of the way.
STRAY_MAX = 0.02


def made(number, seconds, way):
    """A run of a server with stalls: a line of the log."""
    of = stalled_setup(number)
    ended = run(of, seconds, [])
    found = line(number, of, seconds, ended, way)
    view = found["undisturbed"]
    rows = [each for each in ended.rows if each.stamped]
    if view["note"] is None:
        found["stalls"] = counts(rows, kept(rows, ended.left_out, int(view["guard_us"] * 1e3)))
    return found


def counts(rows, kept_rows):
    """Of all requests and of the kept ones: how many, how many met a stall, and the p99 by the server's record."""
    return {"all": of_rows(rows), "kept": of_rows(kept_rows)}


def of_rows(rows):
    times_ns = sorted(each.sent_ns - each.received_ns for each in rows)
    return {"count": len(rows), "stalled": sum(each.stalled for each in rows), "p99_us": at(times_ns, 0.99) / 1e3 if rows else None}


def print_all(lines, laws):
    """Prints the table, and yields what does not hold."""
    print("\n## Planted stalls of the server\n")
    print("In each second the whole server stands still for 20 ms, at a random time, asleep or at work. A neighbour runs beside it. Nobody but the server knows")
    print("of its stalls. The view has to keep as large a share of the requests that met one as of all requests. The server's record is of the same kept time,")
    print("with the way over loopback. The law is that of the simulated queue with its stalls and without a neighbour.\n")
    row("stalls", "runs", "shown", "requests kept", "stalled requests kept", "ratio", "p99 off the record, mean", "p99 off the law, mean")
    row("---", *["--:"] * 7)
    failed = []
    for title, is_busy in (("asleep", False), ("at work", True)):
        some = [each for each in lines if each["setup"]["stall"].endswith(":busy") == is_busy]
        shown = [each for each in some if each.get("stalls")]
        if not shown:
            failed.append(f"no run with stalls {title} shows an undisturbed p99")
            continue
        found = Sum(shown, laws)
        row(
            title, len(some), len(shown), f"{found.kept * 100:.0f} %", f"{found.stalled_kept * 100:.0f} %", f"{found.ratio:.2f}",
            f"{found.off_record * 100:+.1f} %", f"{found.off_law * 100:+.1f} %",
        )  # fmt: skip
        failed += [f"stalls {title}: {why}" for why in found.failures()]
    print_runs(lines)
    return failed + list(strays(lines))


class Sum:
    """Runs of one kind together."""

    def __init__(self, lines, laws):
        stalls = [each["stalls"] for each in lines]
        self.kept = sum(each["kept"]["count"] for each in stalls) / sum(each["all"]["count"] for each in stalls)
        stalled, stalled_kept = (sum(each[part]["stalled"] for each in stalls) for part in ("all", "kept"))
        self.stalled_kept = stalled_kept / stalled
        # As many as would be kept if each run kept of the stalled requests what it kept of all.
        expected = sum(each["all"]["stalled"] * each["kept"]["count"] / each["all"]["count"] for each in stalls)
        self.ratio = stalled_kept / expected
        p99s_us = [each["undisturbed"]["p99"] for each in lines]
        records_us = [each["stalls"]["kept"]["p99_us"] + each["way_us"] for each in lines]
        laws_us = [laws.of(Setup.of_json(each["setup"]), 0.0)["p99"] + added_us(each) for each in lines]
        self.off_record, self.off_law = (
            statistics.fmean(p99_us / other_us - 1 for p99_us, other_us in zip(p99s_us, others_us)) for others_us in (records_us, laws_us)
        )

    def failures(self):
        if not RATIO_MIN <= self.ratio <= RATIO_MAX:
            yield f"the share of stalled requests kept is {self.ratio:.2f} of that of all"
        for what, off in (("the record", self.off_record), ("the law", self.off_law)):
            if abs(off) > OFF_MAX:
                yield f"the p99 is off {what} by {off * 100:+.1f} % on average"


def strays(lines):
    """Runs in which the kept rows are not the requests that the view kept."""
    for each in lines:
        if each.get("stalls"):
            says, found = each["undisturbed"]["count"], each["stalls"]["kept"]["count"]
            if abs(found - says) > STRAY_MAX * says:
                yield f"run {each['number']}: the view kept {says:,} requests, the server's rows are {found:,}"


def print_runs(lines):
    print("\n### Each run\n")
    row("number", "stalls", "law", "neighbour", "requests kept", "stalled requests kept", "p99", "by the record", "note")
    row("--:", "---", "---", "---", "--:", "--:", "--:", "--:", "---")
    for each in lines:
        setup, view, stalls = each["setup"], each["undisturbed"], each.get("stalls")
        head = (each["number"], setup["stall"], f"{setup['law']} at {setup['rate']}/s", f"{setup['share'] * 100:.0f} % {setup['place']}")
        if not stalls:
            row(*head, "-", "-", "-", "-", view["note"])
            continue
        every, some = stalls["all"], stalls["kept"]
        record_us = some["p99_us"] + each["way_us"]
        row(*head, share(some["count"], every["count"]), share(some["stalled"], every["stalled"]), f"{view['p99']:.0f} us", f"{record_us:.0f} us", "")
