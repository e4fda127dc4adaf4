"""A record of what passes over loopback: requests and answers, with the kernel's stamps, whoever serves.

    wire.py FILE      # until SIGTERM; needs CAP_NET_RAW

FILE gets the bytes of each TCP packet with data, cut off after the first line of HTTP, and its stamp. `exchanges`
reads it. A reader that sleeps between its looks costs little of a processor.
"""

import ctypes
import signal
import socket
import struct
import sys
import time
from collections import defaultdict
from dataclasses import dataclass

# <linux/if_ether.h>, <linux/if_packet.h>, <asm/socket.h>
ETH_P_IP, SOL_PACKET, PACKET_STATISTICS, PACKET_IGNORE_OUTGOING = 0x0800, 263, 6, 23
SO_ATTACH_FILTER, SO_RCVBUFFORCE, SO_TIMESTAMPNS = 26, 33, 35
BUFFER_BYTES = 256 << 20
KEPT_BYTES = 160
# The IP length of an acknowledgement without data, with all options that TCP has on loopback, is at most this.
EMPTY_BYTES = 72
PAUSE_S = 0.02
# Stamp and length before the bytes of each packet.
HEAD = struct.Struct("<QH")


def keep_data(sock):
    """Has the kernel leave out packets without data. The program is of the classic packet filter."""
    program = (
        (0x30, 0, 0, 9),  # A = protocol
        (0x15, 0, 3, socket.IPPROTO_TCP),  # else drop
        (0x28, 0, 0, 2),  # A = length of the packet
        (0x25, 0, 1, EMPTY_BYTES),  # A > EMPTY_BYTES, else drop
        (0x06, 0, 0, KEPT_BYTES),
        (0x06, 0, 0, 0),
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(program), ctypes.addressof(code)))


def opened():
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    keep_data(sock)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    # On loopback every packet is seen twice.
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind(("lo", ETH_P_IP))
    sock.setblocking(False)
    return sock


def stamp_ns(ancillary):
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
            seconds, nanos = struct.unpack("qq", data)
            return seconds * 1_000_000_000 + nanos
    return 0


def capture(sock, file, is_ended):
    while True:
        ending = is_ended()
        try:
            while True:
                data, ancillary, _, _ = sock.recvmsg(KEPT_BYTES, 64)
                file.write(HEAD.pack(stamp_ns(ancillary), len(data)) + data)
        except BlockingIOError:
            pass
        if ending:
            return
        time.sleep(PAUSE_S)


@dataclass
class Exchange:
    """A request and its answer, in wall nanoseconds; without an answer `sent_ns` is 0."""

    received_ns: int
    sent_ns: int
    status: int


def packets(path):
    """Stamp, ports of sender and receiver, first bytes of the data."""
    with open(path, "rb") as file:
        while head := file.read(HEAD.size):
            stamp, length = HEAD.unpack(head)
            data = file.read(length)
            tcp = (data[0] & 15) * 4
            sender, receiver = struct.unpack_from(">HH", data, tcp)
            payload = data[tcp + (data[tcp + 12] >> 4) * 4 :]
            yield stamp, sender, receiver, payload


def exchanges(path, port):
    """Those with the server at a port, in the order of the requests."""
    open_by_client, done = defaultdict(list), []
    for stamp, sender, receiver, payload in packets(path):
        if receiver == port:
            current = open_by_client[sender]
            if current and not current[-1].sent_ns:
                # The next part of one request.
                current[-1].received_ns = stamp
            else:
                current.append(Exchange(stamp, 0, 0))
                done.append(current[-1])
        elif sender == port and open_by_client[receiver]:
            current = open_by_client[receiver][-1]
            current.sent_ns = stamp
            if payload.startswith(b"HTTP/1.1 "):
                current.status = int(payload[9:12])
    return done


def main():
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    with opened() as sock, open(sys.argv[1], "wb") as file:
        print("ready", flush=True)
        capture(sock, file, lambda: bool(ended))
        _, lost = struct.unpack("II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    print(f'{{"lost": {lost}, "cpu_s": {time.process_time():.2f}}}')


if __name__ == "__main__":
    main()
