"""What load generators report of servers with a known law of delay, as Markdown; see `run.sh`."""

import functools
import math
import os
import sys

from rivals import NAMES, Failed, Job, Mintbench, Server, chosen, head, raise_file_limit, recorded, settle

LAWS = (
    # So long that the machine's own stalls, some milliseconds in a thousand, are within 2 % of it.
    "constant:100ms",
    "exponential:10ms:200ms",
    # At 95 % neither the p90 nor the p99 stands at the edge between the modes.
    "two-modes:0.95:10ms:100ms",
    "stall:5ms:100ms:1s",
)
# At half of the highest rate one processor cannot write at once what has come in 100 ms. There it is the law that
# answers leave one by one, so fast that what comes takes this share of the time. What a stall weighs is then more
# than the time it lasts.
STALL_BUSY = 0.85
# How much comes while one lasts, and how long it weighs, changes from one to the next.
STALL_PACED_S = 20
# Where a law jumps: the least lateness, or one answer more, puts the percentile anywhere in the jump.
EDGES = {"stall": ("p90",)}
# Up to here the server is woken well before an answer is due. Above, answers follow each other so closely that
# it would never sleep, and drive everything else that runs to the generator's processor.
EARLY_US, EARLY_MAX, SHORT_EARLY_US = 80, 10_000, 10
TOOLS = ("mintbench", "wrk2", "oha", "oha --latency-correction", "vegeta", "goose")
SECONDS = int(os.environ.get("SECONDS_EACH", "20"))
RIVAL_RATES = [int(rate) for rate in os.environ.get("RIVAL_RATES", "").split()]
ATTEMPTS = int(os.environ.get("ATTEMPTS", "8"))
# What the machine itself now and then holds everything up by.
MACHINE_STALL_S = 0.005
# To begin with.
CONNECTIONS_OF_HIGHEST = 1_000
# What the harness promises: the larger of the two.
SHARE, ABSOLUTE_US = 0.02, 30.0


def log(text):
    print(text, file=sys.stderr, flush=True)


@functools.cache
def answered_at_once(connections, most=400_000):
    """Requests per second that the generator gets answered by a server that answers at once, of so many."""
    with Server("floor") as at:
        return Mintbench().run(Job(at.url, 5, connections, most=most)).rate


def half_of_highest(law):
    """Half of the generator's highest rate, over as many connections as the law then needs: most of them wait,
    and each wait of the generator is for all of them.
    """
    first = answered_at_once(CONNECTIONS_OF_HIGHEST)
    needed = connections(law, first / 2)
    # With far more than it can do it would be behind with its warm-up to the end.
    highest = answered_at_once(needed, round(1.4 * first))
    print(f"\nThe generator's highest rate over {needed:,} connections against a server that answers at once: {highest:,.0f}/s.")
    return round(highest / 2_000) * 1_000


def connections(law, rate):
    """As many as wait at the same time, those of a stall of the machine, and some: a request that finds none free
    would wait for ours.
    """
    parts = law.split(":")
    means_s = [duration_s(part) for part in parts[1:] if part[-1] == "s"]
    if parts[0] == "two-modes":
        share = float(parts[1])
        waiting_s = share * means_s[0] + (1 - share) * means_s[1]
    else:
        waiting_s = sum(means_s[:2]) if parts[0] == "stall" else means_s[0]
    mean = rate * (waiting_s + MACHINE_STALL_S)
    return math.ceil(mean + 6 * math.sqrt(mean)) + 64


def duration_s(text):
    """Seconds of `250us`, `5ms` or `1s`."""
    for unit, factor in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0)):
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    raise ValueError(f"{text} is no time")


def seconds(law, rate):
    """Long enough for chance, as one standard error: it moves the p99.9 of a law without an upper end by 1 % with 200,000
    answers, 1.5 % with what comes in 100 s at the lowest rate, and the p99 of a stall, which is met by a tenth of the
    answers, by 0.5 %.
    """
    name = law.split(":")[0]
    answers = {"exponential": min(200_000, 100 * rate), "stall": 40_000}.get(name, 0)
    return max(SECONDS, STALL_PACED_S if is_paced(law) else 0, math.ceil(answers / rate))


def us(value):
    return "-" if value is None else f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def server(law, rate):
    # The first of all that its processor has to do, but asleep between requests: a processor that is never
    # idle leaves the system's own threads no place but the generator's.
    early_us = EARLY_US if rate <= EARLY_MAX else SHORT_EARLY_US
    return Server(law, spin=False, first=True, early_us=early_us)


def near(value, reference):
    return abs(value - reference) <= max(SHARE * reference, ABSOLUTE_US)


def off(value, reference):
    if value is None:
        return "-"
    difference = value - reference
    return f"{difference:+,.0f} us ({difference / reference * 100:+.1f} %)"


def away(values, reference, names):
    """The percentiles at which they are not alike."""
    return [name for name in names if not near(values[name], reference[name])]


def at_half(law, rate):
    """The law that a server can keep to at half of the highest rate."""
    return f"{law}:{STALL_BUSY / rate * 1e9:.0f}ns:{rate}" if law.startswith("stall") else law


