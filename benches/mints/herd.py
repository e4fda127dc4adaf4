"""A herd of callers of cold keys beside callers of warm ones, as Markdown; see `run.sh`."""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

from client import Herd
from medians import told
from rivals import processors, raise_file_limit
from servers import MINTBENCH, Program, address, fail
from setups import read_log
from signatures import ALGORITHMS, signatures

# The warm keys: those of the first machines.
WARM_VMS = 1000
WARM_RATE = 1000
WARMUP_S, QUIET_S = 3, 6
# A herd of 8,000 has to be done within this multiple of what bare signatures take.
ASKED_TIME = 1.2
ASKED_P99 = 2.0
KEYS = 8000
# More than the queue holds.
CROWD = 20_000
# Files that the broker and the callers need beside the connections of callers.
OTHER_FILES = 300

SCENARIO = """
warmup = "{warmup}s"
[[phase]]
name = "quiet"
duration = "{quiet}s"
profile = {{ rate = {rate} }}
mix = [{{ kind = "hit" }}]
[[phase]]
name = "herd"
duration = "{herd_ms}ms"
profile = {{ rate = {rate} }}
mix = [{{ kind = "hit" }}]
"""


def broker(algorithm):
    """With the default settings, on the first processor: one worker and one lane."""
    command = [MINTBENCH, "serve", "--synthetic", f"vms={WARM_VMS + CROWD}", "--alg", algorithm]
    for surface in ("imds", "sts", "arm", "vault", "admin"):
        command += [f"--{surface}", "127.0.0.1:0"]
    return Program("mintbench", command).read_address("imds")


def metric(server, name):
    with urllib.request.urlopen(server.metrics) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith(name + " "))


class Warm:
    """The load on warm keys, as a context: first alone, then during the herd."""

    def __init__(self, server, herd_s):
        self.server = server
        self.folder = pathlib.Path(tempfile.mkdtemp())
        scenario = self.folder / "warm.toml"
        scenario.write_text(SCENARIO.format(warmup=WARMUP_S, quiet=QUIET_S, herd_ms=round(herd_s * 1000), rate=WARM_RATE))
        command = [MINTBENCH, "run", str(scenario), "--target", f"imds+{server.base}", "--vms", str(WARM_VMS)]
        command += ["--cores", str(processors()[-1]), "--pacer-test", "0s", "--out", str(self.folder / "run"), "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def begins(self):
        """The moment at which the part with the herd begins."""
        while metric(self.server, "mintbench_cache_misses_total") == 0:
            if self.process.poll() is not None:
                fail(f"the load on warm keys ended: {self.process.stderr.read()}")
            time.sleep(0.002)
        return time.monotonic() + WARMUP_S + QUIET_S

    def ended(self):
        """The p99 of hits in microseconds, alone and during the herd, and the failures."""
        said, _ = self.process.communicate(timeout=120)
        run = json.loads(said)
        phases = {phase["name"]: phase["classes"] for phase in run["phases"]}
        p99 = [phases[name]["all"]["response_us"]["p99"]["value"] for name in ("quiet", "herd")]
        failed = sum(of["errors"] for of in run["classes"].values())
        return {"quiet_p99": p99[0], "herd_p99": p99[1], "warm_failed": failed}


def measure(algorithm, callers):
    cpu = processors()[0]
    before = signatures(algorithm, cpu)
    bare_s = min(callers, 8192) / before
    with broker(algorithm) as server, Herd(address(server.base), range(WARM_VMS, WARM_VMS + callers), processors()[-1]) as herd:
        warm = Warm(server, ASKED_TIME * bare_s)
        begin = warm.begins()
        answers = herd.ask(begin)
        figures = warm.ended()
        refused = metric(server, "mintbench_refused_total")
    rate = statistics.mean([before, signatures(algorithm, cpu)])
    first = min(answer.sent for answer in answers)
    given = [answer for answer in answers if answer.status == 200]
    away = [answer for answer in answers if answer.status == 503]
    took = sorted(answer.came - answer.sent for answer in away)
    return figures | {
        "callers": callers,
        "signatures": rate,
        "sent_s": max(answer.sent for answer in answers) - first,
        "given": len(given),
        "done_s": max(answer.came for answer in given) - first,
        "refused": len(away),
        "counted_refused": refused,
        "refused_s": max((answer.came for answer in away), default=first) - first,
        "refused_p50_s": statistics.median(took) if took else 0,
        "failed": len(answers) - len(given) - len(away),
    }


def callers_of(kind):
    """As many as there are files for, beside the connections of warm keys."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return KEYS if kind == "herd" else min(CROWD, files - WARM_VMS - OTHER_FILES)


def times_bare(line):
    """The time until the last token by what bare signatures of as many tokens take. There is one lane."""
    return line["done_s"] * line["signatures"] / line["given"]


def times_quiet(line):
    return line["herd_p99"] / line["quiet_p99"]


def tables(lines):
    for kind, words in (("herd", "callers at once"), ("crowd", "callers, more than the queue holds")):
        of = [line for line in lines if line["kind"] == kind]
        if not of:
            continue
        print(f"\n### {of[0]['alg']}, {of[0]['callers']:,} {words}\n")
        print("| figure | median of rounds | asked |\n|---|---|---|")
        print(f"| time until the last token, by bare signatures | {told(map(times_bare, of))} | {ASKED_TIME} |")
        print(f"| time in which the requests were sent, s | {told(line['sent_s'] for line in of)} | |")
        print(f"| p99 of warm keys in quiet, us | {told((line['quiet_p99'] for line in of), '{:,.0f}')} | |")
        print(f"| p99 of warm keys beside the callers, us | {told((line['herd_p99'] for line in of), '{:,.0f}')} | |")
        print(f"| the second by the first | {told(map(times_quiet, of), '{:.2f}')} | {ASKED_P99} |")
        for name, what in (("failed", "callers without a token or 503"), ("warm_failed", "failed requests for warm keys")):
            print(f"| {what}, all rounds | {sum(line[name] for line in of)} | 0 |")
        if kind == "crowd":
            print(f"| tokens | {told((line['given'] for line in of), '{:,.0f}')} | |")
            print(f"| callers with 503 | {told((line['refused'] for line in of), '{:,.0f}')} | |")
            print(f"| median time until 503, ms | {told((line['refused_p50_s'] * 1000 for line in of), '{:.1f}')} | |")
            print(f"| last 503 after the first request, s | {told(line['refused_s'] for line in of)} | |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--alg", choices=ALGORITHMS, default="RS256")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=["herd", "crowd"])
    parser.add_argument("--log", type=pathlib.Path, default=pathlib.Path("target/herd.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    raise_file_limit()
    for number in range(0 if given.table else given.rounds):
        for kind in given.kinds:
            line = {"round": number, "kind": kind, "alg": given.alg} | measure(given.alg, callers_of(kind))
            print(json.dumps(line), file=sys.stderr, flush=True)
            with open(given.log, "a") as file:
                file.write(json.dumps(line) + "\n")
    tables([line for line in read_log(given.log) if line["alg"] == given.alg])


if __name__ == "__main__":
    main()
