"""What a run says, read from `run.json`, and what its server knows, read from the server's rows."""

import heapq
import math
import statistics
from bisect import bisect_right
from collections import namedtuple

NAMES = ("p50", "p99")
SHARES = {"p50": 0.5, "p99": 0.99}
# Of the server, in the order of its answers. Wall time; `received_ns` is 0 without a stamp.
Row = namedtuple("Row", "received_ns sent_ns service_ns stamped stalled", defaults=(0,))
# Time that the undisturbed view leaves out, without the guard before it. Wall time.
Stretch = namedtuple("Stretch", "from_ns to_ns")


def read_rows(path, seconds):
    """Rows of the last so many seconds: the load ends with the last request."""
    with open(path) as lines:
        rows = [Row(*map(int, line.split(","))) for line in list(lines)[1:]]
    begun_ns = max((row.received_ns for row in rows), default=0) - int(seconds * 1e9)
    # A request without a stamp is placed by its answer.
    return [row for row in rows if (row.received_ns if row.stamped else row.sent_ns) >= begun_ns]


def taken_share(path, rows, seconds):
    """The share of the seconds of these rows in which the server did not have its processor, by its own account."""
    ended_ns = max((row.sent_ns for row in rows), default=0)
    begun_ns = ended_ns - int(seconds * 1e9)
    with open(path) as lines:
        gaps = [tuple(map(int, line.split(","))) for line in list(lines)[1:]]
    return sum(length_ns for end_ns, length_ns in gaps if begun_ns < end_ns <= ended_ns) / (seconds * 1e9)


def truth_us(rows):
    """The percentiles from the kernel's stamps of requests and answers, their count, and how many lack a stamp."""
    times_ns = sorted(row.sent_ns - row.received_ns for row in rows if row.stamped)
    us = {name: at(times_ns, share) / 1e3 for name, share in SHARES.items()} if times_ns else {}
    return us, len(times_ns), len(rows) - len(times_ns)


def overhead_us(rows):
    """What each request costs one server at work beside its service: the time from answer to answer while others
    wait, less the service.
    """
    pairs = [(last, row) for last, row in zip(rows, rows[1:]) if last.stamped and row.stamped and row.received_ns < last.sent_ns]
    costs_ns = [row.sent_ns - last.sent_ns - row.service_ns for last, row in pairs]
    return statistics.median(costs_ns) / 1e3 if costs_ns else None


def handling_us(rows, servers, overhead_us):
    """What the server adds to its law in the median: the time by which answers leave later than those of the same
    requests and times of service in a queue that loses no time.
    """
    stamped = sorted(row for row in rows if row.stamped)
    free_ns, late_ns = [0] * servers, []
    for row in stamped:
        end_ns = max(free_ns[0], row.received_ns) + row.service_ns + int(overhead_us * 1e3)
        heapq.heapreplace(free_ns, end_ns)
        late_ns.append(row.sent_ns - end_ns)
    return statistics.median(late_ns) / 1e3 if late_ns else None


def at(ordered, share):
    """The least value that a share of all does not exceed."""
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1]


def whole(report):
    """Requests of all classes of good answers: their count and percentiles."""
    # Version 1 has it by class only, and these runs have one class.
    return report.get("whole") or max(report["classes"].values(), key=lambda of: of["count"])


def errors(report):
    """How many requests failed."""
    return sum(of["errors"] for of in report["classes"].values())


def reported(report, names=NAMES):
    """For each percentile its value, bounds in microseconds and standing.

    Version 1 of `run.json` has one value, which is both bounds; a run that is not valid leaves it unknown.
    """
    response = whole(report)["response_us"]
    if not report["schema"].endswith("/1"):
        return {name: bounds(response.get(name) or {}) for name in names}
    standing = "measured" if report["validity"]["valid"] else "unknown"
    return {name: {"value": response[name], "lower": response[name], "upper": response[name], "standing": standing} for name in names}


def bounds(percentile):
    return {key: percentile.get(key) for key in ("value", "lower", "upper", "standing")}


def verdicts(report):
    """(percentile, limit in microseconds, true for met, false for missed, None for cannot tell) of each objective."""
    invalid = report["schema"].endswith("/1") and not report["validity"]["valid"]
    for slo in report["slo"]:
        name, limit = slo["objective"].split("<")
        yield name, int(limit.removesuffix("ns")) / 1e3, None if invalid else slo["met"]


def undisturbed(report):
    """The undisturbed view: what it kept and its figures in microseconds, or a note that says why there are none."""
    view = report.get("undisturbed") or {}
    # These runs have one class of good answers.
    [of] = (view.get("classes") or {"": {"note": "there is no view"}}).values()
    said = {key: view.get(key) for key in ("disturbances", "lost_s", "utilisation")} | {"note": of.get("note")}
    kept = of.get("kept")
    if not kept:
        return said
    response = kept["response_us"]
    return said | {
        "share": kept["share"], "count": kept["count"], "guard_us": kept["guard_us"], "p50": response["p50"], "p99": response["p99"],
        "lower_p99": kept["lower_us"]["p99"], "interval": kept["p99_interval_us"],
    }  # fmt: skip


def read_left_out(path):
    """The stretches of `left-out.csv`, in order and without overlaps."""
    with open(path) as lines:
        fields = [line.split(",") for line in list(lines)[1:]]
    spans = [(nanos(start), nanos(length)) for start, length, _ in fields]
    return [Stretch(start_ns, start_ns + length_ns) for start_ns, length_ns in spans]


def nanos(seconds):
    """Nanoseconds of a decimal number with nine digits after the point, which no float holds."""
    whole, part = seconds.split(".")
    return int(whole) * 1_000_000_000 + int(part)


def kept(rows, stretches, guard_ns):
    """The rows of requests that came in no stretch, and not within the guard before one."""
    ends_ns = [stretch.to_ns for stretch in stretches]

    def is_kept(row):
        index = bisect_right(ends_ns, row.received_ns)
        return index == len(stretches) or row.received_ns < stretches[index].from_ns - guard_ns

    return [row for row in rows if is_kept(row)]
