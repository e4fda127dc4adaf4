"""Medians of rounds with their intervals, as Markdown."""

import math
import statistics

# The probability with which an interval holds the median of all possible rounds.
LEVEL = 0.95


def cut(number):
    """How many values at each end the interval leaves out.

    The median lies beyond the outermost `cut + 1` values of one end with the probability that so many or fewer of
    `number` coins fall on one side.
    """
    best, tail = 0, 0.0
    for beyond in range(number // 2):
        tail += math.comb(number, beyond) / 2**number
        if 1 - 2 * tail < LEVEL:
            break
        best = beyond
    return best


def interval(values):
    """The bounds of the median; of fewer than six values all of them, which hold it less often."""
    ordered = sorted(values)
    beyond = cut(len(ordered))
    return ordered[beyond], ordered[-1 - beyond]


def told(values, form="{:.3f}"):
    """The median and its interval as a cell."""
    values = list(values)
    if not values:
        return "-"
    middle, (low, high) = statistics.median(values), interval(values)
    return f"**{form.format(middle)}** ({form.format(low)} to {form.format(high)})"


def ratios(lines, load, name, base, figure):
    """What one server has by what another has, of each round that has both."""
    of = {server: {line["round"]: figure(line) for line in lines if (line["load"], line["server"]) == (load, server)} for server in (name, base)}
    both = sorted(number for number in of[name].keys() & of[base].keys() if of[name][number] and of[base][number])
    return {number: of[name][number] / of[base][number] for number in both}
