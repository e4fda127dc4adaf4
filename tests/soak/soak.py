"""Loads two servers for an hour while their worlds change and faults come and go, and prints a page of Markdown:

    tests/soak/soak.py target/release/mintbench                   # the page of results/reference/soak.md
    tests/soak/soak.py target/release/mintbench --minutes 2       # a trial

`mintbench run churn` has one server, `mintbench run rotate` the other. Both check identities, signatures and refusals.
A client of this script asks each server for tokens of a resource that the load does not use. For half of the time there is
a plan of faults. It delays requests of the load, and refuses, cuts or resets those of the client.

Exit code: 0 if no identity was wrong, no request failed that no plan wanted to fail, and memory and descriptors did not
grow; 1 if not; 2 if it could not be tried. Needs Linux.
"""

import argparse
import base64
import http.client
import itertools
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SCENARIOS = ("churn", "rotate")
# Requests per second to each server. The machine may have other work meanwhile.
RATE = 1000
RESOURCE = "https://vault.azure.net"
# Address of the client: the machine with this number in the synthetic world. Churn leaves it alone.
VM_OF = {"churn": 900, "rotate": 5}
FAULTS_S = 15
SAMPLE_S = 10
# The last sixth of the time may have so much more than the second one. The first is the start.
GROWTH_MAX = 0.05
TIMEOUT_S = 5

# What the load meets: delays, so that none of its requests fails.
DELAYS = [
    {"endpoint": "imds", "share": 0.01, "fault": {"kind": "slow", "delay": "20ms"}, "resources": ["https://management.azure.com/"]},
    {"endpoint": "imds", "share": 0.002, "fault": {"kind": "trickle", "bytes": 512, "every": "10ms"}, "resources": ["https://management.azure.com/"]},
    {"endpoint": "arm", "share": 0.2, "fault": {"kind": "slow", "delay": "50ms"}},
    {"endpoint": "token-source", "share": 0.2, "fault": {"kind": "slow", "delay": "100ms"}, "resources": ["https://management.azure.com/"]},
]


def status(number):
    return {"kind": "status", "status": number}


# What the client meets: the fault, and what it must see then.
HARMS = (
    (status(404), "status 404"),
    (status(410), "status 410"),
    (status(429), "status 429"),
    (status(500), "status 500"),
    (status(503), "status 503"),
    ({"kind": "slow", "delay": "300ms"}, "token"),
    ({"kind": "trickle", "bytes": 256, "every": "20ms"}, "token"),
    ({"kind": "hang"}, "timeout"),
    ({"kind": "reset"}, "reset"),
    ({"kind": "truncated"}, "cut"),
    ({"kind": "wrong-json"}, "no JSON"),
    ({"kind": "wrong-content-type"}, "type text/html"),
)


class Stopped(Exception):
    """The run ended before its time."""


class Server:
    """The server that a run started: its process, and its endpoints by the file in its folder."""

    def __init__(self, run, folder):
        self.run = run
        deadline = time.monotonic() + 120
        while not (found := list(folder.glob("mintbench-*/endpoints.json"))) or not found[0].read_text().strip():
            if run.poll() is not None or time.monotonic() > deadline:
                raise Stopped("no server became ready")
            time.sleep(0.1)
        self.folder = found[0].parent
        self.endpoints = json.loads(found[0].read_text())
        self.secret = (self.folder / "admin.secret").read_text().strip()
        self.pid = next(int(pid) for pid in children(run.pid) if b"serve" in command_line(pid))

    def set_faults(self, rules):
        """Puts a plan in force, or ends it without rules."""
        body = json.dumps({"rules": rules}).encode() if rules else None
        request = urllib.request.Request(
            f"{self.endpoints['admin']}/faults", body, {"Authorization": f"Bearer {self.secret}"}, method="PUT" if rules else "DELETE"
        )
        with urllib.request.urlopen(request, timeout=30):
            pass

    def memory_mib(self):
        return int(re.search(r"VmRSS:\s+(\d+) kB", pathlib.Path(f"/proc/{self.pid}/status").read_text())[1]) / 1024

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def stored_mib(self):
        return sum(file.stat().st_size for file in self.folder.iterdir()) / 2**20


