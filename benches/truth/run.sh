#!/usr/bin/env bash
# What mintbench and other load generators report of servers whose delays follow a known law, beside
# that law and the server's own record. Prints Markdown:
#
#   benches/truth/run.sh > results/reference/truth.md
#
# Exits 1 when no run of mintbench was undisturbed, or one was not within what the harness promises. On
# two processors everything else that runs, this machine's own threads and an editor, too, disturbs.
#
#   SECONDS_EACH=20   of load for each run
#   RATES="1000 10000 half"   requests per second, or half of the highest that the generator gets answered over
#                     the connections that a law needs
#   RIVAL_RATES="..." those at which the other generators are asked, too [all]
#   LAWS="..."        laws, as `benches/truth/server.rs` takes them
#   ATTEMPTS=8        how often a run that was disturbed is made anew
#   TOOLS=a,b         which generators; see benches/generator/rivals.py
#   WRK2=FILE OHA=FILE VEGETA=FILE    where they are, if not on the PATH; what is not found is left out
#   MINTBENCH=FILE TRUTH=FILE GOOSE=FILE   binaries instead of those that cargo builds
#
# Needs python3, taskset and two processors.
set -euo pipefail
cd "$(dirname "$0")/../.."
[[ -n ${MINTBENCH:-} ]] || cargo build --profile dist --quiet --bin mintbench
[[ -n ${TRUTH:-} ]] || cargo build --profile dist --quiet --package truth
[[ -n ${GOOSE:-} ]] || cargo build --profile dist --quiet -p loadtests --bin goose_get
PYTHONPATH=benches/generator exec python3 -B benches/truth/truth.py
