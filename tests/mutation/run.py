"""Tests the tests of the guards: makes each mutant that cargo-mutants lists, and runs the tests that reach it.

    tests/mutation/run.py [--threats] [--only TEXT] [--out FILE]

cargo-mutants itself builds the library once for each mutant, which takes hours. Here all mutants are in one build, each
behind a switch (`switches.py`), and each one meets only the tests that reach it. Mutants that do not compile are left out,
as cargo-mutants leaves them out, and so are those in a `const fn`. `.cargo/mutants.toml` says which functions are guards; `explained.toml` explains those
mutants that no test can notice. `guards.toml` has the guards against threats, each with the test that must fail
without it. Ends with 1 if another mutant survives, or if such a test does not fail.
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from switches import MARK, SWITCH, rewrite

ROOT = Path(__file__).resolve().parents[2]
TREE = ROOT / "target" / "mutation" / "tree"
# Names of the mutants that did not compile, so that the next run need not find them again.
UNFIT = TREE.parent / "unfit.json"
# What the guards do not need, and what would take time to compile.
LEFT_OUT = re.compile(r"^(#\[cfg\(any\(test, fuzzing\)\)\]\n#\[doc\(hidden\)\]\n)?pub mod (cli|fuzz|harness);\n", re.M)
TIMEOUT_S = 300


def listed():
    command = ["cargo", "mutants", "--list", "--json"]
    mutants = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout)
    for number, mutant in enumerate(mutants):
        mutant["number"] = number
    return mutants


def guards(first):
    """Returns the guards against threats as mutants, with numbers from `first` on."""
    every = tomllib.loads((Path(__file__).parent / "guards.toml").read_text())["guard"]
    return [{**one, "genre": "Guard removed", "number": first + at} for at, one in enumerate(every)]


def plant(mutants):
    """Writes the tree with the switches of `mutants`. Returns the numbers of those that have a switch."""
    shutil.rmtree(TREE, ignore_errors=True)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in tracked.splitlines():
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, TREE / name)
    by_file = collections.defaultdict(list)
    for mutant in mutants:
        by_file[mutant["file"]].append(mutant)
    without = set()
    for name, own in by_file.items():
        text, none = rewrite((ROOT / name).read_text(), own)
        (TREE / name).write_text(text)
        without.update(none)
    (TREE / "src/switch.rs").write_text(SWITCH)
    library = LEFT_OUT.sub("", (ROOT / "src/lib.rs").read_text())
    (TREE / "src/lib.rs").write_text(library + "pub mod switch;\n")
    return {mutant["number"] for mutant in mutants} - without


def build(mutants):
    """Builds the tests of the library. Returns the program, and the mutants that have a switch and compile."""
    unfit = set(json.loads(UNFIT.read_text())) if UNFIT.is_file() else set()
    left = [mutant for mutant in mutants if mutant.get("name") not in unfit]
    while True:
        numbers = plant(left)
        if len(numbers) < len(left):
            print(f"{len(left) - len(numbers)} mutants have no switch", file=sys.stderr)
        left = [mutant for mutant in left if mutant["number"] in numbers]
        # The dependencies are those of `cargo test --workspace`, already compiled.
        environment = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target")}
        command = ["cargo", "test", "--workspace", "--lib", "--no-run", "--locked", "--message-format", "json"]
        built = subprocess.run(command, cwd=TREE, env=environment, stdout=subprocess.PIPE, text=True)
        messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
        if built.returncode == 0:
            return next(one["executable"] for one in messages if is_of_library(one)), left
        errors = [one["message"] for one in messages if one.get("reason") == "compiler-message"]
        errors = [error for error in errors if error["level"] == "error"]
        wrong = set().union(*(marked(error) for error in errors))
        if not wrong:
            sys.exit("".join(error["rendered"] for error in errors) + "no switch is to blame for these errors")
        print(f"{len(wrong)} mutants do not compile", file=sys.stderr)
        unfit.update(mutant["name"] for mutant in left if mutant["number"] in wrong and "name" in mutant)
        UNFIT.write_text(json.dumps(sorted(unfit)))
        left = [mutant for mutant in left if mutant["number"] not in wrong]


def is_of_library(message):
    return bool(message.get("executable")) and message["target"]["name"] == "mintbench"


def marked(message):
    """Returns the mutants on the lines of an error."""
    for only_primary in (True, False):
        found = set()
        for span in message["spans"]:
            if only_primary and not span["is_primary"]:
                continue
            lines = (TREE / span["file_name"]).read_text().splitlines() if (TREE / span["file_name"]).is_file() else []
            text = "\n".join(lines[span["line_start"] - 1:span["line_end"]])
            found.update(int(number) for number in MARK.findall(text))
        if found:
            return found
    return set()


def reached(program, test):
    """Returns the time that a test takes, and the mutants that it reaches."""
    begun = time.monotonic()
    with tempfile.NamedTemporaryFile() as log:
        environment = {**os.environ, "MUTANT_REACHED": log.name}
        done = subprocess.run([program, "--exact", test], cwd=TREE, env=environment, capture_output=True)
        if done.returncode != 0:
            sys.exit(f"{test} fails without a mutant:\n{done.stdout.decode()}")
        numbers = {int(number) for number in Path(log.name).read_text().split()}
        return test, time.monotonic() - begun, numbers


def batches(tests, seconds):
    """Parts tests, the fastest first, into batches of which each takes about twice as long as the one before."""
    left, most_s = sorted(tests, key=lambda test: seconds[test]), 0.5
    while left:
        batch = [left.pop(0)]
        while left and sum(seconds[test] for test in [*batch, left[0]]) <= most_s:
            batch.append(left.pop(0))
        most_s *= 2
        yield batch


def survives(program, number, tests):
    environment = {**os.environ, "MUTANT": str(number), "PROPTEST_CASES": "64", "PROPTEST_FAILURE_PERSISTENCE": "off"}
    try:
        done = subprocess.run([program, "--exact", *tests], cwd=TREE, env=environment, timeout=TIMEOUT_S,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return done.returncode == 0
    except subprocess.TimeoutExpired:
        return False


def every_test(program):
    names = subprocess.run([program, "--list"], cwd=TREE, check=True, capture_output=True, text=True).stdout
    return [line.removesuffix(": test") for line in names.splitlines() if line.endswith(": test")]


def unguarded(program, removed):
    """Returns a sentence for each guard without which its test does not fail."""
    wrong = []
    for one in removed:
        tests = [test for test in every_test(program) if test.rsplit("::", 1)[-1].startswith(one["test"])]
        if len(tests) != 1:
            wrong.append(f"threat {one['threat']}: {len(tests)} tests begin with `{one['test']}`, not one")
        elif not survives(program, -1, tests):
            wrong.append(f"threat {one['threat']}: {tests[0]} fails with all guards")
        elif survives(program, one["number"], tests):
            wrong.append(f"threat {one['threat']}: {tests[0]} does not notice that `{one['guard']}` is gone")
        else:
            print(f"threat {one['threat']}: {tests[0]} fails without `{one['guard']}`")
    return wrong


def judged(program, mutants):
    """Returns the outcome of each mutant: `caught`, `missed` or `unreached`."""
    tests = every_test(program)
    by_mutant, seconds = collections.defaultdict(list), {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for test, seconds[test], numbers in pool.map(lambda test: reached(program, test), tests):
            for number in numbers:
                by_mutant[number].append(test)

        def outcome(mutant):
            reaching = by_mutant[mutant["number"]]
            # Tests of the same module are the likeliest to fail.
            module = mutant["file"].removeprefix("src/").removesuffix(".rs").removesuffix("/mod").replace("/", "::")
            near = [test for test in reaching if test.startswith(module)]
            rest = [test for test in reaching if not test.startswith(module)]
            every = [*batches(near, seconds), *batches(rest, seconds)]
            survived = all(survives(program, mutant["number"], batch) for batch in every)
            verdict = ("missed" if reaching else "unreached") if survived else "caught"
            print(f"{verdict}: {mutant['name']}", file=sys.stderr, flush=True)
            return verdict
        return list(pool.map(outcome, mutants))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="", help="only mutants whose name contains this")
    parser.add_argument("--threats", action="store_true", help="only the guards against threats")
    parser.add_argument("--out", type=Path, help="file for the outcomes, as JSON")
    options = parser.parse_args()
    begun = time.monotonic()
    UNFIT.parent.mkdir(parents=True, exist_ok=True)
    every = [] if options.threats else [mutant for mutant in listed() if options.only in mutant["name"]]
    removed = guards(len(every))
    program, mutants = build(every + removed)
    planted = {mutant["number"] for mutant in mutants}
    wrong = [f"the guard `{one['guard']}` cannot be removed" for one in removed if one["number"] not in planted]
    wrong += unguarded(program, [one for one in removed if one["number"] in planted])
    print(*wrong, sep="\n")
    print(f"{len(removed)} guards, {len(removed) - len(wrong)} of them noticed when they are gone")
    if options.threats:
        sys.exit(1 if wrong else 0)
    mutants = [mutant for mutant in mutants if mutant["genre"] != "Guard removed"]
    outcomes = judged(program, mutants)
    explained = tomllib.loads((Path(__file__).parent / "explained.toml").read_text())["mutants"]
    named = [(outcome, re.sub(r":\d+:\d+: ", ": ", mutant["name"])) for outcome, mutant in zip(outcomes, mutants)]
    counts = collections.Counter(outcomes)
    survivors = [(outcome, mutant["name"], name) for (outcome, name), mutant in zip(named, mutants) if outcome != "caught"]
    unexplained = [one for one in survivors if one[2] not in explained]
    if options.out:
        options.out.write_text(json.dumps([[outcome, mutant["name"]] for outcome, mutant in zip(outcomes, mutants)], indent=0))
    for outcome, place, name in unexplained:
        print(f"{outcome}: {place}")
    print(f"{len(every)} mutants: {len(every) - len(mutants)} have no switch or do not compile, {counts['caught']} caught, "
          f"{len(survivors) - len(unexplained)} explained, {len(unexplained)} survive; {time.monotonic() - begun:.0f} s")
    sys.exit(1 if unexplained or wrong else 0)


if __name__ == "__main__":
    main()
