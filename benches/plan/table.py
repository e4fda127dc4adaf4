"""Prints the held-out checks of several plans as a Markdown table; `proof.sh` calls it."""

import json
import os
import pathlib
import statistics
import subprocess
import sys

slo, load_before, folder = sys.argv[1:4]
# As `mintbench plan` itself judges.
GOOD_PERCENT = 15
plans = [(path.parent.name, json.loads(path.read_text()))
         for path in sorted(pathlib.Path(folder).glob("*/plan.json"))]

commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True)
model = [line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
build = "the binary in MINTBENCH" if os.environ.get("MINTBENCH") else "profile dist"
print("# Predicted and measured\n")
print(f"Made by `benches/plan/proof.sh`. The model is fitted to hits alone and to mints alone, objective `{slo}`,")
print("on a broker with one core; the rows are of runs that it was not fitted to.\n")
print(f"Commit {commit.stdout.strip()}, {build}. {model[0] if model else '?'}, {len(model)} processors; load average before {load_before}.\n")

print("| plan | what | predicted | measured | error | below 15 % |")
print("|---|---|--:|--:|--:|---|")
errors = {}
for name, plan in plans:
    for row in plan["held_out"]["compared"]:
        error = row["error_percent"]
        errors.setdefault(row["what"], []).append(abs(error))
        print(f"| `{name}` | {row['what']} | {row['predicted']:,.1f} {row['unit']} | {row['measured']:,.1f}"
              f" | {error:+.1f} % | {'yes' if abs(error) < GOOD_PERCENT else '**no**'} |")
for name, plan in plans:
    for note in plan["held_out"]["notes"]:
        print(f"| `{name}` | {note} | | | | **no** |")

print("\n| what | median error | largest |")
print("|---|--:|--:|")
for what, values in errors.items():
    print(f"| {what} | {statistics.median(values):.1f} % | {max(values):.1f} % |")

print("\n| plan | of | highest rate within the objective | next failing rate | cost of a core, us | basis |")
print("|---|---|--:|---|--:|---|")
for name, plan in plans:
    for side in ("hit", "mint"):
        of = plan[side]
        if of is None:
            continue
        rate = f"{of['rate_per_core']:,.0f}/s" if of["rate_per_core"] else "none"
        rate = f"at least {rate} (generator)" if of["generator_limited"] else rate
        bracket = f"{of['bracket']['rate']:,.0f}/s: {of['bracket']['cause']}" if of["bracket"] else "none"
        cost = of["cost"]
        print(f"| `{name}` | {side} | {rate} | {bracket} | {cost['core_us']:.1f} ({cost['low_us']:.1f} to {cost['high_us']:.1f}) | {cost['basis']} |")

holds = bool(errors) and all(abs(error) < GOOD_PERCENT for values in errors.values() for error in values)
holds = holds and not any(plan["held_out"]["notes"] for _, plan in plans)
notes = sorted({note for _, plan in plans for note in plan["notes"]})
print("\nNotes:\n")
for note in notes:
    print(f"- {note}")
sys.exit(0 if holds else 1)