def children(pid):
    return pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def command_line(pid):
    return pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")


class Client:
    """Asks for tokens as one machine, and says in a word what came."""

    def __init__(self, server, vm):
        self.server, self.address = server, f"127.1.{(vm + 1) // 256}.{(vm + 1) % 256}"
        self.identity = None

    def ask(self):
        host = self.server.endpoints["imds"].removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S, source_address=(self.address, 0))
        try:
            path = f"/metadata/identity/oauth2/token?api-version=2018-02-01&resource={RESOURCE}"
            connection.request("GET", path, headers={"Metadata": "true"})
            answer = connection.getresponse()
            return self.judged(answer, answer.read())
        except TimeoutError:
            return "timeout"
        except ConnectionResetError:
            return "reset"
        except http.client.IncompleteRead:
            return "cut"
        finally:
            connection.close()

    def judged(self, answer, body):
        if answer.status != 200:
            return f"status {answer.status}"
        if not answer.headers["Content-Type"].startswith("application/json"):
            return f"type {answer.headers['Content-Type'].split(';')[0]}"
        try:
            token = json.loads(body)["access_token"]
        except ValueError:
            return "no JSON"
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.identity = self.identity or claims["oid"]
        is_right = claims["oid"] == self.identity and claims["aud"] == RESOURCE and claims["nbf"] <= time.time() < claims["exp"]
        return "token" if is_right else "wrong token"


