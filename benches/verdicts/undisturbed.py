"""The undisturbed view held against the law of the server: runs, and their table."""

import math
import statistics

from law import added_us
from runs import line, run
from setups import SMOOTH, Setup, undisturbed_setup
from texts import row, share

# What is demanded: of so many disturbed runs that show a view, such a share within the larger of the two.
RUNS_MIN, WITHIN_MIN = 40, 0.9
NEAR_SHARE, NEAR_US = 0.05, 30
# A run is disturbed if its raw p99 is further from the law than this.
DISTURBED = 0.20
KEPT_MIN = 1 / 3


def made(number, seconds, way):
    """A run without objectives: a line of the log."""
    of = undisturbed_setup(number)
    return line(number, of, seconds, run(of, seconds, []), way)


def has_view(line):
    """Whether the run says anything of the undisturbed view; the log of an earlier version may not."""
    return line.get("undisturbed") is not None and line.get("handling_us") is not None and line["says"]["p99"]["value"] is not None


class Held:
    """A run beside its law."""

    def __init__(self, line, laws, costs_us):
        self.setup = Setup.of_json(line["setup"])
        # What a server at work does beside its service is work too.
        self.law = laws.of(self.setup, costs_us if self.setup.busy else 0.0)
        self.law_us = self.law["p99"] + added_us(line)
        self.line, self.view, self.raw_us = line, line["undisturbed"], line["says"]["p99"]["value"]
        self.is_smooth, self.is_beside = self.setup.kind in SMOOTH, self.setup.share > 0
        self.is_disturbed = abs(self.raw_us - self.law_us) > DISTURBED * self.law_us
        self.is_shown = self.view["note"] is None and self.view["share"] >= KEPT_MIN

    @property
    def off_us(self):
        return self.view["p99"] - self.law_us

    @property
    def near_us(self):
        return max(NEAR_SHARE * self.law_us, NEAR_US)

    @property
    def is_within(self):
        return abs(self.off_us) <= self.near_us

    @property
    def holds_law(self):
        """Whether the law lies in the printed interval."""
        low, high = self.view["interval"] or (math.inf, -math.inf)
        return low <= self.law_us <= high

    @property
    def chance(self):
        """The probability that as many requests of the law itself have a p99 that is within."""
        deviation_us = self.law["spread"] / math.sqrt(self.view["count"]) * self.law["p99"]
        return math.erf(self.near_us / deviation_us / math.sqrt(2)) if deviation_us else 1.0


def costs(lines):
    """Microseconds that a server at work needs for a request beside its service, in the median of all runs. To the
    microsecond, so that a law is simulated once.
    """
    known = [line["overhead_us"] for line in lines if line.get("overhead_us")]
    return float(round(statistics.median(known))) if known else 0.0


def held(lines, laws, costs_us):
    return [Held(line, laws, costs_us) for line in lines if has_view(line)]


def print_table(groups):
    """A row for each group of disturbed runs: (title, runs)."""
    row("disturbed runs", "number", "shown", "law smooth", "p99 within", "by chance alone", "median off", "two modes", "law in the interval")
    row("---", *["--:"] * 8)
    for title, runs in groups:
        shown = [run for run in runs if run.is_shown]
        smooth, modes = [run for run in shown if run.is_smooth], [run for run in shown if not run.is_smooth]
        off = f"{statistics.median(run.off_us / run.law_us for run in smooth) * 100:+.1f} %" if smooth else "-"
        row(
            title, len(runs), share(len(shown), len(runs)), len(smooth), share(sum(run.is_within for run in smooth), len(smooth)),
            f"{sum(run.chance for run in smooth):.1f}", off, len(modes), share(sum(run.holds_law for run in modes), len(modes)),
        )  # fmt: skip


