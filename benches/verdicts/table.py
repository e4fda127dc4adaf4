"""The table of a log of `verdicts.py`, as Markdown."""

import statistics

from figures import NAMES
from rivals import head
from texts import row, share

# What is demanded: the least share of decided objectives, without a neighbour and beside one.
LEAST = {False: {"p50": 1.0, "p99": 0.80}, True: {"p50": 0.95, "p99": 0.65}}
# What the host may take of the server's processor, as the server saw it, in a run without a neighbour: half of what lies
# beyond the p99. A host that takes more is a neighbour.
HOST_MAX = 0.005
SIDES = ("above", "below")
WORDS = {True: "met", False: "missed", None: "cannot tell"}
# More requests than this that only one side knows make a truth that is none. Neither side knows to which side of the
# warm-up's end the other counts a request: 0.1 s of 20.
STRAY_MAX = 0.01
# The same of requests without a stamp. All of them may be slow ones, of which only 1 % are beyond the p99.
UNSTAMPED_MAX = 0.0005


def told(line):
    """One run in one line, for whoever waits."""
    setup, truth = line["setup"], line["truth_us"]
    place = f"{setup['share'] * 100:.0f} % {setup['place']}" if setup["share"] else "alone"
    if line.get("taken_of_server") is not None:
        place += f", {line['taken_of_server'] * 100:.1f} % of the server taken"
    parts = [f"{line['number']:>3} {setup['law']} at {setup['rate']}/s, {place}: exit {line['code']}"]
    if "judged" not in line and "objective" not in line:
        view = line["undisturbed"]
        parts.append(view["note"] or f"{view['share'] * 100:.0f} % undisturbed, p99 {view['p99']:.0f} us, raw {line['says']['p99']['value']:.0f} us")
        if line.get("stalls"):
            parts.append(", ".join(f"{part} {of['stalled']} stalled of {of['count']}" for part, of in line["stalls"].items()))
    elif "objective" in line:
        name, _, limit_us = line["objective"]
        parts.append(f"{name}<{limit_us:.0f} us {WORDS[line['met']]}, truth {truth[name]:.0f} us{', WRONG' if line['wrong'] else ''}")
    else:
        for name in NAMES:
            judged, says = line["judged"][name], line["says"][name]
            sides = ", ".join(f"{side} {WORDS[judged[side]['met']]}" for side in SIDES)
            wrong = f", {len(judged['wrong'])} WRONG" if judged["wrong"] else ""
            parts.append(f"{name} {truth[name]:.0f} us, {says['standing']} {span(says)}: {sides}{wrong}")
    return "; ".join(parts)


def span(says):
    return " to ".join("-" if says[end] is None else f"{says[end]:.0f}" for end in ("lower", "upper"))


def is_beside(line):
    """Whether a neighbour of the script or the host took a processor."""
    return line["setup"]["share"] > 0 or (line.get("taken_of_server") or 0) > HOST_MAX


def decided(lines, name):
    """How many objectives near the truth were decided, and how many there were."""
    mets = [line["judged"][name][side]["met"] for line in lines for side in SIDES]
    return sum(met is not None for met in mets), len(mets)


def decided_by_bounds(lines, name):
    """How many objectives near the truth the bounds alone decide, without the sampling interval, and how many there were."""
    sides = [(line["says"][name], line["judged"][name][side]["limit_us"]) for line in lines for side in SIDES]
    return sum(says["upper"] <= limit_us or (says["lower"] or 0) > limit_us for says, limit_us in sides), len(sides)


def wrong_near(lines):
    return sum(line["judged"][name][side]["wrong"] for line in lines for name in NAMES for side in SIDES)


def rows_of(groups):
    """A table with a row for each group of runs."""
    row("runs", "number", *(f"{name} decided" for name in NAMES), "p99 by the bounds alone", "wrong of these", "wrong of all steps")
    row("---", *["--:"] * (len(NAMES) + 4))
    for title, lines in groups:
        asked = sum(line["judged"][name]["asked"] for line in lines for name in NAMES)
        wrong = sum(len(line["judged"][name]["wrong"]) for line in lines for name in NAMES)
        shares = [*(decided(lines, name) for name in NAMES), decided_by_bounds(lines, "p99")]
        row(title, len(lines), *(share(*each) for each in shares), wrong_near(lines), f"{wrong:,} of {asked:,}")


