"""Plays each language under each fault, and prints the table of docs/faults.md. faults.sh runs it."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).parent
WORK = pathlib.Path(os.environ["NETNS_WORK"])
ADMIN = "127.0.0.1:8171"

# No SDK waits for so long on purpose.
PATIENCE_S = 180

WORLD = """
[[tenants]]
id = "7e4a9700-0000-4000-8000-000000000001"
[[subscriptions]]
id = "50b50000-0000-4000-8000-000000000001"
tenant = "7e4a9700-0000-4000-8000-000000000001"
[[vms]]
name = "vm-1"
subscription = "50b50000-0000-4000-8000-000000000001"
resource_group = "rg"
address = "any"
system_assigned = true
"""


def status(number, **more):
    return {"kind": "status", "status": number, **more}


# Each case: its name in the table, the fault, and further fields of the rule.
CASES = [
    ("none", None, {}),
    ("the first request gets 500", status(500), {"count": 1}),
    ("404", status(404), {}),
    ("410 for 70 s", status(410), {"until": "70s"}),
    ("429", status(429), {}),
    ("429 with `Retry-After: 5`", status(429, retry_after=5), {}),
    ("500", status(500), {}),
    ("503", status(503), {}),
    ("slow: 5 s", {"kind": "slow", "delay": "5s"}, {}),
    ("trickle: 64 bytes each 0.1 s", {"kind": "trickle"}, {}),
    ("hang", {"kind": "hang"}, {}),
    ("reset", {"kind": "reset"}, {}),
    ("truncated body", {"kind": "truncated"}, {}),
    ("wrong JSON", {"kind": "wrong-json"}, {}),
    ("wrong content type", {"kind": "wrong-content-type"}, {}),
]

COMMANDS = {
    "python": [sys.executable, HERE / "ask.py"],
    "js": ["node", HERE.parent / "js" / "ask.mjs"],
    "go": [WORK / "go-ask"],
    "java": [
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",
        "-cp", f"{WORK}/java/classes:{WORK}/java/lib/*", "Ask",
    ],
    "rust": [WORK / "rust" / "debug" / "ask"],
}
NAMES = {"python": "Python", "js": "JavaScript", "go": "Go", "java": "Java", "rust": "Rust"}


class Broker:
    """A server of the present network namespace, at the real address of the identity endpoint."""

    def __init__(self, program, folder):
        world = pathlib.Path(folder, "world.toml")
        world.write_text(WORLD)
        flags = ["--world", world, "--imds", "169.254.169.254:80", "--admin", ADMIN]
        self.process = subprocess.Popen(
            [program, "serve", *flags], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True, env={**os.environ, "TMPDIR": folder},
        )
        self.secret = ""
        for line in self.process.stdout:
            if line.startswith("admin-secret "):
                self.secret = pathlib.Path(line.split(" ", 1)[1].strip()).read_text().strip()
            if line == "ready\n":
                return
        raise SystemExit("the broker did not start")

    def ask(self, method, path, body=None):
        headers = {"Authorization": f"Bearer {self.secret}"}
        request = urllib.request.Request(
            f"http://{ADMIN}{path}", method=method, headers=headers,
            data=body and json.dumps(body).encode(),
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.read().decode()

    def faults(self):
        """Returns the number of faults so far."""
        lines = self.ask("GET", "/metrics").splitlines()
        return sum(int(line.split()[-1]) for line in lines if line.startswith("mintbench_faults_total{"))


def play(broker, language, fault, more):
    if fault is None:
        broker.ask("DELETE", "/faults")
    else:
        rule = {"endpoint": "imds", "fault": fault, **more}
        broker.ask("PUT", "/faults", {"rules": [rule]})
    before = broker.faults()
    try:
        ran = subprocess.run(
            COMMANDS[language], capture_output=True, text=True, timeout=PATIENCE_S, check=False
        )
        result = json.loads(ran.stdout) if ran.stdout else {"error": ran.stderr, "seconds": 0}
    except subprocess.TimeoutExpired:
        result = {"error": f"none within {PATIENCE_S} s", "seconds": PATIENCE_S}
    return {**result, "faults": broker.faults() - before}


def lane(program, language):
    """Plays one language in this namespace, and prints a line for each case."""
    for command in ("ip link set lo up", "ip address add 169.254.169.254/32 dev lo"):
        subprocess.run(command.split(), check=True)
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker(program, folder)
        try:
            for name, fault, more in CASES:
                print(json.dumps({"case": name, **play(broker, language, fault, more)}), flush=True)
        finally:
            broker.process.terminate()
            broker.process.wait()


def cell(result):
    """Returns what a language did: its result, the faulty answers that it met, and its time."""
    error = result["error"]
    said = "token" if error is None else f"`{error.split(':')[0].split('.')[-1].strip('*')}`"
    if error is not None and error.startswith("none within"):
        said = "no end"
    count, seconds = result["faults"], result["seconds"]
    if count == 0:
        return f"{said}, {seconds:.1f} s"
    times = "time" if count == 1 else "times"
    return f"{said}, {count} {times}, {seconds:.1f} s"


def table(results):
    languages = list(results)
    lines = ["| fault | " + " | ".join(NAMES[own] for own in languages) + " |", "|---" * (len(languages) + 1) + "|"]
    for name, _, _ in CASES:
        cells = [cell(results[own][name]) for own in languages]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def replaced(page, text):
    begin, end = "<!-- begin: tests/netns/faults.sh -->\n", "<!-- end -->"
    before, rest = page.split(begin, 1)
    _, after = rest.split(end, 1)
    return before + begin + "\n" + text + "\n" + end + after


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lane")
    parser.add_argument("--write", type=pathlib.Path)
    parser.add_argument("broker")
    parser.add_argument("languages", nargs="*")
    args = parser.parse_args()
    if args.lane:
        return lane(args.broker, args.lane)
    own = ["unshare", "--net", sys.executable, __file__]
    lanes = {
        language: subprocess.Popen(
            [*own, "--lane", language, args.broker], stdout=subprocess.PIPE, text=True
        )
        for language in args.languages
    }
    results = {}
    for language, process in lanes.items():
        output, _ = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"{language} did not end well")
        played = [json.loads(line) for line in output.splitlines()]
        results[language] = {result["case"]: result for result in played}
        for result in played:
            print(f"{language}\t{json.dumps(result)}", file=sys.stderr)
        if results[language]["none"]["error"] is not None:
            raise SystemExit(f"{language} gets no token without faults: {results[language]['none']}")
    text = table(results)
    if args.write:
        args.write.write_text(replaced(args.write.read_text(), text))
    print(text, end="")
    return None


main()
