"""Load generators and the server that they are held against, for the scripts of `truth`, `generator`, `verdicts` and `floors`.

Each generator is found by an environment variable or on the PATH, and says its version and how it was
obtained. What it reports is taken from its own output, in microseconds.
"""

import contextlib
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAMES = ("p50", "p90", "p99", "p999")
LUA = ROOT / "benches/generator/percentiles.lua"


def processors():
    """The server's processor and the generator's: the first and the last that we may use."""
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        sys.exit("error: a server and a generator need a processor each, and there is one")
    return allowed[0], allowed[-1]


def raise_file_limit():
    """For thousands of connections; children inherit it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Server:
    """`benches/truth/server.rs` under a law, on the server's processor."""

    BIN = os.environ.get("TRUTH", str(ROOT / "target/dist/truth"))

    def __init__(self, law, spin=True, body_bytes=2, first=False, early_us=80, more=(), confined=False):
        """`first` of all that its processor has to do, where the system allows that. Without `spin` it sleeps until
        `early_us` before an answer is due. `more` are further flags. If `confined`, its idle threads stay on its
        processor too: only then can a generator be sure that no part of the server has the generator's.
        """
        waiting = ["--spin"] if spin else ["--early-us", str(early_us)]
        cpu = str(processors()[0])
        command = [*(["taskset", "-c", cpu] if confined else []), self.BIN, law, "--cpu", cpu, "--body-bytes", str(body_bytes)]
        self.process = subprocess.Popen([*command, *waiting, *more], stdout=subprocess.PIPE, text=True)
        if first:
            with contextlib.suppress(PermissionError):
                os.sched_setscheduler(self.process.pid, os.SCHED_FIFO, os.sched_param(1))
        self.url = ""
        for line in self.process.stdout:
            if line.startswith("truth "):
                self.url = line.split()[1]
            if line.strip() == "ready":
                break

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}/{path}") as answer:
            return answer.read()

    def forget_after(self, seconds):
        """When load has gone on for so long."""
        self.get(f"forget/{seconds * 1000}")

    def record(self):
        return json.loads(self.get("stats"))

    def cpu_s(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @classmethod
    def law(cls, law):
        """What the law says of percentiles."""
        return json.loads(subprocess.check_output([cls.BIN, law, "--print-law"], text=True))


@dataclass
class Job:
    """What a generator is to do; without a rate, as much as it can."""

    url: str
    seconds: int
    connections: int
    rate: int | None = None
    arrivals: str = "poisson"
    # What is asked of a generator that asks for a rate also then: what it cannot send is left over.
    most: int = 400_000
    # Of each request, beside Host; mintbench and wrk alone know them.
    headers: tuple = ()
    # Of mintbench alone: how it asks, and further flags.
    protocol: str = "get"
    more: tuple = ()


@dataclass
class Result:
    """What it reported; percentiles in microseconds, None where it reports none."""

    requests: float
    seconds: float
    us: dict
    cpu_s: float = 0.0
    # None where it does not say.
    valid: bool | None = None
    # How late it says that it was itself.
    lag_us: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)

    @property
    def rate(self):
        return self.requests / self.seconds


class Failed(Exception):
    """A generator did not do what was asked."""


def run(command, stdin=None, timeout=None):
    """Runs to the end; the output, and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        ended = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"it had not ended after {timeout} s") from error
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ended, cpu_s


def pinned():
    """Confines a generator, all of its threads, to the generator's processor."""
    return ["taskset", "-c", str(processors()[1])]


def recorded(tool, server, job):
    """What a generator reports, and the server's record of the same part of its load."""
    if tool.WARMUP_S:
        server.forget_after(tool.WARMUP_S)
    return tool.run(job), server.record()


def flags(name, values):
    return [word for value in values for word in (name, value)]


def last_json(text):
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise Failed("it printed no result")
    return json.loads(lines[-1])


class Tool:
    name = variable = program = how = ""
    # What it leaves out of its own report, from the start on.
    WARMUP_S = 0

    def path(self):
        named = os.environ.get(self.variable)
        return named if named and os.access(named, os.X_OK) else shutil.which(named or self.program)

    def version(self):
        ended, _ = run([self.path(), "--version"])
        lines = (ended.stdout + ended.stderr).strip().splitlines()
        return lines[0] if lines else "unknown"

    def run(self, job):
        """Confined to the generator's processor."""
        command = [*pinned(), self.path(), *self.args(job)]
        ended, cpu_s = run(command, self.stdin(job), job.seconds * 3 + 60)
        if ended.returncode != 0:
            lines = (ended.stderr or ended.stdout).strip().splitlines() or ["no message"]
            raise Failed(f"it ended with {ended.returncode}: {lines[-1][:200]}")
        result = self.read(ended.stdout, job)
        result.cpu_s = cpu_s
        return result

    def stdin(self, _):
        return None


