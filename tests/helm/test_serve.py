"""The rendered pods run: a real OpenBao with Kubernetes' login, a real Valkey, real callers."""

import asyncio
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from bao import MOUNT, BaoServer, free_port
from helm.engine import CHART, Engine, Values
from helm.kube_proxy import KubeProxy
from helm.kubelet import Pod
from privyseald.cli.certificates import Pem, TryOutCa
from server_certificate import write_certificate
from service import TRADER, Stubs, eventually, sign_request
from token_review_server import Cluster, reviewing
from valkey_server import ValkeyServer
from vault_policies import policy as vault_policy

_BODY = b'{"market":"BTC_USDT","side":"buy","amount":"0.5","price":"60000"}'
_POLICY = f"""\
version: 1
rules:
  - name: trader
    callers: ["{TRADER}"]
    keys: ["desk-*"]
    allow: [sign]
"""
# Above the age of connections, as in values.yaml, but shorter.
_AGE_MS, _DRAIN_MS = 1_000, 2_500


@dataclass(frozen=True, slots=True)
class Site:
    """What the pods stand beside, and the values for it."""

    folder: Path
    values: Values
    ca: TryOutCa
    server: Pem
    cluster: Cluster

    def pod(self, engine: Engine, name: str, **values: Any) -> Pod:
        """Lay out a pod with ports of its own."""
        ports = {each: free_port() for each in ("grpc", "ops", "token", "metrics")}
        objects = engine.render({**self.values, "ports": ports, **values})
        tls = {
            "tls.crt": self.server.certificate,
            "tls.key": self.server.private_key,
            "ca.crt": self.ca.certificate,
        }
        token = self.cluster.token("trading", "desk-privyseal").encode()
        sources = {"secret/desk-privyseal-tls": tls, "token/vault": {"token": token}}
        return Pod(self.folder / name, objects, sources)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster with an API server that reviews tokens."""
    _, certificate, private_key = write_certificate(tmp_path)
    with reviewing(certificate, private_key) as running:
        yield running


@pytest.fixture
def site(
    bao: BaoServer, valkey_server: ValkeyServer, cluster: Cluster, prefix: str, tmp_path: Path
) -> Site:
    """A Vault that takes the cluster's tokens and has a key, and a Valkey."""
    mount = f"kubernetes-{secrets.token_hex(4)}"
    bao.write(f"sys/auth/{mount}", type="kubernetes")
    bao.write(
        f"auth/{mount}/config",
        kubernetes_host=cluster.url,
        kubernetes_ca_cert=(tmp_path / "authority.pem").read_text(),
        token_reviewer_jwt=cluster.reviewer,
        disable_local_ca_jwt=True,
    )
    bao.root().sys.create_or_update_policy(mount, vault_policy("service", prefix))
    bao.write(
        f"auth/{mount}/role/privyseal",
        bound_service_account_names=["desk-privyseal"],
        bound_service_account_namespaces=["trading"],
        audience="vault",
        token_policies=[mount],
        token_ttl="5m",
    )
    document = {"venue": "whitebit", "algorithm": "hmac-sha512", "api_key": "test-key"}
    data = {**document, "api_secret": "test-secret"}
    bao.write(f"{MOUNT}/data/{prefix}/desk-whitebit", data=data)
    values = {
        "replicaCount": 2,
        "persistence": {"enabled": False},
        "vault": {
            "address": bao.url,
            "allowPlaintext": True,
            "mount": MOUNT,
            "prefix": prefix,
            "auth": {"mount": mount},
        },
        "state": {"url": valkey_server.url, "allowPlaintext": True},
        "policy": {"document": _POLICY},
        "config": {
            "server": {
                "max_connection_age_ms": _AGE_MS,
                "drain_delay_ms": _DRAIN_MS,
                "grace_ms": 3_000,
            }
        },
    }
    ca = TryOutCa()
    return Site(tmp_path, values, ca, ca.server(("localhost", "127.0.0.1")), cluster)


@pytest.fixture
async def pods(engine: Engine, site: Site) -> AsyncIterator[list[Pod]]:
    """Both replicas, ready."""
    running = [site.pod(engine, name) for name in ("pod-0", "pod-1")]
    try:
        for pod in running:
            pod.start()
        for pod in running:
            await asyncio.to_thread(pod.await_ready)
        yield running
    finally:
        for pod in running:
            pod.stop()


