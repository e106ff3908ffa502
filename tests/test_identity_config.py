from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from privyseald.config import ServerConfig
from privyseald.config_error import ConfigInvalid
from privyseald.outbound.http import HttpOutbound

_ISSUER = {"issuer": "https://a.test", "audience": "privyseal", "jwks_file": "jwks.json"}
_URL = {"issuer": "https://a.test", "audience": "privyseal", "jwks_url": "https://a.test/jwks"}
_TLS = {"certificate_file": "a", "private_key_file": "b"}
_MUTUAL = {**_TLS, "client_ca_file": "c"}
_SOCKET = {"path": "/run/privyseal/a.sock", "caller": "unix:maker"}


def jwt(**changed: Any) -> dict[str, Any]:
    """Return `server.jwt` with one issuer, and what a test changes."""
    return {"issuers": {"desk": _ISSUER}, **changed}


def issuer(base: dict[str, Any] = _ISSUER, **changed: Any) -> dict[str, Any]:
    """Return `server.jwt` with an issuer that a test changes; None leaves out."""
    settings = {name: value for name, value in {**base, **changed}.items() if value is not None}
    return {"issuers": {"desk": settings}}


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ({"tls": _TLS}, "server.tls.client_ca_file is missing"),
        ({"jwt": jwt(), "allow_plaintext_on_loopback": True}, "server.jwt needs server.tls"),
        ({"tls": _TLS, "jwt": jwt(listen="127.0.0.1:1")}, "drop server.jwt.listen"),
        ({"tls": _MUTUAL, "jwt": jwt()}, "no token would ever count"),
        ({"tls": _TLS, "jwt": {"issuers": {}}}, "at least 1 item"),
        ({"tls": _TLS, "jwt": jwt(leeway_ms=30_001)}, "less than or equal to 30000"),
        ({"tls": _TLS, "jwt": jwt(max_token_bytes=16_384)}, "less than or equal to 12288"),
        ({"tls": _TLS, "jwt": jwt(max_lifetime_ms=86_400_001)}, "less than or equal to 86400000"),
        ({"tls": _TLS, "jwt": jwt(with_certificate="certificate")}, "'refuse' or 'token'"),
        ({"tls": _TLS, "jwt": {"issuers": {"a": _ISSUER, "b": _URL}}}, "have the same issuer"),
        ({"tls": _TLS, "jwt": {"issuers": {"a/b": _ISSUER}}}, "match pattern"),
        ({"tls": _TLS, "jwt": issuer(audience=None)}, "Field required"),
        ({"tls": _TLS, "jwt": issuer(issuer=None)}, "Field required"),
        ({"tls": _TLS, "jwt": issuer(jwks_file=None)}, "needs one of jwks_file and jwks_url"),
        ({"tls": _TLS, "jwt": issuer(jwks_url="https://a.test")}, "needs one of jwks_file and"),
        ({"tls": _TLS, "jwt": issuer(jwks_ca_file="ca")}, "go with jwks_url"),
        ({"tls": _TLS, "jwt": issuer(jwks_token_file="t")}, "go with jwks_url"),
        ({"tls": _TLS, "jwt": issuer(_URL, jwks_url="http://a.test/j")}, "must be https"),
        ({"tls": _TLS, "jwt": issuer(_URL, jwks_url="http://127.0.0.1.a.test")}, "must be https"),
        ({"tls": _TLS, "jwt": issuer(algorithms=["none"])}, "'EdDSA'"),
        ({"tls": _TLS, "jwt": issuer(algorithms=["HS256"])}, "'EdDSA'"),
        ({"tls": _TLS, "jwt": issuer(algorithms=[])}, "at least 1 item"),
        ({"tls": _TLS, "jwt": issuer(claims={"a b": "c"})}, "match pattern"),
        ({"tls": _MUTUAL, "unix_socket": _SOCKET, "workers": 2}, "a socket has one owner"),
        ({"tls": _MUTUAL, "unix_socket": {**_SOCKET, "mode": "0666"}}, "'0600' or '0660'"),
        ({"tls": _MUTUAL, "unix_socket": {**_SOCKET, "path": "/" + "a" * 107}}, "longer than 107"),
        ({"tls": _MUTUAL, "unix_socket": {**_SOCKET, "caller": "jwt:desk/maker"}}, "bring a token"),
        ({"tls": _MUTUAL, "unix_socket": {**_SOCKET, "caller": "two words"}}, "match pattern"),
    ],
)
def test_ways_to_prove_oneself_that_can_not_be_right(server: dict[str, Any], words: str) -> None:
    """Each is refused before a port is opened, and the answer says what to set."""
    with pytest.raises(ValidationError) as caught:
        ServerConfig.model_validate(server)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "server",
    [
        {"tls": _TLS, "jwt": jwt()},
        {"tls": _MUTUAL, "jwt": jwt(listen="127.0.0.1:1")},
        {"tls": _MUTUAL, "jwt": jwt(with_certificate="token")},
        {"tls": _TLS, "jwt": issuer(_URL, jwks_url="http://127.0.0.1:8080/jwks")},
        {"tls": _MUTUAL, "unix_socket": _SOCKET},
        {"allow_plaintext_on_loopback": True, "unix_socket": _SOCKET},
    ],
)
def test_ways_to_prove_oneself_that_go_together(server: dict[str, Any]) -> None:
    """What is sound is accepted."""
    assert ServerConfig.model_validate(server).model_dump(exclude_unset=True).keys() == (
        server.keys()
    )


async def test_an_authority_that_can_not_be_read(tmp_path: Path) -> None:
    """A CA file that is missing, or none, is named by its setting."""
    odd = tmp_path / "ca.pem"
    odd.write_text("no")
    for file in (odd, tmp_path / "nothing.pem"):
        with pytest.raises(ConfigInvalid, match=r"^server\.jwt\.x: .*can't be read as PEM"):
            HttpOutbound(timeout_ms=1, connect_timeout_ms=1, ca_file=file, setting="server.jwt.x")
