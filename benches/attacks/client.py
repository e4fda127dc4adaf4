"""Prints the failed requests and the p99 of the response time, in microseconds, of a run (`run.json`)."""

import json
import sys

with open(sys.argv[1]) as file:
    answers = json.load(file)["classes"]["all"]
print(answers["errors"], answers["response_us"]["p99"]["value"])