def port(pod: Pod, name: str) -> int:
    """Return a named port of the container."""
    ports = pod.spec["containers"][0]["ports"]
    return int(next(each["containerPort"] for each in ports if each["name"] == name))


def connect(site: Site, *pods: Pod) -> Stubs:
    """Return stubs that balance themselves over the pods, as by the headless Service."""
    return connect_to(site, *(port(pod, "grpc") for pod in pods))


def connect_to(site: Site, *ports: int) -> Stubs:
    """Return stubs that balance themselves over ports."""
    pem = site.ca.caller(TRADER)
    credentials = grpc.ssl_channel_credentials(
        site.ca.certificate, pem.private_key, pem.certificate
    )
    addresses = ",".join(f"127.0.0.1:{each}" for each in ports)
    options = (
        ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
        ("grpc.ssl_target_name_override", "localhost"),
        ("grpc.use_local_subchannel_pool", 1),
    )
    return Stubs(grpc.aio.secure_channel(f"ipv4:{addresses}", credentials, options))


def order() -> Any:
    """Return the request that all tests here have signed."""
    return sign_request("desk-whitebit", "POST", "/api/v4/order/new", _BODY)


def get(pod: Pod, path: str) -> tuple[int, str]:
    """Ask the HTTP port as Prometheus does."""
    url = f"http://127.0.0.1:{port(pod, 'metrics')}{path}"
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


async def test_a_pod_is_live_ready_and_signs(site: Site, pods: list[Pod]) -> None:
    """By Kubernetes' login in Vault, with the shipped policy for a service that only signs."""
    for pod in pods:
        assert pod.probe("startup")
        assert pod.probe("liveness")
        assert pod.probe("readiness")
        assert (await asyncio.to_thread(get, pod, "/readyz"))[0] == 200
        assert "privyseal_ready 1.0" in (await asyncio.to_thread(get, pod, "/metrics"))[1]
    stubs = connect(site, *pods)
    nonces = [(await stubs.signing.Sign(order())).nonce for _ in range(20)]
    await stubs.channel.close()

    assert len({*nonces}) == 20
    assert 201 in site.cluster.asked
    # On standard output there is the audit log, and nothing else; each pod has its part.
    for pod in pods:
        lines = (pod.folder / "stdout").read_text().splitlines()
        assert any('"rpc":' in line and '"decision":"allowed"' in line for line in lines), lines
        assert all(line.startswith('{"sequence":') for line in lines)


async def test_sigterm_under_load_fails_no_rpc(
    site: Site, pods: list[Pod], record_property: Any
) -> None:
    """Callers notice nothing of a pod that is replaced. Their connections were made to end before
    the drain does, and new ones go to other pods.
    """
    signed, failures, done = 0, [], asyncio.Event()

    async def keep_signing(stubs: Stubs) -> None:
        nonlocal signed
        while not done.is_set():
            try:
                await stubs.signing.Sign(order(), timeout=10)
            except grpc.aio.AioRpcError as error:
                failures.append(f"{error.code().name}: {error.details()}")
            signed += 1
            # One key has a thousand nonces a second; eight callers could want more.
            await asyncio.sleep(0.01)

    async with KubeProxy(*(port(pod, "grpc") for pod in pods)) as service:
        callers = [connect_to(site, service.port) for _ in range(4)]
        load = [asyncio.create_task(keep_signing(caller)) for caller in callers for _ in range(2)]

        async def goes_on(more: int) -> None:
            goal = signed + more

            async def is_there() -> bool:
                return signed >= goal

            await eventually(is_there)

        await goes_on(100)
        began_s = time.monotonic()
        pods[0].terminate()
        # The endpoint goes a moment later, when the word has come round to all nodes.
        await asyncio.sleep(0.3)
        service.endpoints.remove(port(pods[0], "grpc"))
        exit_code = await asyncio.to_thread(pods[0].exit_code)
        took_s = time.monotonic() - began_s
        await goes_on(100)
        done.set()
        await asyncio.gather(*load)
        for caller in callers:
            await caller.channel.close()

    record_property("signed", signed)
    assert failures == []
    assert exit_code == 0
    assert _DRAIN_MS / 1_000 <= took_s < pods[0].spec["terminationGracePeriodSeconds"]
    assert not pods[0].probe("liveness")
    assert pods[1].probe("readiness")


