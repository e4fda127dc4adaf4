"""Holds the work of a build for a request against limits.toml:

    benches/count/limits.py target/release/mintbench            # exits 1 if it grew
    benches/count/limits.py target/release/mintbench --write    # counts, and writes limits.toml anew

`mintbench gate --count` counts, of the build that is held against the limits. Its profile is that of `.ci/run release`.
"""

import argparse
import json
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass

FILE = pathlib.Path(__file__).with_name("limits.toml")
# What may grow without a new limit.
GROWTH = 0.01
# Instructions may grow by so much where other tools count: an allocator of another C library alone takes some per cent.
GROWTH_ELSEWHERE = 0.05
WORKS = ("instructions", "allocations", "system-calls")
# Work of another cause can only be added, so the least count holds.
COUNTS_MAX = 6

SERVE = "{program} serve --imds 127.0.0.1:{port} --sts 127.0.0.1:0 --arm 127.0.0.1:0 --vault 127.0.0.1:0 --admin 127.0.0.1:0 --workers 1 --mint-lanes 1"
URL = "http://127.0.0.1:{port}/metadata/identity/oauth2/token?resource=https%3A%2F%2Fmanagement.azure.com%2F&api-version="
METADATA = ("--header", "Metadata: true")
# With Host, which the counter sends too, five fields.
FOUR = (*METADATA, "--header", "User-Agent: azsdk-python-identity/1.27.0", "--header", "Accept-Encoding: gzip, deflate", "--header", "Accept: */*")


@dataclass(frozen=True)
class Counting:
    """One call of `gate --count`: its flags, and the names that the classes of its requests have here."""

    flags: tuple
    names: dict


COUNTINGS = (
    # Nine fields as azure-identity for Python sends them, of which the id of the request changes; RS256.
    Counting((), {"hit": "hit", "miss": "miss", "refused": "refused"}),
    Counting(("--command", SERVE, "--url", URL + "2018-02-01", *FOUR), {"all": "hit-five-fields"}),
    # Each hit takes a permit of its machine, and none is refused.
    Counting(("--command", f"{SERVE} --throttle identity=1000000/s,concurrent=1000,metadata=5/s", "--url", URL + "2018-02-01", *FOUR), {"all": "hit-throttled"}),
    # A token is signed for each request. Of an RS256 signature the rest would be a small part.
    Counting(("--command", f"{SERVE} --alg ES256", "--url", URL + "2023-07-01&bypass_cache=true", *METADATA), {"all": "mint-ES256"}),
)


def fail(text, code=2):
    print(f"error: {text}", file=sys.stderr)
    sys.exit(code)


def counted(mintbench, counting):
    """The least count of each work by class, of two processes, and what else the figures depend on."""
    command = [mintbench, "gate", "--count", "--counts", "1", "--json", "--base", mintbench, "--candidate", mintbench, *counting.flags]
    # The servers of --command are killed, and leave what they have in there.
    with tempfile.TemporaryDirectory() as folder:
        ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": folder})
    if not ended.stdout.strip():
        fail(f"`{' '.join(command)}` ended with {ended.returncode}")
    gate = json.loads(ended.stdout)
    if gate["failures"]:
        fail(f"the build answers wrongly: {'; '.join(gate['failures'])}", 1)
    of = {(counting.names[metric["class"]], metric["work"]): min(metric["base"] + metric["candidate"]) for metric in gate["metrics"]}
    return {key: figure for key, figure in of.items() if key[1] in WORKS}, made_by(gate)


def made_by(gate):
    """What figures depend on beside the code. The build counts itself."""
    return {"counter": gate["counter"], "c-library": " ".join(platform.libc_ver()), "rustc": gate["build"]["rustc"], "profile": gate["build"]["profile"]}


def least(one, other):
    return {key: min(figure, other.get(key, figure)) for key, figure in one.items()}


def allowed(limit, work, is_elsewhere):
    return limit * (1 + (GROWTH_ELSEWHERE if is_elsewhere and work == "instructions" else GROWTH))


def grown(figures, limits, is_elsewhere):
    """The metrics beyond their limit, and those without one."""
    return [key for key in figures if key not in limits or figures[key] > allowed(limits[key], key[1], is_elsewhere)]


