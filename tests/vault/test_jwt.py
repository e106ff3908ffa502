import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hvac.exceptions import InvalidRequest

from bao import MOUNT, BaoServer
from privyseald.config_error import ConfigInvalid
from privyseald.errors import SecretStoreForbidden
from privyseald.vault.connection import VaultAddress, VaultConnection
from privyseald.vault.jwt import JwtLogin

KEY = rsa.generate_private_key(65537, 2048)


@pytest.fixture
async def connection(bao: BaoServer) -> AsyncIterator[VaultConnection]:
    """A connection to a server that trusts KEY."""
    with contextlib.suppress(InvalidRequest):
        bao.write("sys/auth/jwt", type="jwt")
    public = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    bao.write("auth/jwt/config", jwt_validation_pubkeys=[public.decode()])
    bao.root().sys.create_or_update_policy(
        "jwt-reader", f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}'
    )
    bao.write(
        "auth/jwt/role/signer",
        role_type="jwt",
        user_claim="sub",
        bound_audiences=["vault"],
        token_policies=["jwt-reader"],
        token_ttl="5m",
    )
    connection = VaultConnection(VaultAddress(bao.url))
    yield connection
    await connection.close()


def jwt(audience: str) -> str:
    """Return a signed token as Kubernetes projects one."""
    now = int(time.time())
    claims = {"sub": "signer", "aud": audience, "iat": now, "exp": now + 300}
    parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "RS256"}, claims)]
    signed = ".".join(parts)
    signature = KEY.sign(signed.encode(), padding.PKCS1v15(), SHA256())
    return f"{signed}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def test_a_jwt_logs_in(bao: BaoServer, connection: VaultConnection, tmp_path: Path) -> None:
    """A JWT of the right audience gives a token made for us."""
    (tmp_path / "jwt").write_text(jwt("vault"))
    method = JwtLogin(jwt_file=tmp_path / "jwt", role="signer", mount="jwt")

    token = await method.log_in(connection)

    assert (token.life_ms, token.renewable) == (300_000, True)
    assert bao.is_alive(token.text.reveal().decode())
    assert method.owns_token
    assert not method.has_news()


@pytest.mark.parametrize(
    ("audience", "role", "mount"),
    [("other", "signer", "jwt"), ("vault", "none", "jwt"), ("vault", "signer", "nowhere")],
)
async def test_a_refused_jwt_is_named(
    connection: VaultConnection, tmp_path: Path, audience: str, role: str, mount: str
) -> None:
    """A wrong audience, role or mount tells where to look, and shows no token."""
    (tmp_path / "jwt").write_text(text := jwt(audience))

    with pytest.raises(SecretStoreForbidden, match=r"vault\.jwt_file") as caught:
        await JwtLogin(jwt_file=tmp_path / "jwt", role=role, mount=mount).log_in(connection)
    assert text not in str(caught.value)


def test_a_role_is_needed(tmp_path: Path) -> None:
    """Without a role there is nobody to log in as."""
    with pytest.raises(ConfigInvalid, match=r"vault\.role"):
        JwtLogin(jwt_file=tmp_path / "jwt", role="")