class Mintbench(Tool):
    # Or only its generator's thread, as its users have it.
    confined = True
    name, variable, program = "mintbench", "MINTBENCH", str(ROOT / "target/dist/mintbench")
    how = "this project, `cargo build --profile dist`"
    # Thousands of connections take a second to open, and what waited for them another to go.
    WARMUP_S = 3

    def run(self, job):
        with tempfile.TemporaryDirectory() as folder:
            # More is asked of it than it can send, and what it did send is counted.
            most = ["--rate", str(job.most), "--timeout", "10m"] if job.rate is None else ["--rate", str(job.rate)]
            command = [*(pinned() if self.confined else []), self.path(), "run", "--target", f"{job.protocol}+{job.url}", *most, "--arrivals", job.arrivals]
            command += [*flags("--header", job.headers), *job.more]
            command += ["--pacer-test", "0s", "--warmup", f"{self.WARMUP_S}s", "--duration", f"{job.seconds}s", "--threads", "1"]
            command += ["--cores", str(processors()[1]), "--connections", str(job.connections)]
            command += ["--max-errors", "1", "--strict", "--json", "--out", f"{folder}/run"]
            ended, cpu_s = run(command, timeout=job.seconds * 3 + 60)
        if ended.returncode not in (0, 4):
            raise Failed(f"it ended with {ended.returncode}: {ended.stderr.strip()[:200]}")
        return self.result(json.loads(ended.stdout), job, cpu_s)

    @staticmethod
    def result(report, job, cpu_s):
        of_all = report["classes"]["all"]
        answered = report["load"]["rate_answered"] * report["load"]["duration_s"]
        # The processor time is of the warm-up, too. Where more is asked than it can send, its core is busy throughout, and
        # it goes on after the load with what was asked and is still to be sent.
        cpu_s = job.seconds if job.rate is None else cpu_s * job.seconds / (job.seconds + Mintbench.WARMUP_S)
        validity = report["validity"]
        us = {name: of_all["response_us"][name]["value"] for name in NAMES}
        return Result(answered, job.seconds, us, cpu_s, validity["valid"], validity["lag_us"], validity["reasons"])


class RawLoop(Tool):
    name, variable, program = "raw loop", "FLOOR", str(ROOT / "target/dist/examples/floor")
    how = "this project, `examples/floor.rs`: one read and one write per request, and no record"

    def version(self):
        return "-"

    def args(self, job):
        return ["ask", job.url.removeprefix("http://"), "--seconds", str(job.seconds), "--connections", str(job.connections)]

    def read(self, text, _):
        line = last_json(text)
        return Result(line["requests"], line["seconds"], dict.fromkeys(NAMES))


class Wrk(Tool):
    name, variable, program = "wrk", "WRK", "wrk"
    how = "Debian's package, `apt-get install wrk`"
    script = LUA

    def version(self):
        ended, _ = run([self.path(), "-v"])
        return (ended.stdout + ended.stderr).splitlines()[0].split(" Copyright")[0]

    def args(self, job):
        headers = flags("-H", job.headers)
        return ["-t1", f"-c{job.connections}", f"-d{job.seconds}s", "-s", str(self.script), *headers, job.url]

    def read(self, text, _):
        line = last_json(text)
        if line["errors"]:
            raise Failed(f"{line['errors']} errors")
        return Result(line["requests"], line["seconds"], {name: line[name] for name in NAMES})


class Wrk2(Wrk):
    name, variable, program = "wrk2", "WRK2", "wrk2"
    how = "its sources, github.com/giltene/wrk2 at 44a94c1, `make`"
    # It forgets what it has measured until then.
    WARMUP_S = 10

    def args(self, job):
        rate = job.rate or 1_000_000
        seconds = job.seconds + self.WARMUP_S
        return ["-t1", f"-c{job.connections}", f"-d{seconds}s", f"-R{rate}", "-s", str(LUA), job.url]


