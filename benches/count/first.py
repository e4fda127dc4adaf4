#!/usr/bin/env python3
"""Counts the instructions of the first request of a connection, in one process of each build:

    benches/count/first.py BUILD [BUILD ...] > first.md

A build may be followed by flags of `serve` in the same argument, as in "target/release/mintbench --hyper-only". Valgrind counts the whole process from the
first of 200 connections to the last. Each sends one request with nine header fields and closes when it has the answer.
"""

import pathlib
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

CONNECTIONS = 200
ROUNDS = 3
TOKEN = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://management.azure.com/"
TARGETS = {
    "hit": TOKEN,
    "refused": TOKEN + "&client_id=00000000-0000-4000-8000-{:012x}",
    "instance": "/metadata/instance?api-version=2021-02-01",
}
HEAD = (
    "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: azsdk-python-identity/1.27.0 Python/3.12.3\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
    "Connection: keep-alive\r\nMetadata: true\r\nx-client-SKU: MSAL.Python\r\nx-client-Ver: 1.39.0\r\nx-ms-client-request-id: {:08x}-0000-4000-8000-000000000000\r\n\r\n"
)
# Until a process under Valgrind has done what a request causes.
REST_S = 0.02


def ask(port, target, number):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(HEAD.format(target.format(number), number).encode())
        got = b""
        while b"\r\n\r\n" not in got or not got.endswith(b"}"):
            piece = connection.recv(65536)
            if not piece:
                sys.exit(f"error: no answer but {got!r}")
            got += piece
    time.sleep(REST_S)


def instructions(folder):
    """The count of the last dump."""
    newest = max(folder.glob("callgrind.out.*"), key=lambda file: file.stat().st_mtime_ns)
    summary = next(line for line in newest.read_text().splitlines() if line.startswith("totals:"))
    return int(summary.split()[1])


def control(pid, flag):
    subprocess.run(["callgrind_control", flag, str(pid)], check=True, stdout=subprocess.DEVNULL)


def count(build):
    """Instructions of a first request by the kind of target."""
    program, *flags = shlex.split(build)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/callgrind.out", program, "serve", "--alg", "ES256", "--workers", "1", "--mint-lanes", "1", *flags]
        for surface in ("imds", "sts", "arm", "vault", "admin"):
            command += [f"--{surface}", "127.0.0.1:0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        lines = iter(server.stdout.readline, "ready\n")
        port = next(int(line.rsplit(":", 1)[1]) for line in lines if line.startswith("imds "))
        for _ in lines:
            pass
        found = {}
        for kind, target in TARGETS.items():
            for number in range(3):
                ask(port, target, number)
            counts = []
            for turn in range(1, ROUNDS + 1):
                control(server.pid, "--zero")
                for number in range(CONNECTIONS):
                    ask(port, target, turn * CONNECTIONS + number)
                control(server.pid, "--dump")
                counts.append(instructions(folder) / CONNECTIONS)
            # Work of another cause can only be added.
            found[kind] = min(counts)
        server.send_signal(signal.SIGTERM)
        server.wait()
        return found


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    print("| build | " + " | ".join(TARGETS) + " |\n|---|" + "---:|" * len(TARGETS))
    for build in sys.argv[1:]:
        found = count(build)
        print(f"| `{build}` | " + " | ".join(f"{found[kind]:,.0f}" for kind in TARGETS) + " |", flush=True)


if __name__ == "__main__":
    main()
