"""Mints beside OpenSSL's signatures, in turns, as Markdown; see `run.sh`."""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import uuid

from medians import told
from rivals import processors
from servers import MINTBENCH, Program, cpu_ns, fail
from signatures import ALGORITHMS, signatures

# Of the only machine. Each request asks for a token of the next one, so that no two wait for the same mint.
IDENTITIES = 200
CONNECTIONS = 16
WARMUP_S = 1
SUBSCRIPTION = ("50b50000-0000-4000-8000-000000000001", "7e4a0000-0000-4000-8000-000000000001")
SCRIPT = pathlib.Path(__file__).with_name("identities.lua")
# What is asked of mints, as a share of OpenSSL's signatures per second.
ASKED = {"ES256": {"lane": 0.95, "core": 0.65}, "RS256": {}}


def world(ids):
    """A world with one machine, which has these identities."""
    subscription, tenant = SUBSCRIPTION
    text = f'[[tenants]]\nid = "{tenant}"\n[[subscriptions]]\nid = "{subscription}"\ntenant = "{tenant}"\n'
    place = f'subscription = "{subscription}"\nresource_group = "rg"\n'
    for number, client_id in enumerate(ids):
        text += f'[[user_assigned]]\nname = "identity-{number}"\nclient_id = "{client_id}"\n{place}'
    names = [f"identity-{number}" for number in range(len(ids))]
    return text + f'[[vms]]\nname = "vm"\naddress = "127.0.0.1"\nuser_assigned = {names}\n{place}'


def broker(algorithm, file):
    command = [MINTBENCH, "serve", "--world", file, "--alg", algorithm, "--workers", "1", "--mint-lanes", "1"]
    for surface in ("imds", "sts", "arm", "vault", "admin"):
        command += [f"--{surface}", "127.0.0.1:0"]
    return Program("mintbench", command).read_address("imds")


def lane_ns(pid):
    """Processor time of the signing thread."""
    for thread in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if (thread / "comm").read_text().strip() == "mint-0":
            return int((thread / "schedstat").read_text().split()[0])
    return fail("the broker has no thread mint-0")


def load(server, seconds, identities):
    command = ["taskset", "-c", str(processors()[-1]), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(SCRIPT), server.base]
    said = subprocess.check_output(command, text=True, env=os.environ | {"IDENTITIES": identities})
    if not said.strip().endswith(" failed 0"):
        fail(f"requests failed: {said}")


def mints(algorithm, seconds):
    """Mints per second of the signing thread, and of all threads."""
    ids = [str(uuid.UUID(int=number, version=4)) for number in range(IDENTITIES)]
    with tempfile.TemporaryDirectory() as folder:
        toml, names = pathlib.Path(folder, "world.toml"), pathlib.Path(folder, "identities")
        toml.write_text(world(ids))
        names.write_text("\n".join(ids) + "\n")
        with broker(algorithm, str(toml)) as server:
            return measure(server, seconds, str(names))


def measure(server, seconds, names):
    load(server, WARMUP_S, names)
    pid = server.process.pid
    before = server.mints(), lane_ns(pid), cpu_ns(pid)
    load(server, seconds, names)
    minted, lane, core = (now - then for now, then in zip((server.mints(), lane_ns(pid), cpu_ns(pid)), before))
    return {"lane": minted / lane * 1e9, "core": minted / core * 1e9}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--algs", type=lambda text: text.split(","), default=list(ALGORITHMS))
    given = parser.parse_args()
    cpu = processors()[0]
    for algorithm in given.algs:
        ratios = {"lane": [], "core": []}
        before = signatures(algorithm, cpu)
        for number in range(given.rounds):
            rates = mints(algorithm, given.seconds)
            after = signatures(algorithm, cpu)
            bare = (before + after) / 2
            before = after
            for what, rate in rates.items():
                ratios[what].append(rate / bare)
            print(f"{algorithm} {number + 1}: {bare:.0f} signatures/s; lane {ratios['lane'][-1]:.3f}, core {ratios['core'][-1]:.3f}", file=sys.stderr, flush=True)
        print(f"| {algorithm} | {told(ratios['lane'])} | {told(ratios['core'])} |", flush=True)


if __name__ == "__main__":
    main()
