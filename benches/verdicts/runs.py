"""One run of mintbench against a queue that records its own answers."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property

from figures import errors, handling_us, overhead_us, read_left_out, read_rows, reported, taken_share, truth_us, undisturbed, whole
from rivals import ROOT, Server, processors, settle
from setups import Neighbours, Setup

MINTBENCH = os.environ.get("MINTBENCH", str(ROOT / "target/dist/mintbench"))
WARMUP_S = 3
CONNECTIONS = 256
WAY_S = 5


def log(text):
    print(text, file=sys.stderr, flush=True)


@dataclass
class Ended:
    """A run that has ended, and what its server knows."""

    code: int
    report: dict
    rows: list
    # Time that the undisturbed view leaves out; empty from versions that do not list it.
    left_out: list
    shares: list
    # What the host and other programs took of the server's processor; None where the server cannot tell.
    taken_of_server: float | None

    @cached_property
    def truth(self):
        """Percentiles in microseconds, the number of their requests, and how many lack a stamp."""
        return truth_us(self.rows)


def run(made, seconds, objectives, law=None):
    """Makes a run of this setup."""
    _, generator_cpu = processors()
    with tempfile.TemporaryDirectory() as folder:
        rows, out = f"{folder}/rows.csv", f"{folder}/run"
        gaps = f"{folder}/gaps.csv"
        # A server that rests or stands still cannot tell.
        tells = made.spin and not made.stall
        more = [*made.service, "--rows", rows, "--seed", str(made.seed), *(["--gaps", gaps] if tells else [])]
        with Server(law or made.law, spin=made.spin, more=more, confined=True) as at:
            command = [MINTBENCH, "run", "--target", f"get+{at.url}", "--rate", str(made.rate), "--arrivals", "poisson", "--seed", str(made.seed)]
            command += ["--pacer-test", "0s", "--warmup", f"{WARMUP_S}s", "--duration", f"{seconds}s", "--threads", "1"]
            command += ["--cores", str(generator_cpu), "--connections", str(CONNECTIONS), "--json", "--out", out, *objectives]
            with Neighbours(made) as neighbours:
                ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 3 + 60)
        settle()
        if not ended.stdout.strip():
            log(f"error: mintbench ended with {ended.returncode}: {ended.stderr.strip()[-500:]}")
            sys.exit(2)
        listed = f"{out}/left-out.csv"
        left_out = read_left_out(listed) if os.path.exists(listed) else []
        answered = read_rows(rows, seconds)
        taken = taken_share(gaps, answered, seconds) if tells else None
        return Ended(ended.returncode, json.loads(ended.stdout), answered, left_out, neighbours.shares, taken)


@dataclass(frozen=True)
class Way:
    """What a client sees beside a server's service, in microseconds."""

    # Between the server's stamps and the client.
    way_us: float
    # In all, of a server that answers at once.
    floor_us: float

    @classmethod
    def measured(cls):
        # An answer at once comes while the client is still in the call that sent the request. So that server tells
        # nothing of the way.
        later, at_once = (run(Setup("constant", 200, 0.2, 4, False, 0.0, "none", 1, spin=True), WAY_S, [], law=law) for law in (None, "floor"))
        # From the write on: how late the generator writes is not the way.
        seen_us = [ended.report["classes"]["all"]["service_us"]["p50"] for ended in (later, at_once)]
        return cls(seen_us[0] - later.truth[0]["p50"], seen_us[1])


def line(number, made, seconds, ended, way):
    """What the log has of each run."""
    report, (truth, count, unstamped) = ended.report, ended.truth
    load, valid = report["load"], report["validity"]["valid"]
    # Absent in version 1.
    paused_s = load.get("paused_s")
    overhead = (overhead_us(ended.rows) or 0.0) if made.busy else 0.0
    return {
        "number": number, "setup": made.as_json(), "seconds": seconds, "schema": report["schema"], "commit": report["build"]["git_commit"],
        "profile": report["build"]["profile"], "code": ended.code, "truth_us": truth, "answers": count, "unstamped": unstamped,
        "count": whole(report)["count"], "errors": errors(report), "taken": ended.shares, "taken_of_server": ended.taken_of_server,
        "says": reported(report),
        "valid": valid, "checked": report["checks"]["passed"], "undisturbed": undisturbed(report),
        "paused_share": None if paused_s is None else paused_s / load["duration_s"],
        "way_us": way.way_us, "floor_us": way.floor_us, "overhead_us": overhead,
        "handling_us": handling_us(ended.rows, made.servers, overhead),
    }  # fmt: skip
