"""What `helm test` runs: one TLS handshake with the Service, as a caller would begin."""

import os
import pathlib
import socket
import ssl
import sys

host, port = os.environ["HOST"], int(os.environ["PORT"])
ca_file = pathlib.Path(os.environ.get("CA_FILE", "/etc/privyseal/tls/ca.crt"))
tls = ssl.create_default_context(cafile=str(ca_file) if ca_file.exists() else None)
tls.check_hostname = os.environ["CHECK_NAME"] == "yes"
tls.set_alpn_protocols(["h2"])
try:
    with (
        socket.create_connection((host, port), 10) as peer,
        tls.wrap_socket(peer, server_hostname=host) as secured,
    ):
        sys.stdout.write(
            f"{host}:{port}: {secured.version()}, {secured.selected_alpn_protocol()}\n"
        )
except OSError as error:
    sys.exit(f"{host}:{port} can't be reached or trusted: {error}")
