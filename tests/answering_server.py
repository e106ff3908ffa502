"""A server on loopback that gives the answers it was told to, for those no real Vault gives."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; a dict becomes JSON. `delay_s` passes first."""

    status: int = 200
    body: object = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    hangs_up: bool = False


class AnsweringServer:
    """Gives its replies in order, the last one again and again, and notes what was asked."""

    def __init__(self, port: int, replies: tuple[Reply, ...]) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self._replies = list(replies)

    def next(self, method: str, path: str, headers: dict[str, str]) -> Reply:
        """Note a request and return its answer."""
        self.asked.append((method, path, headers))
        return self._replies.pop(0) if len(self._replies) > 1 else self._replies[0]


@contextmanager
def answering(*replies: Reply) -> Iterator[AnsweringServer]:
    """Run a server that gives these answers."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            reply = told.next(self.command, self.path, dict(self.headers))
            time.sleep(reply.delay_s)
            if reply.hangs_up:
                self.close_connection = True
                return
            body = reply.body.encode() if isinstance(reply.body, str) else _json(reply.body)
            self.send_response(reply.status)
            for name, value in (("Content-Type", "application/json"), *reply.headers):
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # the base class's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that gave up is no failure here."""

    server = Quiet(("127.0.0.1", 0), Handler)
    told = AnsweringServer(server.server_address[1], replies)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _json(body: object) -> bytes:
    return json.dumps(body).encode()
