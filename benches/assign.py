"""Assigns user-assigned identities to machines through the control plane until it is told to stop, one
after the other, some 20 a second, and writes how long each took to be acknowledged; `fleet.sh` calls it."""

import http.client
import json
import signal
import sys
import time
import urllib.parse

arm, vms, acks = urllib.parse.urlsplit(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
connection = http.client.HTTPConnection(arm.hostname, arm.port, timeout=30)


def call(method, path, body=None):
    started = time.perf_counter()
    connection.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    taken = time.perf_counter() - started
    assert answer.status in (200, 201, 202), (answer.status, content[:300])
    return taken, json.loads(content)


def stop(*_):
    raise KeyboardInterrupt


# A shell starts its background jobs with SIGINT ignored.
signal.signal(signal.SIGTERM, stop)
(subscription,) = call("GET", "/subscriptions?api-version=2022-12-01")[1]["value"]
group = f"/subscriptions/{subscription['subscriptionId']}/resourceGroups/synthetic/providers"
taken_ms = []
number = 0
try:
    while True:
        # Machines of the upper half: the load asks for tokens of the first thousand.
        number += 1
        vm = vms // 2 + number % (vms // 2)
        identity = f"{group}/Microsoft.ManagedIdentity/userAssignedIdentities/id-{number % (vms // 2)}-0"
        change = {"identity": {"type": "SystemAssigned, UserAssigned", "userAssignedIdentities": {identity: {}}}}
        path = f"{group}/Microsoft.Compute/virtualMachines/vm-{vm}?api-version=2024-07-01"
        taken_ms.append(call("PATCH", path, change)[0] * 1e3)
        time.sleep(0.05)
except KeyboardInterrupt:
    with open(acks, "a") as out:
        out.writelines(f"{taken:.3f}\n" for taken in taken_ms)
