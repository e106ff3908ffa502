import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bao import MOUNT, BaoServer
from privyseald.clock import SystemClock
from privyseald.errors import SecretStoreForbidden
from privyseald.vault.client import VaultClient
from privyseald.vault.connection import VaultAddress, VaultConnection
from privyseald.vault.errors import PathMissing
from privyseald.vault.jwt import JwtLogin
from server_certificate import write_certificate
from token_review_server import Cluster, reviewing


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with an API server that reviews tokens."""
    _, certificate, private_key = write_certificate(tmp_path)
    with reviewing(certificate, private_key) as running:
        yield running


@pytest.fixture
def mount(bao: BaoServer, cluster: Cluster, tmp_path: Path) -> str:
    """A Kubernetes login on the real server, which trusts the cluster."""
    mount = f"kubernetes-{secrets.token_hex(4)}"
    bao.write(f"sys/auth/{mount}", type="kubernetes")
    bao.write(
        f"auth/{mount}/config",
        kubernetes_host=cluster.url,
        kubernetes_ca_cert=(tmp_path / "authority.pem").read_text(),
        token_reviewer_jwt=cluster.reviewer,
        disable_local_ca_jwt=True,
    )
    bao.root().sys.create_or_update_policy(
        mount, f'path "{MOUNT}/data/*" {{ capabilities = ["read"] }}'
    )
    bao.write(
        f"auth/{mount}/role/privyseal",
        bound_service_account_names=["privyseal"],
        bound_service_account_namespaces=["trading"],
        audience="vault",
        token_policies=[mount],
        token_ttl="5m",
    )
    return mount


def login_of(folder: Path, token: str, mount: str) -> JwtLogin:
    """Return the login with a projected token."""
    (folder / "jwt").write_text(token)
    return JwtLogin(jwt_file=folder / "jwt", role="privyseal", mount=mount)


async def log_in(bao: BaoServer, method: JwtLogin) -> str:
    """Log in on a connection of its own; return the token in clear."""
    connection = VaultConnection(VaultAddress(bao.url))
    try:
        return (await method.log_in(connection)).text.reveal().decode()
    finally:
        await connection.close()


async def test_a_service_account_logs_in(
    bao: BaoServer, cluster: Cluster, mount: str, tmp_path: Path
) -> None:
    """The API server is asked once about a token, and the Vault token is of the role."""
    method = login_of(tmp_path, cluster.token("trading", "privyseal"), mount)

    token = await log_in(bao, method)

    assert await asyncio.to_thread(bao.is_alive, token)
    assert cluster.asked == [201]


@pytest.mark.parametrize(
    ("namespace", "account", "audience"),
    [
        ("trading", "privyseal", "kubernetes"),
        ("trading", "other", "vault"),
        ("elsewhere", "privyseal", "vault"),
    ],
)
async def test_another_audience_or_account_is_refused(
    bao: BaoServer,
    cluster: Cluster,
    mount: str,
    tmp_path: Path,
    namespace: str,
    account: str,
    audience: str,
) -> None:
    """A token for another audience, account or namespace opens nothing, and is not shown."""
    token = cluster.token(namespace, account, audience=audience)

    with pytest.raises(SecretStoreForbidden, match="bound audience and subject") as caught:
        await log_in(bao, login_of(tmp_path, token, mount))

    assert token not in str(caught.value)


async def test_a_deleted_pods_token_is_refused(
    bao: BaoServer, cluster: Cluster, mount: str, tmp_path: Path
) -> None:
    """What the API server takes back stops working, though the token has not ended."""
    token = cluster.token("trading", "privyseal")
    method = login_of(tmp_path, token, mount)
    await log_in(bao, method)
    cluster.revoke(token)

    with pytest.raises(SecretStoreForbidden):
        await log_in(bao, method)


async def test_each_login_reads_the_file_anew(
    bao: BaoServer, cluster: Cluster, mount: str, tmp_path: Path
) -> None:
    """The kubelet's next token is the one that the next login shows."""
    method = login_of(tmp_path, cluster.token("trading", "privyseal", life_s=-60), mount)
    with pytest.raises(SecretStoreForbidden):
        await log_in(bao, method)

    (tmp_path / "jwt").write_text(cluster.token("trading", "privyseal"))

    assert await asyncio.to_thread(bao.is_alive, await log_in(bao, method))


async def test_many_operations_make_one_login(
    bao: BaoServer, cluster: Cluster, mount: str, tmp_path: Path
) -> None:
    """However many keys are read, the API server reviews one token; it ends with the client."""
    method = login_of(tmp_path, cluster.token("trading", "privyseal"), mount)
    client = VaultClient.connect(VaultAddress(bao.url), method, SystemClock())
    with capture_logs() as logs:
        for _ in range(5):
            outcomes = await asyncio.gather(
                *(client.read(MOUNT, f"none/{n}") for n in range(10)), return_exceptions=True
            )
            assert {type(outcome) for outcome in outcomes} == {PathMissing}
    token = (await client._session.tokens.token()).text.reveal().decode()
    await client.close()

    assert [log["event"] for log in logs] == ["vault_logged_in"]
    assert cluster.asked == [201]
    assert not await asyncio.to_thread(bao.is_alive, token)
