"""Asks for one token as most programs do, and prints what came of it as one line of JSON."""

import json
import time

from azure.identity import ManagedIdentityCredential

began = time.monotonic()
try:
    ManagedIdentityCredential().get_token("https://vault.azure.net/.default")
    error = None
except Exception as failed:  # every kind of failure is a result here
    error = f"{type(failed).__name__}: {failed}"
print(json.dumps({"error": error, "seconds": time.monotonic() - began}))
