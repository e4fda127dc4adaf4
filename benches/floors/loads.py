"""Loads on one server: what each request costs the server, and how long it takes."""

import time
from dataclasses import dataclass

from figures import errors, reported, whole
from rivals import ROOT, Failed, Job, Mintbench, Result, Wrk, settle

CONNECTIONS = 64
# The part of a rate that has to be reached.
REACHED_MIN = 0.9
# So many mints there may be for each answer. One costs as much as twenty hits.
MINTS_MAX = 1e-4

# Beside Host, which every generator sends: five fields, and the nine of azure-identity 1.27.0 for Python.
FIVE = (
    "User-Agent: azsdk-python-identity/1.27.0 Python/3.12.3 (Linux-6.8.0-45-generic-x86_64-with-glibc2.39)",
    "Accept-Encoding: gzip, deflate",
    "Accept: */*",
    "Metadata: true",
)
NINE = (
    *FIVE,
    "Connection: keep-alive",
    "x-client-SKU: MSAL.Python",
    "x-client-Ver: 1.39.0",
    "x-ms-client-request-id: 00000000-0000-4000-8000-000000000000",
)
# `changing` is `nine` with another request id each time, which wrk alone can do.
HEADS = {"five": FIVE, "nine": NINE, "changing": NINE}


@dataclass(frozen=True)
class Load:
    """A load; without a rate, as much as the generator can send."""

    name: str
    rate: int | None
    # True where times matter: then the first seconds are left out. Processor time is of the whole run.
    is_timed: bool = False


LOADS = {
    load.name: load
    for load in (Load("20000", 20_000), Load("50000", 50_000), Load("saturation", None), Load("10000", 10_000, True))
}


class Counting(Mintbench):
    """Counts all requests of a run, as the server's processor time is of all of them."""

    WARMUP_S = 0

    @staticmethod
    def result(report, job, cpu_s):
        of_all = whole(report)
        if job.rate is not None:
            if errors(report):
                raise Failed(f"{errors(report)} requests failed")
            if of_all["count"] < REACHED_MIN * job.rate * report["load"]["duration_s"]:
                raise Failed(f"{of_all['count']} requests were answered in {report['load']['duration_s']:.1f} s, {job.rate} a second were asked")
        us = {name: of["value"] for name, of in reported(report).items()}
        return Result(of_all["count"], report["load"]["duration_s"], us, cpu_s, report["validity"]["valid"])


class Timed(Counting):
    WARMUP_S = 2


class Changing(Wrk):
    script = ROOT / "benches/floors/changing.lua"


def tool(load, head, generator):
    if head == "changing":
        return Changing()
    if generator == "wrk" and load.rate is None:
        return Wrk()
    return Timed() if load.is_timed else Counting()


@dataclass(frozen=True)
class Asking:
    """What is the same for all servers of a measurement."""

    seconds: int
    head: str = "five"
    generator: str = "mintbench"
    connections: int = CONNECTIONS
    # The keys that are asked for, in turn at random; without them there is one.
    vms: int = 0
    user_assigned: int = 0

    def job(self, load, server, seed):
        """`seed` decides when is asked, and for which keys."""
        more = ("--seed", str(seed))
        if not self.vms:
            return Job(server.url, self.seconds, self.connections, load.rate, headers=HEADS[self.head], more=more)
        more = (*more, "--vms", str(self.vms), "--user-assigned", str(self.user_assigned))
        return Job(server.base, self.seconds, self.connections, load.rate, protocol="imds", more=more)


def measure(load, server, asking, seed):
    """What one run says, as it is kept in the log."""
    mints, before_ns, begun = server.mints(), server.cpu_ns(), time.time()
    result = tool(load, asking.head, asking.generator).run(asking.job(load, server, seed))
    cpu_ns, mints = server.cpu_ns() - before_ns, server.mints() - mints
    settle()
    if not result.requests:
        raise Failed("no request was answered")
    if mints > MINTS_MAX * result.requests:
        raise Failed(f"{mints} tokens were signed for {result.requests} answers")
    said = {"at": round(begun), "requests": result.requests, "rate": result.rate, "valid": result.valid, "us": result.us}
    if not load.is_timed:
        said |= {"cpu_us": cpu_ns / 1e3 / result.requests, "busy": cpu_ns / 1e9 / result.seconds}
    return said