def read():
    """The limits by class and work, and what counted them."""
    try:
        text = tomllib.loads(FILE.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        fail(f"cannot read the limits: {error}; write them by `limits.py MINTBENCH --write`")
    by = text.pop("made-by")
    return {(name, work): figure for name, works in text.items() for work, figure in works.items()}, by


def write(figures, by):
    lines = ["# Work of mintbench for a request. A figure that grows by more than 1 % fails `.ci/run counts`.", "# Written by `python3 benches/count/limits.py target/release/mintbench --write`.", "", "[made-by]"]
    lines += [f'{name} = "{value}"' for name, value in by.items()]
    for name in dict.fromkeys(name for name, _ in figures):
        lines += ["", f"[{name}]"]
        lines += [f"{work} = {number(figures[name, work])}" for work in WORKS]
    FILE.write_text("\n".join(lines) + "\n")


def number(figure):
    return f"{figure:.0f}" if figure >= 1000 else f"{figure:.2f}".rstrip("0").rstrip(".")


def sentence(key, figures, limits, is_elsewhere):
    name, now = ".".join(key), number(figures[key])
    if key not in limits:
        return f"{name} is {now} and has no limit"
    growth = f" ({(figures[key] / limits[key] - 1) * 100:+.1f} %)" if limits[key] else ""
    most = number(allowed(limits[key], key[1], is_elsewhere))
    return f"{name} is {now}{growth}; the limit is {number(limits[key])}, and up to {most} is let pass"


def print_all(figures, limits):
    for key, figure in figures.items():
        limit = number(limits[key]) if key in limits else "-"
        print(f"{'.'.join(key):<32} {number(figure):>12}   limit {limit:>12}")


def check(mintbench):
    limits, by = read()
    figures, unlike = {}, {}
    for counting in COUNTINGS:
        of, here = counted(mintbench, counting)
        unlike = {name: value for name, value in here.items() if by.get(name) != value}
        if "profile" in unlike:
            fail(f"{mintbench} has the profile {here['profile']}, the limits are of {by.get('profile')}: `.ci/run release` builds it")
        for _ in range(COUNTS_MAX - 1):
            if not grown(of, limits, bool(unlike)):
                break
            of = least(of, counted(mintbench, counting)[0])
        figures |= of
    print_all(figures, limits)
    for name, value in unlike.items():
        print(f"note: the limits were made by {by.get(name)}, here is {value}: instructions may be {GROWTH_ELSEWHERE * 100:.0f} % above their limit")
    for key in sorted(limits.keys() & figures.keys()):
        if figures[key] < limits[key] * (1 - GROWTH):
            print(f"note: {sentence(key, figures, limits, bool(unlike))}. Write the limits anew, or a later growth stays unseen")
    beyond = grown(figures, limits, bool(unlike))
    verdict([sentence(key, figures, limits, bool(unlike)) for key in beyond])


def verdict(beyond):
    if not beyond:
        print("no figure is beyond its limit")
        return
    for one in beyond:
        print(f"error: {one}", file=sys.stderr)
    where = FILE.relative_to(pathlib.Path.cwd()) if FILE.is_relative_to(pathlib.Path.cwd()) else FILE
    print(
        f"a request takes more work than {where} allows. `mintbench gate --count --base-rev REV --candidate-rev HEAD` names the functions that grew.\n"
        "If the growth is worth its cost, write the new figures in the same commit:\n"
        "  python3 benches/count/limits.py target/release/mintbench --write",
        file=sys.stderr,
    )
    sys.exit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mintbench")
    parser.add_argument("--write", action="store_true", help="count, and write the limits anew")
    given = parser.parse_args()
    mintbench = str(pathlib.Path(given.mintbench).resolve())
    if not os.access(mintbench, os.X_OK):
        fail(f"there is no program {mintbench}; `.ci/run release` builds target/release/mintbench")
    if not given.write:
        return check(mintbench)
    figures = {}
    for counting in COUNTINGS:
        of, here = counted(mintbench, counting)
        figures |= least(of, counted(mintbench, counting)[0])
    write(figures, here)
    print_all(figures, figures)


if __name__ == "__main__":
    main()
