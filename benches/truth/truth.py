"""What load generators report of servers with a known law of delay, as Markdown; see `run.sh`."""

import math
import os
import sys

from rivals import NAMES, Failed, Job, Mintbench, Server, chosen, head, raise_file_limit, recorded, settle

LAWS = (
    "constant:2ms",
    "exponential:1ms:50ms",
    # At 95 % neither the p90 nor the p99 stands at the edge between the modes.
    "two-modes:0.95:500us:10ms",
    "stall:500us:100ms:1s",
)
TOOLS = ("mintbench", "wrk2", "oha", "oha --latency-correction", "vegeta", "goose")
SECONDS = int(os.environ.get("SECONDS_EACH", "20"))
RIVAL_RATES = [int(rate) for rate in os.environ.get("RIVAL_RATES", "").split()]
ATTEMPTS = int(os.environ.get("ATTEMPTS", "5"))
# What the harness promises: the larger of the two.
SHARE, ABSOLUTE_US = 0.02, 30.0


def log(text):
    print(text, file=sys.stderr, flush=True)


def highest_rate():
    """What the generator gets answered by a server that answers at once."""
    with Server("floor") as server:
        return Mintbench().run(Job(server.url, 5, 64, arrivals="constant")).rate


def connections(law, rate):
    """As many as wait at the same time, and some: a request that finds none free would wait for ours."""
    parts = law.split(":")
    units = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
    seconds = [
        float(part.removesuffix(unit)) * factor
        for part in parts
        for unit, factor in units.items()
        if part.endswith(unit) and part.removesuffix(unit).replace(".", "").isdigit()
    ]
    waiting = max(seconds[:2]) if law.startswith("stall") else seconds[0]
    if law.startswith("two-modes"):
        waiting = seconds[-1]
    mean = rate * waiting
    return math.ceil(mean + 6 * math.sqrt(mean)) + 64


def seconds(law, rate):
    """Long enough that chance moves the p99.9 of a law without an upper end by 1 % only (one standard error)."""
    answers = 210_000 if law.startswith("exponential") else 0
    return max(SECONDS, math.ceil(answers / rate))


def us(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def near(value, reference):
    return abs(value - reference) <= max(SHARE * reference, ABSOLUTE_US)


def off(value, reference):
    if value is None:
        return "-"
    difference = value - reference
    return f"{difference:+,.0f} us ({difference / reference * 100:+.1f} %)"


def verdict(report, reference):
    return "within" if all(near(report.us[name], reference[name]) for name in NAMES) else "**not within**"


def measured(tool, law, job_of):
    """The report of a generator and the server's record of it; again while it says that it is invalid."""
    for attempt in range(1, ATTEMPTS + 1):
        with Server(law) as server:
            report, record = recorded(tool, server, job_of(server))
        settle()
        if report.valid is not False:
            break
        log(f"  attempt {attempt} is invalid: {'; '.join(report.notes)}")
    return report, record, attempt


def row(title, values, note=""):
    print(f"| {title} | {' | '.join(values)} | {note} |")


def ours(law_us, report, record, attempt):
    taken = record["taken_us"]
    validity = f"valid at attempt {attempt}" if report.valid else f"invalid {attempt} times of {attempt}"
    row("law", [us(law_us[name]) for name in NAMES])
    row("server's record", [us(taken[name]) for name in NAMES], f"{record['count']:,} answers")
    row("server's record off the law", [off(taken[name], law_us[name]) for name in NAMES], verdict_of_server(taken, law_us))
    row("**mintbench**", [us(report.us[name]) for name in NAMES], validity)
    row("mintbench off the law", [off(report.us[name], law_us[name]) for name in NAMES], verdict(report, law_us))
    row("mintbench off the record", [off(report.us[name], taken[name]) for name in NAMES], verdict(report, taken))
    if not report.valid:
        print(f"\nThe last run says of itself: {'; '.join(report.notes)}.\n")
    # A server that missed its own law tells nothing of the generator by it: its record does.
    reference = law_us if verdict_of_server(taken, law_us) == "within" else taken
    return bool(report.valid) and verdict(report, reference) == "within"


def verdict_of_server(taken, law_us):
    return "within" if all(near(taken[name], law_us[name]) for name in NAMES) else "**the server missed its law**"


def theirs(tools, law, law_us, rate):
    print("\n| generator | p50 | p90 | p99 | p99.9 | requests/s | off the law at p50, p90, p99, p99.9 |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for tool in tools:
        log(f"  {tool.name}")
        try:
            report, _, _ = measured(tool, law, lambda server: Job(server.url, SECONDS, connections(law, rate), rate))
        except Failed as error:
            print(f"| {tool.name} | - | - | - | - | - | failed: {error} |")
            continue
        far = ", ".join(off(report.us[name], law_us[name]) for name in NAMES)
        notes = f"; {'; '.join(report.notes)}" if report.notes else ""
        print(f"| {tool.name} | {' | '.join(us(report.us[name]) for name in NAMES)} | {report.rate:,.0f} | {far}{notes} |")


def main():
    raise_file_limit()
    tools = chosen(TOOLS)
    found = [tool for tool in tools if tool.path()]
    print("# What is reported of a server whose delays are known\n")
    print("Made by `benches/truth/run.sh`. Microseconds. A percentile is *within* where it differs by at most")
    print(f"{SHARE * 100:.0f} % or {ABSOLUTE_US:.0f} us, whichever is more; a run that the harness calls invalid was made anew, up to")
    print(f"{ATTEMPTS} times. {SECONDS} s of load each, but of mintbench as many as an exponential law needs. Its requests come at random (Poisson), which the law assumes.\n")
    print("\n".join(head(tools)))
    rates = os.environ.get("RATES", "").split()
    if not rates:
        highest = highest_rate()
        print(f"\nThe generator's highest rate against a server that answers at once: {highest:,.0f}/s.")
        rates = [1_000, 10_000, round(highest / 2, -3)]
    holds = True
    for law in os.environ.get("LAWS", " ".join(LAWS)).split():
        law_us = Server.law(law)
        for rate in map(int, rates):
            log(f"{law} at {rate}/s")
            print(f"\n## `{law}` at {rate:,}/s, {connections(law, rate)} connections\n")
            print("| | p50 | p90 | p99 | p99.9 | |")
            print("|---|--:|--:|--:|--:|---|")
            try:
                holds &= ours(law_us, *measured(Mintbench(), law, lambda server: Job(server.url, seconds(law, rate), connections(law, rate), rate)))
            except Failed as error:
                row("**mintbench**", ["-"] * 4, f"failed: {error}")
                holds = False
            if not RIVAL_RATES or rate in RIVAL_RATES:
                theirs([tool for tool in found if tool.name != "mintbench"], law, law_us, rate)
            sys.stdout.flush()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