async def test_a_pod_that_drains_says_so_and_signs_on(site: Site, pods: list[Pod]) -> None:
    """Not ready at once, but live, and open to those who have not heard of it."""
    stubs = connect(site, pods[0])
    await stubs.signing.Sign(order())
    pods[0].terminate()

    async def has_said_so() -> bool:
        return not await asyncio.to_thread(pods[0].probe, "readiness")

    await eventually(has_said_so)
    assert pods[0].probe("liveness")
    assert (await stubs.signing.Sign(order())).nonce
    assert (await asyncio.to_thread(get, pods[0], "/readyz"))[0] == 503
    await stubs.channel.close()
    assert await asyncio.to_thread(pods[0].exit_code) == 0


async def test_a_new_policy_is_in_force_without_a_restart(site: Site, pods: list[Pod]) -> None:
    """The kubelet swaps the ConfigMap's files, and every pod follows."""
    stubs = [connect(site, pod) for pod in pods]
    for pod in pods:
        deny = _POLICY.replace("allow: [sign]", "deny: [sign]")
        pod.replace("/etc/privyseal/policy", {"policy.yaml": deny.encode()})

    async def all_refuse() -> bool:
        for each in stubs:
            try:
                await each.signing.Sign(order())
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.PERMISSION_DENIED:
                    raise
            else:
                return False
        return True

    await eventually(all_refuse)
    assert all(pod.probe("readiness") for pod in pods)
    for each in stubs:
        await each.channel.close()


async def test_helm_test_reaches_the_service(site: Site, pods: list[Pod]) -> None:
    """The script of `helm test`, against the running service; and where nobody is."""
    script = CHART / "files" / "connection_test.py"
    environment = {
        "PATH": os.environ["PATH"],
        "HOST": "localhost",
        "PORT": str(port(pods[0], "grpc")),
        "CHECK_NAME": "yes",
        "CA_FILE": str(pods[0].path("/etc/privyseal/tls/ca.crt")),
    }

    def run(**other: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, script],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, **other},
        )

    reached = await asyncio.to_thread(run)
    assert (reached.returncode, reached.stdout.split(": ")[1].strip()) == (0, "TLSv1.3, h2")
    wrong_name = await asyncio.to_thread(run, HOST="127.0.0.2")
    assert wrong_name.returncode == 1
    assert "can't be reached or trusted" in wrong_name.stderr
    assert (await asyncio.to_thread(run, HOST="127.0.0.2", CHECK_NAME="no")).returncode in (0, 1)
    assert (await asyncio.to_thread(run, PORT=str(free_port()))).returncode == 1
    untrusted = site.folder / "other.pem"
    untrusted.write_bytes(TryOutCa().certificate)
    assert (await asyncio.to_thread(run, CA_FILE=str(untrusted))).returncode == 1


async def test_one_pod_with_a_disk_keeps_what_it_has(engine: Engine, site: Site) -> None:
    """The defaults: an embedded state on the pod's disk, which the next pod finds again, nonces
    above those of before, and an audit chain that goes on.
    """
    values = {
        "replicaCount": 1,
        "persistence": {"enabled": True},
        "state": {},
        "audit": {"destination": "file"},
    }
    pod = site.pod(engine, "pod-0", **values)
    nonces = []
    try:
        for _ in range(2):
            pod.start()
            await asyncio.to_thread(pod.await_ready)
            stubs = connect(site, pod)
            nonces.append(int((await stubs.signing.Sign(order())).nonce))
            await stubs.channel.close()
            pod.terminate()
            assert await asyncio.to_thread(pod.exit_code) == 0
    finally:
        pod.stop()

    assert nonces == sorted({*nonces})
    assert {each.name for each in pod.path("/var/lib/privyseal").iterdir()} >= {
        "audit.jsonl",
        "escrow",
        "nonces.high-water",
    }
    command = ("audit", "verify", str(pod.path("/var/lib/privyseal/audit.jsonl")), "--json")
    verified = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "privyseald", *command, stdout=subprocess.PIPE
    )
    output, _ = await verified.communicate()
    # 4: nothing is wrong, and without the public key nothing is proven.
    assert verified.returncode == 4, output
