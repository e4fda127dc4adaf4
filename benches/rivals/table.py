"""Prints what `run.sh` measured as Markdown."""

import json
import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from ratios import machine

# What each server does for a token besides the RS256 signature, and what makes its row unlike the first.
WORK = {
    "mintbench-secret": "client secret checked",
    "mintbench-assertion": "PS256 client assertion verified: an RSA verification more",
    "oidc-provider": "client secret checked; JWT access token of a resource server, stored nowhere",
    "oauth2-mock-server": "**less**: the client is not checked; the private key is imported anew for each token",
    "assumed-identity": "**less**: a GET without any client, five claims; a connection and a thread for each"
    " request, as its development server does",
}


class Run:
    """One server in one round."""

    def __init__(self, line, hertz):
        run = json.loads(line)
        load = run["load"]
        assert load["tokens"] == load["requests"] > 0 and load["errors"] == 0, f"refused or failed answers: {line}"
        self.leg, self.version, self.round, self.check = run["leg"], run["version"], run["round"], run["check"]
        seconds, cpu_seconds = load["duration_us"] / 1e6, run["ticks"] / hertz
        self.seconds = seconds
        self.rate = load["tokens"] / seconds
        self.cpu_us = cpu_seconds / load["tokens"] * 1e6
        self.busy = cpu_seconds / seconds


def spread(values, digits):
    values = sorted(values)
    text = [f"{value:,.{digits}f}" for value in (statistics.median(values), values[0], values[-1])]
    return f"{text[0]} ({text[1]} to {text[2]})"


def row(leg, by_leg, first):
    runs = by_leg[leg]
    ratios = "1 | 1"
    if leg != first:
        pairs = list(zip(by_leg[first], runs, strict=True))
        assert all(base.round == run.round for base, run in pairs)
        rates = spread([base.rate / run.rate for base, run in pairs], 2)
        ratios = f"{rates} | {spread([run.cpu_us / base.cpu_us for base, run in pairs], 2)}"
    differ = "each" if all(run.check["unique"] for run in runs) else "each second"
    return (
        f"| `{leg}` | {spread([run.rate for run in runs], 0)} | {spread([run.cpu_us for run in runs], 0)} | {ratios}"
        f" | {min(run.busy for run in runs):.0%} | {differ} | {runs[0].check['token_bytes']} | {WORK[leg]} |"
    )


def main():
    hertz = int(sys.argv[2])
    runs = [Run(line, hertz) for line in open(sys.argv[1])]
    by_leg = {}
    for run in runs:
        by_leg.setdefault(run.leg, []).append(run)
    for leg in by_leg.values():
        leg.sort(key=lambda run: run.round)
    first = next(iter(by_leg))
    print("# Tokens beside other token servers\n")
    print("Made by `benches/rivals/run.sh`. Each server has core 0 and `wrk -t1 -c16` (closed loop, connections kept)")
    print(f"core 1; {max(run.round for run in runs)} rounds, forth and back, each {runs[0].seconds:.0f} s per server after")
    print(f"{sys.argv[3]} s of warm-up. Median (lowest to highest of the rounds). CPU is user and system time of")
    print(f"the whole server process, all of its threads. Ratios to `{first}` are taken within a round. Every answer was")
    print("200 with a token, and of each server and round three tokens were verified: RS256, a 2048-bit key.\n")
    print("\n".join(machine(sys.argv[4])) + "\n")
    print(f"| server | tokens/s | CPU us per token | tokens/s of `{first}` over its | its CPU over `{first}`'s"
          " | core busy, least | tokens differ | bytes of token | for each token |")
    print("|---|--:|--:|--:|--:|--:|---|--:|---|")
    for leg in by_leg:
        print(row(leg, by_leg, first))
    print("\nVersions: " + "; ".join(dict.fromkeys(run.version for run in runs)) + ".\n")
    if sys.argv[5]:
        print(f"{sys.argv[5]}.\n")
    print("Where the core was far from busy, the generator or the machine was the limit, not the server: then")
    print("only the CPU per token counts. Tokens that differ only each second have no claim of their own; RS256 is")
    print("deterministic, so those signed within a second are the same bytes.")


if __name__ == "__main__":
    main()
