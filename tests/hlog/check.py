"""Holds a result folder against what Java reads in its logs; `run.sh` calls it.

    check.py FOLDER PERCENTILES PROCESSED

PERCENTILES is the output of Percentiles.java, PROCESSED a folder with the output of HdrHistogram's own
HistogramLogProcessor for each tag of `response.hlog`, in microseconds.
"""

import json
import pathlib
import sys

NAMES = ("p50", "p90", "p99", "p999", "max")
# A histogram of three digits; both sides should name the same bucket, in the same way.
RESOLUTION = 0.001
# End of the tag of lower bounds.
LOWER = ".lower"


def read_percentiles(path):
    rows = {}
    for line in path.read_text().splitlines():
        log, tag, count, *values = line.split("\t")
        rows[log, tag] = int(count), dict(zip(NAMES, (int(value) / 1e3 for value in values)))
    return rows


class Check:
    def __init__(self):
        self.compared = 0
        self.wrong = []

    def equal(self, what, ours, java, tolerance=0.0):
        self.compared += 1
        if ours is None or abs(ours - java) > tolerance * java + 0.0005:
            self.wrong.append(f"{what}: {ours} here, {java} in Java")

    def percentiles(self, what, ours, java):
        for name in NAMES:
            if name in ours:
                self.equal(f"{what} {name}", ours[name], java[name], RESOLUTION)


def bound(percentiles, which):
    """One bound of response times of version 2; version 1 has plain numbers, which are upper bounds."""
    return {name: of[which] if isinstance(of, dict) else of for name, of in percentiles.items()}


def data_lines(path):
    """Value, percentile and count of each line of a percentile distribution."""
    lines = (line.split() for line in path.read_text().splitlines())
    return [[float(field) for field in line[:3]] for line in lines if len(line) >= 3 and line[0][0].isdigit()]


def distribution(check, tag, ours, java):
    check.equal(f"lines of response.{tag}.hgrm", len(ours), len(java))
    for mine, theirs in zip(ours, java):
        for name, a, b in zip(("value", "percentile", "count"), mine, theirs):
            check.equal(f"response.{tag}.hgrm {name} at {mine[1]}", a, b)


def lower_bounds(check, tag, ours, java):
    if ("response.hlog", tag + LOWER) not in java:
        check.wrong.append(f"response.hlog has no line of {tag}{LOWER}")
        return
    count, values = java["response.hlog", tag]
    lower_count, lower = java["response.hlog", tag + LOWER]
    check.equal(f"response.hlog {tag}{LOWER} count", lower_count, count)
    check.percentiles(f"response.hlog {tag}{LOWER}", bound(ours, "lower"), lower)
    for name in NAMES:
        if lower[name] > values[name]:
            check.wrong.append(f"response.hlog {tag} {name}: lower bound {lower[name]} above {values[name]}")


def main():
    folder, percentiles, processed = (pathlib.Path(path) for path in sys.argv[1:])
    run = json.loads((folder / "run.json").read_text())
    java, check = read_percentiles(percentiles), Check()
    for tag, ours in run["classes"].items():
        for log, key in (("response.hlog", "response_us"), ("service.hlog", "service_us")):
            if (log, tag) not in java:
                check.wrong.append(f"{log} has no line of {tag}")
                continue
            count, values = java[log, tag]
            if log == "response.hlog":
                check.equal(f"{log} {tag} count", ours["count"], count)
            check.percentiles(f"{log} {tag}", bound(ours[key], "value"), values)
        hgrm = folder / f"response.{tag}.hgrm"
        distribution(check, tag, data_lines(hgrm), data_lines(processed / f"{tag}.hgrm"))
    count, lag = java["lag.hlog", "*"]
    check.equal("lag.hlog count", sum(ours["count"] for ours in run["classes"].values()), count)
    check.percentiles("lag.hlog", run["validity"]["lag_us"], lag)
    tags = {tag for log, tag in java if log == "response.hlog" and tag != "*"}
    lower = {tag for tag in tags if tag.endswith(LOWER)}
    if tags - lower != set(run["classes"]):
        check.wrong.append(f"the log has the tags {sorted(tags)}")
    # Logs of older versions have no lower bounds.
    for tag, ours in run["classes"].items() if lower else ():
        lower_bounds(check, tag, ours["response_us"], java)
    for line in check.wrong:
        print(f"{folder}: {line}")
    print(f"{folder}: {check.compared} figures compared, {len(check.wrong)} differ")
    return bool(check.wrong)


if __name__ == "__main__":
    sys.exit(main())
