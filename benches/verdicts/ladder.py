"""Runs with a ladder of objectives, and runs with one, each verdict of which is held against the truth."""

import math

from figures import NAMES, verdicts
from runs import line, run
from setups import setup

# Objectives that a run is given: a ladder with steps of 2 %. It begins at this multiple of the mean time of service. The
# truth is known after the run only; the step next to 10 % above or below it is looked up then.
STEP = 1.02
BOTTOMS = {"p50": 0.55, "p99": 0.8}
TOPS_US = {"p50": 4_000, "p99": 40_000}
# The slack of the issue, and of the way over loopback, which is measured.
SLACK = 0.01
FACTORS = {"above": 1.10, "below": 0.90}
# Every so many runs another of the same kind gets one objective, and its exit code is held against the truth. An odd
# number: with a neighbour and without in turn.
ASKED_EVERY = 5


def ladder(mean_us):
    """All objectives, as flags."""
    for name in NAMES:
        bottom_us = BOTTOMS[name] * mean_us
        steps = math.ceil(math.log(TOPS_US[name] / bottom_us) / math.log(STEP))
        for step in range(steps):
            yield f"--slo={name}<{bottom_us * STEP**step * 1e3:.0f}ns"


def is_wrong(limit_us, met, truth, way_us):
    """Whether a verdict contradicts the truth by more than the slack. What the client sees includes the way."""
    if met is None:
        return False
    return truth * (1 - SLACK) > limit_us if met else truth * (1 + SLACK) + way_us < limit_us


def judged(said, truth, way_us):
    """Of one percentile: the verdicts on the steps next to 10 % above and below what a client sees, and the wrong ones
    of all.
    """
    near = {}
    for side, factor in FACTORS.items():
        wanted_us = factor * (truth + way_us)
        limit_us, met = min(said, key=lambda step: abs(math.log(step[0] / wanted_us)))
        # A truth beyond the ladder, on a machine that stood still: nobody was asked.
        met = met if abs(math.log(limit_us / wanted_us)) < math.log(STEP) else None
        near[side] = {"limit_us": limit_us, "met": met, "wrong": is_wrong(limit_us, met, truth, way_us)}
    wrong = [[limit_us, met] for limit_us, met in said if is_wrong(limit_us, met, truth, way_us)]
    return near | {"asked": len(said), "decided": sum(met is not None for _, met in said), "wrong": wrong}


def expected_code(made, mets):
    """What the exit code has to be by what the same run says."""
    if not made["checked"]:
        return 1
    if not made["valid"]:
        return 4
    return 5 if False in mets else 3 if None in mets else 0


def laddered(number, seconds, way):
    """A run with the ladder: a line of the log."""
    made = setup(number)
    ended = run(made, seconds, list(ladder(made.mean_us)))
    found = line(number, made, seconds, ended, way)
    said = list(verdicts(ended.report))
    found["code_expected"] = expected_code(found, [met for *_, met in said])
    found["judged"] = {name: judged([(limit, met) for of, limit, met in said if of == name], found["truth_us"][name], way.way_us) for name in NAMES}
    return found


def asked(first, seconds, way):
    """A run of the same kind with one objective, 10 % above or below what a client of the first saw."""
    number = first["number"]
    made = setup(number)
    count = number // ASKED_EVERY
    name, side = NAMES[count // 2 % 2], list(FACTORS)[count // 4 % 2]
    limit_us = (first["truth_us"][name] + way.way_us) * FACTORS[side]
    ended = run(made, seconds, [f"--slo={name}<{limit_us * 1e3:.0f}ns"])
    found = line(number, made, seconds, ended, way) | {"objective": [name, side, limit_us]}
    [(_, limit_us, met)] = verdicts(ended.report)
    wrong = is_wrong(limit_us, met, found["truth_us"][name], way.way_us)
    return found | {"met": met, "code_expected": expected_code(found, [met]), "wrong": wrong}
