"""Callers that ask for a cold token at one instant, each on a connection and from an address of its own."""

import ipaddress
import multiprocessing
import os
import select
import socket
import time
from dataclasses import dataclass

from servers import TARGET, is_whole

# The address of the first machine of a synthetic world.
FIRST_VM = int(ipaddress.ip_address("127.1.0.1"))
# Of one process, below the usual limit on open files.
CALLERS_MAX = 10_000
# Requests that are sent before the answers that have come are read.
TURN = 256
WITHIN_S = 120


@dataclass
class Answer:
    """Seconds of the monotonic clock; the status is 0 if the connection ended without an answer."""

    sent: float
    came: float = 0.0
    status: int = 0


class Callers:
    """Machines of a world, by number, on connections that are open before they ask."""

    def __init__(self, host, port, machines):
        self.request = f"GET {TARGET} HTTP/1.1\r\nHost: {host}:{port}\r\nMetadata: true\r\n\r\n".encode()
        self.poll = select.epoll()
        self.answers, self.got, self.sockets = {}, {}, {}
        for machine in machines:
            address = str(ipaddress.ip_address(FIRST_VM + machine))
            connection = socket.create_connection((host, port), timeout=WITHIN_S, source_address=(address, 0))
            connection.setblocking(False)
            self.sockets[connection.fileno()] = connection
            self.poll.register(connection, select.EPOLLIN)

    def ask(self, begin):
        """All answers to requests that are sent from this moment on."""
        time.sleep(max(0.0, begin - time.monotonic()))
        for number, (file, connection) in enumerate(self.sockets.items(), 1):
            self.answers[file], self.got[file] = Answer(time.monotonic()), b""
            connection.send(self.request)
            if number % TURN == 0:
                self.read(0)
        while self.got and time.monotonic() < begin + WITHIN_S:
            self.read(1)
        return list(self.answers.values())

    def read(self, timeout):
        for file, _ in self.poll.poll(timeout):
            self.receive(file)

    def receive(self, file):
        try:
            piece = self.sockets[file].recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if file not in self.got:
            # Closed before it was asked: the send fails, or no answer comes.
            self.poll.unregister(file)
            return
        self.got[file] += piece
        if not piece or is_whole(self.got[file]):
            head = self.got.pop(file)
            answer = self.answers[file]
            answer.came, answer.status = time.monotonic(), int(head[9:12]) if piece else 0
            self.poll.unregister(file)


def work(pipe, cpu, arguments):
    os.sched_setaffinity(0, {cpu})
    # The generator that measures warm keys goes first.
    os.nice(10)
    callers = Callers(*arguments)
    pipe.send(None)
    pipe.send(callers.ask(pipe.recv()))


class Herd:
    """Callers in as many processes as they need files for, as a context."""

    def __init__(self, address, machines, cpu):
        parts = -(-len(machines) // CALLERS_MAX)
        self.pipes, self.processes = [], []
        for part in range(parts):
            own, other = multiprocessing.Pipe()
            process = multiprocessing.Process(target=work, args=(other, cpu, (*address, machines[part::parts])))
            process.start()
            self.pipes.append(own)
            self.processes.append(process)

    def __enter__(self):
        for pipe in self.pipes:
            pipe.recv()
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.terminate()
            process.join()

    def ask(self, begin):
        for pipe in self.pipes:
            pipe.send(begin)
        return [answer for pipe in self.pipes for answer in pipe.recv()]
