"""The README's example: one signed request."""

import os
from pathlib import Path

import httpx

from privyseal import Client, Tls
from privyseal.httpx import SigningTransport

tls = Path(os.environ["PRIVYSEAL_TLS"])
files = Tls(tls / "ca.pem", tls / "client.pem", tls / "client-key.pem")
with (
    Client(os.environ["PRIVYSEAL_TARGET"], tls=files) as client,
    httpx.Client(transport=SigningTransport(client, "keys/whitebit-main")) as http,
):
    answer = http.post(f"{os.environ['VENUE_URL']}/api/v4/trade-account/balance")
    print(answer.status_code, answer.text)
