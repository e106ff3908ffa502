"""A Kubernetes API server for tests, as far as Vault's Kubernetes login sees one."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

_PATH = "/apis/authentication.k8s.io/v1/tokenreviews"


class Cluster:
    """Issues service account tokens and reviews them, for a reviewer who may ask."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        self._revoked: set[str] = set()
        self.url = ""
        self.reviewer = self.token("vault", "reviewer", audience="kubernetes")
        self.asked: list[int] = []

    def token(
        self, namespace: str, account: str, *, audience: str = "vault", life_s: int = 600
    ) -> str:
        """Return a token as the kubelet projects one into a pod."""
        now = int(time.time())
        claims = {
            "iss": "https://kubernetes.default.svc",
            "sub": f"system:serviceaccount:{namespace}:{account}",
            "aud": [audience],
            "iat": now,
            "nbf": now,
            "exp": now + life_s,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": account, "uid": f"uid-of-{account}"},
            },
        }
        header = {"alg": "RS256", "typ": "JWT"}
        signed = ".".join(_encode(json.dumps(part).encode()) for part in (header, claims))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), SHA256())
        return f"{signed}.{_encode(signature)}"

    def revoke(self, token: str) -> None:
        """Forget a token, as when its pod is deleted."""
        self._revoked.add(token)

    def answer(self, bearer: str, path: str, content_type: str, body: bytes) -> tuple[int, object]:
        """Return status and answer, after the checks of a real API server."""
        if bearer != f"Bearer {self.reviewer}":
            return 401, {"kind": "Status", "apiVersion": "v1", "code": 401}
        if path != _PATH:
            return 404, {"kind": "Status", "apiVersion": "v1", "code": 404}
        review = json.loads(body)
        # A real server takes version and kind from the path where the body has none.
        version, kind = review.get("apiVersion"), review.get("kind")
        if (
            version not in (None, "authentication.k8s.io/v1")
            or kind not in (None, "TokenReview")
            or "json" not in content_type
        ):
            return 400, {"kind": "Status", "apiVersion": "v1", "code": 400}
        spec = review["spec"]
        return 201, {**review, "status": self._status(spec["token"], spec.get("audiences") or [])}

    def _status(self, token: str, audiences: list[str]) -> dict[str, object]:
        claims = self._claims(token)
        accepted = [each for each in audiences or ["kubernetes"] if each in claims.get("aud", [])]
        if not accepted:
            return {"authenticated": False, "error": "[invalid bearer token, no audience]"}
        account = claims["kubernetes.io"]["serviceaccount"]
        return {
            "authenticated": True,
            "audiences": accepted,
            "user": {
                "username": claims["sub"],
                "uid": account["uid"],
                "groups": ["system:serviceaccounts", "system:authenticated"],
            },
        }

    def _claims(self, token: str) -> dict[str, dict[str, dict[str, str]]]:
        signed, _, signature = token.rpartition(".")
        self._key.public_key().verify(
            _decode(signature), signed.encode(), padding.PKCS1v15(), SHA256()
        )
        claims = json.loads(_decode(signed.partition(".")[2]))
        is_over = token in self._revoked or claims["exp"] < time.time()
        return {} if is_over else claims


@contextmanager
def reviewing(certificate: Path, private_key: Path) -> Iterator[Cluster]:
    """Run a cluster's API server with TLS on loopback."""
    cluster = Cluster()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the base class's name
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = cluster.answer(
                self.headers.get("Authorization", ""),
                self.path,
                self.headers.get("Content-Type", ""),
                body,
            )
            cluster.asked.append(status)
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = SSLContext(PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, private_key)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    cluster.url = f"https://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield cluster
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