def grouped(lines, key):
    """(title, lines) for each value of a field of the setup, in order."""
    values = sorted({line["setup"][key] for line in lines}, key=lambda value: (isinstance(value, str), value))
    for value in values:
        for beside in (False, True):
            some = [line for line in lines if line["setup"][key] == value and is_beside(line) == beside]
            if some:
                yield f"{key.replace('_', ' ')} {value}{', beside a neighbour' if beside else ''}", some


def print_head(logs):
    """What was done, where and with what."""
    lines = [line for log in logs.values() for line in log]
    print("# Verdicts and the undisturbed view held against a server that is known\n")
    print("Made by `benches/verdicts/run.sh`. The target is a queue (`benches/truth/server.rs`): requests are served in the order of their arrival. Its record")
    print("has the time from the kernel's stamp of each request to that of its answer.\n")
    commits = sorted({f"{line['commit'][:12]} ({line['profile']}, {line['schema']})" for line in lines})
    lengths = ", ".join(f"{len(log)} runs of {seconds(log)} s ({part})" for part, log in logs.items() if log)
    print(f"{next(head([]))} Builds: {', '.join(commits)}. {lengths}. The server on one processor, the generator on another.")
    taken = [part for line in lines for part in line["taken"]]
    if taken:
        print(f"Each neighbour took 1 to 20 ms at a time, in all {min(taken) * 100:.0f} to {max(taken) * 100:.0f} % of the time of its run.")
    answers, unstamped = (sum(line[key] for line in lines) for key in ("answers", "unstamped"))
    print(f"Of {answers + unstamped:,} requests {unstamped:,} lack a stamp and are left out; {sum(line['errors'] for line in lines):,} failed.")
    ways = [f"{statistics.median(line[key] for line in lines if key in line):.1f} us {text}" for key, text in WAYS.items() if any(key in line for line in lines)]
    print(f"The way over loopback, measured with a server that answers at once, in the median: {', '.join(ways)}.")


def seconds(log):
    return " or ".join(str(each) for each in sorted({line["seconds"] for line in log}))


WAYS = {"way_us": "from stamp to client", "floor_us": "in all"}


def print_rule():
    print("\n## Verdicts\n")
    print("The truth is a percentile of the times from stamp to stamp, of the same run. A client sees the way over loopback besides. Each run has")
    print("objectives in steps of 2 %. Those next to 10 % above and below the truth and the way are *decided* if the run said met or missed. A verdict")
    print("is *wrong* if it contradicts the truth by more than 1 %, a miss also by more than the way.\n")
    print(f"A host that took more than {HOST_MAX * 100:.1f} % of the server's processor, in gaps of over 200 us that the server saw, is a neighbour, too.\n")


def print_extra(lines):
    """What widened or narrowed the bounds."""
    print("\n### Pauses\n")
    row("runs", "paused, median", "paused, most")
    row("---", "--:", "--:")
    for title, beside in (("without a neighbour", False), ("beside a neighbour", True)):
        some = [line for line in lines if is_beside(line) == beside]
        paused = [line["paused_share"] for line in some if line.get("paused_share") is not None]
        most = f"{max(paused) * 100:.1f} %" if paused else "-"
        row(title, percent(paused), most)


def percent(shares):
    return f"{statistics.median(shares) * 100:.1f} %" if shares else "-"


def print_standings(lines):
    print("\n### Standings\n")
    row("runs", *(f"{name} {standing}" for name in NAMES for standing in ("measured", "bounded", "unknown")))
    row("---", *["--:"] * 6)
    for title, beside in (("without a neighbour", False), ("beside a neighbour", True)):
        some = [line["says"] for line in lines if is_beside(line) == beside]
        row(title, *(sum(says[name]["standing"] == standing for says in some) for name in NAMES for standing in ("measured", "bounded", "unknown")))


