"""Folds a profile of Callgrind for inferno-flamegraph: a line for each stack, with the instructions of its last function.

Callgrind was run with `--separate-callers`, so that a name has those of its callers behind it: `f'caller'of the caller`.
"""

import re
import sys
from collections import Counter

NAME = re.compile(r"\((\d+)\)(?: (.*))?")


def folded(lines):
    """Instructions of each stack, the outermost function first."""
    names, own, current, is_of_call = {}, Counter(), None, False
    for line in lines:
        key, _, value = line.rstrip("\n").partition("=")
        if key in ("fn", "cfn"):
            number, name = NAME.fullmatch(value).groups()
            names.setdefault(number, name)
            current = names[number] if key == "fn" else current
        elif key == "calls":
            is_of_call = True
        elif current and re.match(r"[\d+*-]", line):
            # The line after `calls` has what the called function cost.
            cost = int((line.split() + ["0"])[1])
            own[current] += 0 if is_of_call else cost
            is_of_call = False
    return {";".join(reversed(name.replace(";", ",").split("'"))): cost for name, cost in own.items() if cost}


def main():
    stacks = Counter()
    for path in sys.argv[1:]:
        with open(path) as lines:
            stacks.update(folded(lines))
    for stack, cost in sorted(stacks.items()):
        print(stack, cost)


if __name__ == "__main__":
    main()
