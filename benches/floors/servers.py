"""The servers that are compared: mintbench, nginx and the two floors, each on the server's processor.

All but mintbench send the bytes of one of its answers.
"""

import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

from rivals import ROOT, processors

MINTBENCH = os.environ.get("MINTBENCH", str(ROOT / "target/dist/mintbench"))
FLOOR = os.environ.get("FLOOR", str(ROOT / "target/dist/examples/floor"))
NGINX = os.environ.get("NGINX") or shutil.which("nginx") or "/usr/sbin/nginx"
TEMPLATE = ROOT / "benches/floors/nginx.conf.in"
TARGET = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fmanagement.azure.com%2F"
READY_WITHIN_S = 120
# Beyond this nginx refuses an argument of its configuration.
ARGUMENT_BYTES_MAX = 4000
# What nginx writes itself. It has no directive that leaves one of them out.
OF_NGINX = ("content-type", "content-length", "date", "server", "connection")


def fail(text):
    sys.exit(f"error: {text}")


class Program:
    """A server process, as a context. `base` is its URL without a path, `caller` the address that asks it."""

    def __init__(self, name, command, base=None, caller="127.0.0.1"):
        cpu = str(processors()[0])
        self.name, self.base, self.caller = name, base, caller
        # The URL of each endpoint of mintbench by its name.
        self.endpoints = {}
        self.process = subprocess.Popen(["taskset", "-c", cpu, *command], stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.communicate()

    @property
    def url(self):
        return self.base + TARGET

    def read_address(self, endpoint):
        """Reads what it prints until it is ready."""
        for line in self.process.stdout:
            name, _, url = line.strip().partition(" ")
            self.endpoints[name] = url
            if name == "ready":
                self.base = self.endpoints[endpoint]
                return self
        fail(f"{self.name} ended before it was ready")

    def wait_for_port(self):
        """Of a server that does not say when it is ready."""
        deadline = time.monotonic() + READY_WITHIN_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(address(self.base), timeout=1):
                return self
            time.sleep(0.05)
        fail(f"{self.name} does not listen at {self.base}")

    def answer(self):
        """The bytes of the second answer, which is a hit."""
        fetch(self.base, self.caller)
        return fetch(self.base, self.caller)

    def mints(self):
        """Tokens signed so far; none by a server that only sends bytes."""
        return self.count("mints") if "admin" in self.endpoints else 0

    def count(self, what):
        """A counter of mintbench."""
        with urllib.request.urlopen(f"{self.endpoints['admin']}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"mintbench_{what}_total "))

    def cpu_ns(self):
        """Processor time of all its threads, and of those of its children."""
        return sum(cpu_ns(pid) for pid in tree(self.process.pid))


def address(base):
    parts = urlsplit(base)
    return parts.hostname, parts.port


def fetch(base, caller):
    """All bytes of an answer."""
    host, port = address(base)
    request = f"GET {TARGET} HTTP/1.1\r\nHost: {host}:{port}\r\nMetadata: true\r\n\r\n"
    with socket.create_connection((host, port), timeout=10, source_address=(caller, 0)) as connection:
        connection.sendall(request.encode())
        got = b""
        while not is_whole(got):
            piece = connection.recv(65536)
            if not piece:
                fail(f"{base} closes the connection within an answer")
            got += piece
        return got


def is_whole(got):
    head, end, body = got.partition(b"\r\n\r\n")
    return bool(end) and len(body) >= int(dict(fields(head)).get("content-length", 0))


def fields(head):
    """Names in lower case, and values."""
    lines = head.decode().split("\r\n")[1:]
    return [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]


def tree(pid):
    """A process and its children: nginx has its workers there."""
    yield pid
    for thread in os.listdir(f"/proc/{pid}/task"):
        for child in pathlib.Path(f"/proc/{pid}/task/{thread}/children").read_text().split():
            yield from tree(int(child))


def cpu_ns(pid):
    """The first field of `schedstat` (proc(5)) of each thread."""
    threads = pathlib.Path(f"/proc/{pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads)


def mintbench(workers, name="mintbench", more=(), caller="127.0.0.1"):
    endpoints = [word for end in ("imds", "sts", "arm", "vault", "admin") for word in (f"--{end}", "127.0.0.1:0")]
    command = [MINTBENCH, "serve", *endpoints, "--workers", str(workers), *more]
    return Program(name, command, caller=caller).read_address("imds")


def floor(kind, workers, response, name=None, distinct=1):
    """`response` is the file with the bytes to send."""
    command = [FLOOR, kind, "--workers", str(workers), "--response", str(response), "--distinct", str(distinct)]
    return Program(name or kind, command).read_address("floor")


def nginx(workers, answer, folder):
    """An nginx whose answers are as long as this one."""
    if not os.access(NGINX, os.X_OK):
        fail(f"there is no nginx at {NGINX}; install Debian's package nginx-light, or set NGINX")
    # Its own fields have other lengths; one of ours makes up for that.
    with started_nginx(NginxConfig(workers, answer, folder)) as first:
        stretch = len(answer) - len(first.answer())
    return started_nginx(NginxConfig(workers, answer, folder, stretch))


def started_nginx(config):
    config.write()
    command = [NGINX, "-p", str(config.folder), "-c", str(config.path), "-e", "stderr"]
    return Program("nginx", command, f"http://127.0.0.1:{config.port}").wait_for_port()


@dataclass
class NginxConfig:
    """Its configuration file for one answer."""

    workers: int
    answer: bytes
    folder: pathlib.Path
    # By so many bytes the longest field that is not nginx's own is made longer.
    stretch: int = 0

    def __post_init__(self):
        self.path = self.folder / "nginx.conf"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    def write(self):
        head, _, body = self.answer.partition(b"\r\n\r\n")
        of_answer = fields(head)
        lines = [f"            add_header {name} '{quoted(value)}';" for name, value in self.stretched(of_answer)]
        filled = {
            "WORKERS": str(self.workers), "FOLDER": str(self.folder), "LISTEN": f"127.0.0.1:{self.port}",
            "TYPE": quoted(dict(of_answer)["content-type"]), "FIELDS": "\n".join(lines), "BODY": quoted(body.decode()),
        }  # fmt: skip
        text = TEMPLATE.read_text()
        for name, value in filled.items():
            text = text.replace(f"@{name}@", value)
        self.path.write_text(text)

    def stretched(self, of_answer):
        ours = [(name, value) for name, value in of_answer if name not in OF_NGINX]
        longest = max(ours, key=lambda field: len(field[1]), default=None)
        if longest is None or len(longest[1]) + self.stretch < 1:
            fail("no field of the answer can make up for those of nginx")
        length = len(longest[1]) + self.stretch
        return [(name, value[:length].ljust(length, "0") if (name, value) == longest else value) for name, value in ours]


def quoted(text):
    """For single quotes in nginx's configuration, where `$` cannot be escaped."""
    if "$" in text or len(text) > ARGUMENT_BYTES_MAX:
        fail(f"nginx cannot send `{text[:40]}...`: it has a `$`, or more than {ARGUMENT_BYTES_MAX} bytes")
    return text.replace("\\", "\\\\").replace("'", "\\'")