def is_paced(law):
    return law.startswith("stall") and len(law.split(":")) > 4


def steps(law):
    """The percentiles at which a law says something definite."""
    # A pace makes a slope of the jump.
    edges = () if is_paced(law) else EDGES.get(law.split(":")[0], ())
    return [name for name in NAMES if name not in edges]


def verdict(names):
    return f"**not within at {', '.join(names)}**" if names else "within"


def disturbance(law, law_us, report, record):
    """What did to a run what neither generator nor law did, if anything."""
    if report.valid is False:
        return "; ".join(report.notes)
    # As the server's own record is judged.
    late = [
        name for name in steps(law)
        if name in report.lag_us and not near(law_us[name] + report.lag_us[name], law_us[name])
    ]  # fmt: skip
    if late:
        return f"the generator missed its schedule at {', '.join(late)}, by {us(report.lag_us[late[-1]])} us"
    missed = away(record["taken_us"], law_us, steps(law))
    return f"the server missed its law at {', '.join(missed)}" if missed else None


def undisturbed(law, law_us, rate, job_of):
    """The report of mintbench and the server's record of it, of the first run that nothing disturbed.

    What is looked at is whether the harness calls the run valid, whether the generator, by its own record, kept
    to its schedule (lag), and the server to its law; not the percentiles that the harness reports.
    """
    tool = Mintbench()
    tool.confined = False
    for attempt in range(1, ATTEMPTS + 1):
        with server(law, rate) as at:
            report, record = recorded(tool, at, job_of(at))
        settle()
        why = disturbance(law, law_us, report, record)
        if not why:
            break
        log(f"  attempt {attempt}: {why}")
    return report, record, attempt, why


def row(title, values, note=""):
    print(f"| {title} | {' | '.join(values)} | {note} |")


def ours(law, law_us, report, record, attempt, why):
    taken = record["taken_us"]
    off_law, off_record = (away(report.us, reference, steps(law)) for reference in (law_us, taken))
    row("law", [us(law_us[name]) for name in NAMES])
    row("server's record", [us(taken[name]) for name in NAMES], f"{record['count']:,} answers")
    row("server's record off the law", [off(taken[name], law_us[name]) for name in NAMES])
    row("**mintbench**", [us(report.us[name]) for name in NAMES], f"{'disturbed' if why else 'undisturbed'}, attempt {attempt}")
    row("mintbench off the law", [off(report.us[name], law_us[name]) for name in NAMES], verdict(off_law))
    row("mintbench off the record", [off(report.us[name], taken[name]) for name in NAMES], verdict(off_record))
    if why:
        print(f"\nEach of {attempt} runs was disturbed, the last because {why}.\n")
    return not (why or off_law or off_record)


def theirs(tools, law, law_us, rate):
    print("\n| generator | p50 | p90 | p99 | p99.9 | requests/s | off the law at p50, p90, p99, p99.9 |")
    print("|---|--:|--:|--:|--:|--:|---|")
    for tool in tools:
        log(f"  {tool.name}")
        try:
            with server(law, rate) as at:
                report = tool.run(Job(at.url, SECONDS, connections(law, rate), rate))
            settle()
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
    print(f"{SHARE * 100:.0f} % or {ABSOLUTE_US:.0f} us, whichever is more. A run that the harness calls invalid, or in which the server by its own record")
    print(f"missed its law, or the generator by its own record (lag) its schedule, was made anew, up to {ATTEMPTS} times; the percentiles that the")
    print(f"harness reported played no part in it. {SECONDS} s of load each, but of mintbench as many as an exponential law and stalls need.")
    print("Requests come at random (Poisson), which the law assumes. Where a law jumps")
    print("(the stall's p90: it lasts for a tenth of each second) nothing is judged: what it weighs is seen by the p99, in the midst of it.")
    print(f"At half of the highest rate answers leave one by one after a stall, so fast that what comes takes {STALL_BUSY * 100:.0f} % of the time, which is the law there.\n")
    print("\n".join(head(tools)))
    holds = True
    for law in os.environ.get("LAWS", " ".join(LAWS)).split():
        for word in os.environ.get("RATES", "1000 10000 half").split():
            rate = half_of_highest(law) if word == "half" else int(word)
            played = at_half(law, rate) if word == "half" else law
            law_us = Server.law(played)
            log(f"{played} at {rate}/s")
            print(f"\n## `{played}` at {rate:,}/s, {connections(played, rate)} connections\n")
            print("| | p50 | p90 | p99 | p99.9 | |")
            print("|---|--:|--:|--:|--:|---|")
            try:
                job_of = lambda at: Job(at.url, seconds(played, rate), connections(played, rate), rate)  # noqa: E731
                holds &= ours(played, law_us, *undisturbed(played, law_us, rate, job_of))
            except Failed as error:
                row("**mintbench**", ["-"] * 4, f"failed: {error}")
                holds = False
            if not RIVAL_RATES or rate in RIVAL_RATES:
                theirs([tool for tool in found if tool.name != "mintbench"], played, law_us, rate)
            sys.stdout.flush()
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