def print_codes(lines):
    """Exit codes, and those that do not follow from the verdicts of the same run."""
    print("\n### Exit codes of runs with one objective\n")
    row("number", "objective", "truth", "said", "exit", "")
    row("--:", "---", "--:", "---", "--:", "---")
    for line in lines:
        name, side, limit_us = line["objective"]
        note = "**wrong**" if line["wrong"] else "" if is_code_right(line) else f"**not {line['code_expected']}**"
        row(line["number"], f"{name}<{limit_us:.0f} us ({side})", f"{line['truth_us'][name]:.0f} us", WORDS[line["met"]], line["code"], note)


def print_repeats(lines, one):
    """How far the truth of two runs of one setup lies apart: what no bound can narrow."""
    print("\n### Two runs of one setup\n")
    print("Their true percentiles differ by this much. The sampling interval of an objective has to cover it.\n")
    row("runs", "pairs", *(f"{name}, median" for name in NAMES), *(f"{name}, most" for name in NAMES))
    row("---", *["--:"] * (2 * len(NAMES) + 1))
    second = {line["number"]: line["truth_us"] for line in one}
    for title, is_with in (("without a neighbour of the script", False), ("beside a neighbour of the script", True)):
        pairs = [(line["truth_us"], second[line["number"]]) for line in lines if line["number"] in second and (line["setup"]["share"] > 0) == is_with]
        apart = {name: [max(a[name], b[name]) / min(a[name], b[name]) - 1 for a, b in pairs] for name in NAMES}
        most = [f"{max(apart[name], default=0) * 100:.1f} %" for name in NAMES]
        row(title, len(pairs), *(percent(apart[name]) for name in NAMES), *most)


def is_code_right(line):
    """Whether the exit code follows from what the run says."""
    if "valid" in line:
        return line["code"] == line["code_expected"]
    # An earlier log has the code that the verdicts lead to; 4 is for a run that says nothing at all.
    return line["code"] == (4 if line["says"]["p50"]["standing"] == "unknown" else line["code_expected"])


def strays(lines):
    """Runs whose truth is not of the requests that the run tells of."""
    for line in lines:
        whole, count = line["answers"] + line["unstamped"], max(line["count"], 1)
        if line["unstamped"] > UNSTAMPED_MAX * count or abs(whole - count) > STRAY_MAX * count:
            yield f"run {line['number']}: {line['count']:,} requests by mintbench, {whole:,} by the server, {line['unstamped']:,} without a stamp"


def print_wrong(lines, one):
    """Each wrong verdict."""
    found = [(line, name, step) for line in lines for name in NAMES for step in line["judged"][name]["wrong"]]
    if found:
        print("\n### Wrong verdicts\n")
    for line, name, (limit_us, met) in found:
        says = line["says"][name]
        print(f"- run {line['number']}, {line['setup']['law']} at {line['setup']['rate']}/s: {name}<{limit_us:.1f} us {WORDS[met]}; truth {line['truth_us'][name]:.1f} us, said {says['standing']}, {span(says)} us")
    return len(found) + sum(line["wrong"] for line in one)


def failures(lines, one, wrong):
    if wrong:
        yield f"{wrong} verdicts are wrong"
    for beside, least in LEAST.items():
        some = [line for line in lines if is_beside(line) == beside]
        for name in NAMES:
            part, whole = decided(some, name)
            if not whole or part < least[name] * whole:
                yield f"{name} {'beside' if beside else 'without'} a neighbour: {share(part, whole)} decided, {least[name] * 100:.0f} % are demanded"
    codes = [line for line in [*lines, *one] if not is_code_right(line)]
    if codes:
        yield f"{len(codes)} exit codes do not follow from the verdicts, first that of run {codes[0]['number']}"
    yield from strays([*lines, *one])


def print_all(log):
    """Prints all of this, and returns what does not hold."""
    lines = [line for line in log if "objective" not in line]
    one = [line for line in log if "objective" in line]
    print_rule()
    rows_of([("without a neighbour", [line for line in lines if not is_beside(line)]), ("beside a neighbour", [line for line in lines if is_beside(line)])])
    print("\n### By kind\n")
    rows_of([group for key in ("place", "kind", "utilisation", "mean_us", "busy") for group in grouped(lines, key)])
    print_standings(lines)
    print_extra(lines)
    if one:
        print_codes(one)
        print_repeats(lines, one)
    wrong = print_wrong(lines, one)
    return list(failures(lines, one, wrong))