def print_quiet(runs):
    """How well the law fits where there was no neighbour: a check of the law rather than of the harness."""
    quiet = [run for run in runs if not run.is_beside and not run.is_disturbed and run.is_smooth]
    if quiet:
        off = statistics.median((run.raw_us - run.law_us) / run.law_us for run in quiet)
        far = statistics.median(abs(run.raw_us - run.law_us) / run.law_us for run in quiet)
        print(f"\nThe law itself: in {len(quiet)} runs without a neighbour and with a smooth law, the raw p99 is off the law by {off * 100:+.1f} %")
        print(f"in the median ({far * 100:.1f} % without sign).")


def print_far(runs):
    """The runs that are not within, and those that show nothing."""
    far = [run for run in runs if run.is_shown and not (run.is_within if run.is_smooth else run.holds_law)]
    for run in far:
        line, view = run.line, run.view
        interval = "none" if view["interval"] is None else " to ".join(f"{end:.0f}" for end in view["interval"])
        print(
            f"- run {line['number']}, {run.setup.law} at {run.setup.rate}/s, {run.setup.share * 100:.0f} % {run.setup.place}: law {run.law_us:.0f} us, "
            f"raw {run.raw_us:.0f} us, undisturbed {view['p99']:.0f} us (interval {interval}), {view['share'] * 100:.0f} % kept"
        )
    notes = [run.view["note"] for run in runs if not run.is_shown]
    for note in sorted({without_numbers(note) for note in notes}):
        print(f"- {sum(without_numbers(each) == note for each in notes)} runs without a view: {note}")


def without_numbers(note):
    """A note of which runs with other numbers have the same."""
    return "".join("N" if letter.isdigit() else letter for letter in note).replace("NN", "N")


def failures(runs):
    shown = [run for run in runs if run.is_shown]
    smooth, modes = [run for run in shown if run.is_smooth], [run for run in shown if not run.is_smooth]
    if len(smooth) < RUNS_MIN:
        yield f"{len(smooth)} disturbed runs of smooth laws show an undisturbed p99, {RUNS_MIN} are demanded"
    for some, what, hits in ((smooth, "within 5 % or 30 us of the law", "is_within"), (modes, "with the law of two modes in the interval", "holds_law")):
        part = sum(getattr(run, hits) for run in some)
        if part < WITHIN_MIN * len(some):
            yield f"{share(part, len(some))} {what}, {WITHIN_MIN * 100:.0f} % are demanded"


def print_all(lines, others, laws):
    """Prints the table of the runs that were made for it, and of other runs, and yields what does not hold."""
    print("\n## The undisturbed view\n")
    costs_us = costs([*lines, *others])
    runs, before = held(lines, laws, costs_us), held(others, laws, costs_us)
    error = max((run.law["error"] for run in [*runs, *before]), default=0.0)
    print(f"The law is the p99 of the queue without any disturbance, simulated with a standard error of at most {error * 100:.1f} %, the way over loopback, and")
    print("what the server adds to its law in the median of the run, by its own record. A run beside a neighbour is *disturbed* if its raw p99 is off")
    print(f"the law by more than {DISTURBED * 100:.0f} %, *shown* if the view kept at least a third, and *within* if the undisturbed p99 is at most {NEAR_SHARE * 100:.0f} % or {NEAR_US} us")
    print("off the law, whichever is more. *By chance alone* is how many would be within if as many requests of an undisturbed queue had been measured.")
    if costs_us:
        print(f"A server at work needs {costs_us:.0f} us for a request beside its service, by its own record; the law contains it.")
    print()
    disturbed = [run for run in runs if run.is_disturbed]
    groups = [("all that were made for this", disturbed)]
    for key in ("place", "kind", "utilisation"):
        values = sorted({getattr(run.setup, key) for run in disturbed})
        groups += [(f"{key} {value}", [run for run in disturbed if getattr(run.setup, key) == value]) for value in values]
    print_table([*groups, ("runs of the verdicts, shorter", [run for run in before if run.is_disturbed and run.is_beside])])
    print_quiet([*before, *runs])
    if disturbed:
        print("\nNot within, or not shown:\n")
        print_far(disturbed)
    return list(failures(disturbed))
