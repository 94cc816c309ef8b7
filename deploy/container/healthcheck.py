"""Exit status 0 while the server of this container is alive. Needs only the standard library."""

from __future__ import annotations

import http.client
import os
import ssl
import sys

port = int(os.environ.get("STERNA_PORT", "8000"))
connection: http.client.HTTPConnection
if os.environ.get("STERNA_TLS_CERT"):
    # The certificate is for the name that clients use, and not for 127.0.0.1.
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=4, context=context)
else:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=4)
try:
    connection.request("GET", "/livez")
    status = connection.getresponse().status
except OSError as error:
    sys.exit(f"no answer on port {port}: {error}")
sys.exit(0 if status == 200 else f"/livez answered {status}")