class Oha(Tool):
    name, variable, program = "oha", "OHA", "oha"
    how = "`cargo install oha --locked --no-default-features --features rustls`"
    correction = []

    def args(self, job):
        rate = ["-q", str(job.rate)] if job.rate else []
        return [
            "--no-tui", "--output-format", "json", "-z", f"{job.seconds}s",
            "-c", str(job.connections), *rate, *self.correction, job.url,
        ]  # fmt: skip

    def read(self, text, _):
        report = json.loads(text)
        share = report["summary"]["successRate"]
        at = report["latencyPercentiles"]
        us = {name: at[key] * 1e6 for name, key in zip(NAMES, ("p50", "p90", "p99", "p99.9"))}
        seconds = report["summary"]["total"]
        result = Result(report["summary"]["requestsPerSec"] * seconds, seconds, us)
        if share < 1:
            result.notes.append(f"{(1 - share) * 100:.2f} % failed")
        return result


class OhaCorrected(Oha):
    name = "oha --latency-correction"
    correction = ["--latency-correction"]


class Vegeta(Tool):
    name, variable, program = "vegeta", "VEGETA", "vegeta"
    how = "`go install github.com/tsenart/vegeta/v12@latest`"

    def version(self):
        go = shutil.which("go")
        text = run([go, "version", "-m", self.path()])[0].stdout if go else ""
        modules = [line.split() for line in text.splitlines() if line.strip().startswith("mod")]
        return f"vegeta {modules[0][2]}" if modules else "vegeta, version unknown"

    def stdin(self, job):
        return f"GET {job.url}\n"

    def args(self, job):
        rate = str(job.rate or 0)
        most = ["-connections", str(job.connections), "-max-workers", str(job.connections)]
        self.output = tempfile.NamedTemporaryFile()
        return ["attack", "-rate", rate, "-duration", f"{job.seconds}s", *most, "-output", self.output.name]

    def read(self, _, job):
        with self.output:
            plot = run([self.path(), "report", "-type", "hdrplot", self.output.name])[0].stdout
            report = json.loads(run([self.path(), "report", "-type", "json", self.output.name])[0].stdout)
        at = report["latencies"]
        us = {name: at[key] / 1e3 for name, key in zip(NAMES, ("50th", "90th", "99th"))}
        rows = (line.split() for line in plot.splitlines()[1:])
        us["p999"] = next((float(row[0]) * 1e3 for row in rows if float(row[1]) >= 0.999), None)
        result = Result(report["requests"], job.seconds, us)
        if report["success"] < 1:
            result.notes.append(f"{(1 - report['success']) * 100:.2f} % failed")
        return result


class Goose(Tool):
    name, variable, program = "goose", "GOOSE", str(ROOT / "target/dist/goose_get")
    how = "`loadtests/src/bin/goose_get.rs`, `cargo build --profile dist -p loadtests`"

    def version(self):
        lock = (ROOT / "Cargo.lock").read_text()
        return "goose " + lock.split('name = "goose"\nversion = "')[1].split('"')[0]

    def args(self, job):
        users = str(job.connections)
        rate = ["--throttle-requests", str(job.rate)] if job.rate else []
        # All users begin within a second.
        return [
            "--host", job.url + "/", "--users", users, "--increase-rate", users,
            "--run-time", f"{job.seconds}s", *rate,
        ]  # fmt: skip

    def read(self, text, job):
        line = last_json(text)
        return Result(line["requests"], job.seconds, {name: line[name] for name in NAMES})


ALL = {
    tool.name: tool for tool in (Mintbench(), RawLoop(), Wrk(), Wrk2(), Oha(), OhaCorrected(), Vegeta(), Goose())
}


def chosen(names):
    """The tools of these names, or of the environment variable TOOLS, commas between."""
    names = os.environ["TOOLS"].split(",") if "TOOLS" in os.environ else names
    unknown = [name for name in names if name not in ALL]
    if unknown:
        sys.exit(f"error: there is no generator {unknown[0]}; there are {', '.join(ALL)}")
    return [ALL[name] for name in names]


def settle():
    """Sockets of the last load close."""
    time.sleep(0.5)


def head(tools):
    """Where and with what it was measured, as Markdown."""
    model = next(
        (line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")),
        "unknown processor",
    )
    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"], capture_output=True, text=True
    ).stdout.strip()
    kernel = os.uname()
    yield f"Commit {commit}; {model}, {os.cpu_count()} processors, {kernel.sysname} {kernel.release};"
    yield f"load average before {' '.join(f'{part:.2f}' for part in os.getloadavg())}."
    yield "The server on one processor, each generator on another.\n"
    yield "| generator | version | from |"
    yield "|---|---|---|"
    for tool in tools:
        found = tool.path()
        yield f"| {tool.name} | {tool.version() if found else 'not found'} | {tool.how} |"
