"""Load generators on one core beside each other, as Markdown; see `run.sh`."""

import os
import statistics
import sys

from rivals import Failed, Job, Server, chosen, head, raise_file_limit, recorded, settle

TOOLS = ("mintbench", "raw loop", "wrk", "wrk2", "oha", "goose")
# They take no rate.
UNPACED = ("raw loop", "wrk")
SECONDS = int(os.environ.get("SECONDS_EACH", "5"))
RATE = int(os.environ.get("RATE", "20000"))
CONNECTIONS = 64
# As long as an answer with a token.
BODY_BYTES = 1900


def log(text):
    print(text, file=sys.stderr, flush=True)


def highest(tool):
    """Requests per second, processor time of each, and how busy the server was."""
    with Server("floor", spin=False, body_bytes=BODY_BYTES) as server:
        before = server.cpu_s()
        report = tool.run(Job(server.url, SECONDS, CONNECTIONS, arrivals="constant"))
        # wrk2 and mintbench load it for longer than they measure, which is of no weight here.
        busy = (server.cpu_s() - before) / SECONDS
    settle()
    count = max(report.requests, 1)
    return {"rate": report.rate, "cpu_us": report.cpu_s / count * 1e6, "server": min(busy, 1.0) * 100}


def at_rate(tool):
    """What it reports, and what the server says of the same requests."""
    with Server("floor", body_bytes=BODY_BYTES) as server:
        report, record = recorded(tool, server, Job(server.url, SECONDS, CONNECTIONS, RATE))
    taken = record["taken_us"]
    settle()
    figures = {name: report.us[name] for name in ("p50", "p99")}
    figures |= {f"server {name}": taken[name] for name in ("p50", "p99")}
    return figures | {"sent": report.rate, "valid": report.valid}


def rounds_of(number, tools, measure):
    """The figures of each tool, forth and back in turn."""
    figures = {tool.name: [] for tool in tools}
    failures = {}
    for turn in range(number):
        for tool in tools if turn % 2 == 0 else reversed(tools):
            log(f"round {turn + 1}: {measure.__name__}: {tool.name}")
            try:
                figures[tool.name].append(measure(tool))
            except Failed as error:
                failures[tool.name] = str(error)
    return figures, failures


def spread(rows, name, form="{:,.1f}"):
    values = [row[name] for row in rows if row[name] is not None]
    if not values:
        return "-"
    low, middle, high = (form.format(value) for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def valid(rows):
    said = [row["valid"] for row in rows if row["valid"] is not None]
    return f"{sum(said)} of {len(said)}" if said else "it does not say"


def table(title, columns, figures, failures):
    print(f"\n## {title}\n")
    print(f"| generator | {' | '.join(columns)} |")
    print("|---|" + "--:|" * len(columns))
    for tool, rows in figures.items():
        if rows:
            cells = [cell(rows) for cell in columns.values()]
        else:
            cells = [f"failed: {failures.get(tool)}"] + ["-"] * (len(columns) - 1)
        print(f"| {tool} | {' | '.join(cells)} |")


def main():
    rounds = int(sys.argv[1])
    raise_file_limit()
    tools = chosen(TOOLS)
    print("# Load generators on one core\n")
    print("Made by `benches/generator/run.sh`. The server answers at once, with as many bytes as a token takes.")
    print(f"Medians of {rounds} interleaved rounds of {SECONDS} s (lowest to highest), {CONNECTIONS} connections.\n")
    print("\n".join(head(tools)))
    tools = [tool for tool in tools if tool.path()]
    columns = {
        "requests/s": lambda rows: spread(rows, "rate", "{:,.0f}"),
        "processor time per request, us": lambda rows: spread(rows, "cpu_us", "{:.2f}"),
        "server busy, %": lambda rows: spread(rows, "server", "{:.0f}"),
    }
    fastest, failed = rounds_of(rounds, tools, highest)
    table("Highest rate", columns, fastest, failed)
    print("\nWhere the server is busy for all of the time, it sets the rate. mintbench is asked for more than it can send, so its")
    print("time per request is all of its core's. The raw loop is what the system calls alone cost.")
    columns = {
        "p50, us": lambda rows: spread(rows, "p50"),
        "server's p50, us": lambda rows: spread(rows, "server p50"),
        "p99, us": lambda rows: spread(rows, "p99"),
        "server's p99, us": lambda rows: spread(rows, "server p99"),
        "requests/s": lambda rows: spread(rows, "sent", "{:,.0f}"),
        "valid rounds": valid,
    }
    paced = [tool for tool in tools if tool.name not in UNPACED]
    reported, failed_paced = rounds_of(rounds, paced, at_rate)
    table(f"What is reported at {RATE:,} requests/s", columns, reported, failed_paced)
    print("\nThe server's record is from when it notices a request to when its answer is handed over: what a")
    print("generator reports beyond it is the kernel's way there and back, and its own lateness. `wrk` and the")
    print("raw loop take no rate.")
    # The tables compare nothing where ours has failed, or says of every round that it is not valid.
    ours = "mintbench"
    if ours not in reported:
        return 0
    failed = ours in failed or ours in failed_paced
    return 1 if failed or not any(row["valid"] for row in reported[ours]) else 0


if __name__ == "__main__":
    sys.exit(main())
