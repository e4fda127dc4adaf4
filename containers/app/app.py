"""Gets a token as a program on a virtual machine of Azure does, and prints whose it is.

    app.py                of the machine's own identity
    app.py CLIENT_ID      of the user-assigned identity with this client id

Exit code 1: there is no token for this machine.
"""

import base64
import json
import sys

from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ManagedIdentityCredential


def main(client_id=None):
    credential = ManagedIdentityCredential(client_id=client_id)
    try:
        token = credential.get_token("https://vault.azure.net/.default").token
    except ClientAuthenticationError as error:
        sys.exit(f"no token: {error.message}")
    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    print(f"a token of {claims['xms_mirid']}")


main(*sys.argv[1:])
