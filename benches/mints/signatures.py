"""Signatures of OpenSSL, with which mints are compared."""

import subprocess

ALGORITHMS = {"RS256": "rsa2048", "ES256": "ecdsap256"}
SECONDS = 2


def signatures(algorithm, cpu):
    """Signatures per second of one processor."""
    command = ["taskset", "-c", str(cpu), "openssl", "speed", "-mr", "-seconds", str(SECONDS), ALGORITHMS[algorithm]]
    said = subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)
    # +F2:2:2048:SIGNED_PER_S:VERIFIED_PER_S of RSA, +F4:3:256:... of ECDSA.
    return next(float(line.split(":")[3]) for line in said.splitlines() if line.startswith("+F"))
