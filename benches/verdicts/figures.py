"""What a run says, read from `run.json`, and what its server knows, read from the server's rows."""

import math

NAMES = ("p50", "p99")
SHARES = {"p50": 0.5, "p99": 0.99}


def truth_us(path, seconds):
    """The percentiles from the kernel's stamps of requests and answers, of the last so many seconds; their count, and
    how many of the last answers lack a stamp.
    """
    with open(path) as lines:
        rows = [[int(field) for field in line.split(",")] for line in list(lines)[1:]]
    begun_ns = max(sent_ns for _, sent_ns, *_ in rows) - int(seconds * 1e9) if rows else 0
    # A request without a stamp is judged by its answer.
    last = [row for row in rows if (row[0] if row[3] else row[1]) >= begun_ns]
    times_ns = sorted(sent_ns - received_ns for received_ns, sent_ns, _, stamped in last if stamped)
    unstamped = len(last) - len(times_ns)
    us = {name: at(times_ns, share) / 1e3 for name, share in SHARES.items()} if times_ns else {}
    return us, len(times_ns), unstamped


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
