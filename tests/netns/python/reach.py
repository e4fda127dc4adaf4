"""What a VM reaches at the real address, without any SDK; run.sh has given vm-a vm-b's address too."""

import http.client
import json

IMDS = "169.254.169.254"


def get(path, headers, source="169.254.10.1"):
    connection = http.client.HTTPConnection(IMDS, timeout=2, source_address=(source, 0))
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def verdict(sentence, good, what):
    print("\t".join(["ok", sentence] if good else ["failed", sentence, repr(what)]), flush=True)


def main():
    instance = "/metadata/instance?api-version=2021-02-01"
    status, body = get(instance, {"Metadata": "true"})
    name = json.loads(body)["compute"]["name"] if status == 200 else body
    verdict("the instance at 169.254.169.254 is this VM", name == "vm-a", name)

    answer = get("/metadata/identity/oauth2/token", {})
    verdict("no token without the Metadata header", answer[0] == 400, answer)

    try:
        answer = get(instance, {"Metadata": "true"}, source="169.254.10.2")
    except TimeoutError:
        answer = None
    verdict("no answer to one who takes the other VM's address", answer is None, answer)


main()