class Soak(threading.Thread):
    """One run, its client and its samples."""

    def __init__(self, program, scenario, seconds, folder):
        super().__init__()
        self.scenario, self.seconds, self.folder = scenario, seconds, folder
        self.samples, self.unexpected, self.asked, self.plans = [], [], 0, 0
        self.error = self.document = None
        out = folder / "out"
        rotations = ["--rotations", "30"] if scenario == "rotate" else []
        command = [program, "run", scenario, "--rate", str(RATE), "--duration", f"{seconds}s", *rotations, "--out", out]
        self.log = open(folder / "log", "w")
        self.run_of = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, env={**os.environ, "TMPDIR": str(folder)})

    def run(self):
        try:
            self.play(Server(self.run_of, self.folder))
            self.code = self.run_of.wait(300)
            self.document = json.loads((self.folder / "out" / "run.json").read_text())
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.run_of.poll() is None and self.run_of.terminate()

    def play(self, server):
        client = Client(server, VM_OF[self.scenario])
        begin = time.monotonic()
        # The warm-up comes first, and nothing may be changed at the end, where the run reads its counters.
        while time.monotonic() < begin + 15:
            time.sleep(1)
        for fault, seen in itertools.cycle(HARMS):
            for rules in ([*DELAYS, {"endpoint": "imds", "resources": [RESOURCE], "fault": fault}], []):
                server.set_faults(rules)
                self.plans += bool(rules)
                until = time.monotonic() + FAULTS_S
                while time.monotonic() < until:
                    self.expect(seen if rules else "token", client)
                    self.sample(server, time.monotonic() - begin)
                    time.sleep(1)
            if time.monotonic() > begin + self.seconds - 2 * FAULTS_S - TIMEOUT_S:
                return

    def expect(self, seen, client):
        came = client.ask()
        self.asked += 1
        if came != seen:
            self.unexpected.append(f"{came}, not {seen}")

    def sample(self, server, at_s):
        if not self.samples or at_s >= self.samples[-1][0] + SAMPLE_S:
            self.samples.append((at_s, server.memory_mib(), server.descriptors(), server.stored_mib()))

    def grown(self):
        """What has grown, each as a sentence."""
        sixth = max(1, len(self.samples) // 6)
        early, late = self.samples[sixth : 2 * sixth], self.samples[-sixth:]
        for name, index in (("memory", 1), ("descriptors", 2)):
            before, after = (statistics.median(sample[index] for sample in part) for part in (early, late))
            if after > before * (1 + GROWTH_MAX):
                yield f"{name} grew from {before:.1f} to {after:.1f}"

    def wrong(self):
        """What must not be, each as a sentence."""
        if self.error:
            yield self.error
            return
        if self.code not in (0, 4):
            yield f"the run ended with {self.code}"
        document = self.document
        yield from document["checks"]["failures"]
        yield from (f"{count} answers with {what}" for what, count in document["verified"].items() if what != "sampled" and count)
        if document["changes"]["failed"]:
            yield f"{document['changes']['failed']} changes failed"
        yield from self.unexpected[:10]
        yield from self.grown()


def table(soaks):
    yield "| | " + " | ".join(f"`{soak.scenario}`" for soak in soaks) + " |"
    yield "|---|" + "--:|" * len(soaks)

    def row(name, figure):
        return f"| {name} | " + " | ".join(figure(soak) for soak in soaks) + " |"

    yield row("time", lambda soak: f"{soak.document['load']['duration_s'] / 60:.0f} min")
    yield row("requests of the load", lambda soak: f"{sum(soak.document['statuses'].values()):,}")
    yield row("answers by status", lambda soak: ", ".join(f"{code}: {count:,}" for code, count in soak.document["statuses"].items()))
    yield row("failed requests", lambda soak: str(sum(of["errors"] for of in soak.document["classes"].values())))
    yield row("wrong identities", lambda soak: str(soak.document["verified"]["wrong_identity"]))
    yield row("changes of the world, failed ones", lambda soak: f"{soak.document['changes']['count']:,}, {soak.document['changes']['failed']}")
    yield row("plans of faults", lambda soak: str(soak.plans))
    yield row("requests of the client, unexpected answers", lambda soak: f"{soak.asked:,}, {len(soak.unexpected)}")


def samples(soaks):
    yield "| minute | " + " | ".join(f"`{soak.scenario}`: memory, MiB | descriptors | files, MiB" for soak in soaks) + " |"
    yield "|--:|" + "--:|--:|--:|" * len(soaks)
    longest = min(soak.samples[-1][0] for soak in soaks)
    step_s = max(SAMPLE_S, longest / 12)
    for at_s in (step_s * index for index in range(1, int(longest / step_s) + 1)):
        nearest = [min(soak.samples, key=lambda sample: abs(sample[0] - at_s)) for soak in soaks]
        cells = " | ".join(f"{memory:.1f} | {descriptors} | {stored:.1f}" for _, memory, descriptors, stored in nearest)
        yield f"| {at_s / 60:.0f} | {cells} |"


def page(soaks):
    build = soaks[0].document["build"]
    yield "# An hour of load, changes and faults\n"
    yield f"Made by `tests/soak/soak.py`. Build {build['git_commit'][:12]}, profile {build['profile']}. {RATE} requests per second to each of two servers, at the same time."
    yield f"For {FAULTS_S} s in {2 * FAULTS_S} s a plan of faults delayed requests of the load, and harmed those of another client of the same machines.\n"
    yield from table(soaks)
    yield "\nMemory is what the server's process has in use (VmRSS); files are those of its folder. Connections of the load are among the descriptors.\n"
    yield from samples(soaks)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mintbench")
    parser.add_argument("--minutes", type=float, default=60)
    given = parser.parse_args()
    program = pathlib.Path(given.mintbench).resolve()
    if not os.access(program, os.X_OK):
        print(f"error: there is no program {program}; cargo build --release makes target/release/mintbench", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        soaks = []
        for scenario in SCENARIOS:
            (own := pathlib.Path(folder, scenario)).mkdir()
            soaks.append(Soak(program, scenario, int(given.minutes * 60), own))
        for soak in soaks:
            soak.start()
        for soak in soaks:
            soak.join()
        wrong = [f"{soak.scenario}: {what}" for soak in soaks for what in soak.wrong()]
        for soak in soaks:
            soak.log.close()
            if wrong:
                print((soak.folder / "log").read_text()[-3000:], file=sys.stderr)
    if all(soak.document for soak in soaks):
        print("\n".join(page(soaks)))
    for what in wrong:
        print(f"error: {what}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
