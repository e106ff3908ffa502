"""Rules for what custodians do, by venue and by label, on a real server."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from privyseal.v1 import hold_service_pb2, key_service_pb2
from privyseal.v1 import signing_service_pb2 as pb
from privyseal.v1.hold_service_pb2 import Hold
from rpc.matrix import outcome
from service import KIIEX, OPERATOR, POLICY, WHITEBIT, SandboxKey, Service, Stubs

# One custodian for each rule: what it says is in its name.
_RULES = {
    "reader": "allow: [read-key]",
    "whitebit": """venues: [whitebit], allow: [import-key, create-key, login, rotate-key,
        disable-key, enable-key, delete-key, read-key, resync-nonce]""",
    "mm": """allow: [login, read-key, disable-key, rotate-key, resync-nonce, import-key],
        when: 'key.labels.desk == "mm"'""",
    "all": "allow: [login, read-key, disable-key, rotate-key, import-key, create-hold]",
    "shadow": "mode: shadow, allow: [login, read-key, disable-key, import-key, sign]",
    "lifter": "allow: [delete-hold, create-hold]",
}
_DENY = (
    "  - {name: no-kiiex, callers: ['*/all'], keys: ['*'], venues: [kiiex],"
    " deny: [login, disable-key, read-key, create-hold]}\n"
    "  - {name: no-mm, callers: ['*/all'], keys: ['*'], when: 'key.labels.desk == \"mm\"',"
    " deny: [rotate-key, import-key]}\n"
)


def _caller(name: str) -> str:
    return f"spiffe://custodians.test/{name}"


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Service]:
    """A server with a key of each venue and desk: `wb-mm`, `wb-arb`, `kx-mm`, `kx-arb`."""
    service = Service(tmp_path)
    text = POLICY + "".join(
        f'  - {{name: {name}, callers: ["{_caller(name)}"], keys: ["*"], {rule}}}\n'
        for name, rule in _RULES.items()
    )
    service.take_policy((text + _DENY).encode())
    async with service:
        operator = await service.as_caller(OPERATOR)
        for short, key in (("wb", WHITEBIT), ("kx", KIIEX)):
            for label in ("mm", "arb"):
                await operator.keys.ImportKey(_import(f"{short}-{label}", key, label))
        yield service


def _import(
    key_id: str, key: SandboxKey = WHITEBIT, label: str = ""
) -> key_service_pb2.ImportKeyRequest:
    return key_service_pb2.ImportKeyRequest(
        key_id=key_id,
        venue=key.venue,
        fields=key.fields,
        plaintext=key.material.encode(),
        labels={"desk": label} if label else {},
    )


async def _disable(stubs: Stubs, key: str) -> str:
    request = key_service_pb2.DisableKeyRequest(name=f"keys/{key}")
    return await outcome(stubs.keys.DisableKey(request))


async def _rotate(stubs: Stubs, key: str) -> str:
    request = key_service_pb2.RotateKeyRequest(name=f"keys/{key}", plaintext=b"another-secret")
    return await outcome(stubs.keys.RotateKey(request))


async def _get(stubs: Stubs, key: str) -> str:
    return await outcome(stubs.keys.GetKey(key_service_pb2.GetKeyRequest(name=f"keys/{key}")))


async def _login(stubs: Stubs, key: str) -> str:
    return await outcome(stubs.signing.Login(pb.LoginRequest(key=f"keys/{key}")))


async def _listed(stubs: Stubs) -> list[str]:
    answer = await stubs.keys.ListKeys(key_service_pb2.ListKeysRequest())
    return [key.name.removeprefix("keys/") for key in answer.keys]


async def _resync(stubs: Stubs, key: str) -> str:
    return await outcome(
        stubs.keys.ResyncNonce(key_service_pb2.ResyncNonceRequest(key=f"keys/{key}"))
    )


_DENIED = "PERMISSION_DENIED"


async def test_who_may_read_may_not_import(desk: Service) -> None:
    """One right is not another; what was tried is in the audit log, with nothing of the key."""
    stubs = await desk.as_caller(_caller("reader"))

    assert _DENIED == await outcome(stubs.keys.ImportKey(_import("new")))
    assert _DENIED == await _disable(stubs, "wb-mm")
    assert _DENIED == await _rotate(stubs, "wb-mm")
    assert "OK" == await _get(stubs, "wb-mm")
    denied = [line for line in desk.audit_lines() if line["decision"] == "refused"]
    assert ["POLICY_DENIED"] * 3 == [line["reason"] for line in denied]


async def test_a_venues_custodian_stays_with_the_venue(desk: Service) -> None:
    """In import and creation by the venue that is asked for, elsewhere by the key's own."""
    stubs = await desk.as_caller(_caller("whitebit"))

    assert _DENIED == await outcome(stubs.keys.ImportKey(_import("new", KIIEX)))
    assert "OK" == await outcome(stubs.keys.ImportKey(_import("new", WHITEBIT)))
    create = pb.CreateKeyRequest(key_id="made", venue="aster-v3")
    create.generated.algorithm = "secp256k1"
    assert _DENIED == await outcome(stubs.signing.CreateKey(create))
    create.venue = "whitebit"
    assert _DENIED != await outcome(stubs.signing.CreateKey(create))
    assert _DENIED == await _login(stubs, "kx-mm")
    for act in (_rotate, _resync, _get, _disable):
        assert _DENIED == await act(stubs, "kx-mm"), act
        assert "OK" == await act(stubs, "wb-mm"), act
    assert ["new", "wb-arb", "wb-mm"] == await _listed(stubs)


async def test_a_labels_custodian_stays_with_the_label(desk: Service) -> None:
    """What is not known yet, as the labels of a key to be imported, does not help."""
    stubs = await desk.as_caller(_caller("mm"))

    assert _DENIED == await outcome(stubs.keys.ImportKey(_import("new", WHITEBIT, "mm")))
    assert ["kx-mm", "wb-mm"] == await _listed(stubs)
    assert _DENIED == await _login(stubs, "kx-arb")
    assert "OK" == await _login(stubs, "kx-mm")
    for act in (_rotate, _resync, _get, _disable):
        assert _DENIED == await act(stubs, "wb-arb"), act
        assert "OK" == await act(stubs, "wb-mm"), act


async def test_a_deny_rule_that_looks_at_facts_denies(desk: Service) -> None:
    """Where they are so, and where they are not known: a key that is not there, a hold."""
    stubs = await desk.as_caller(_caller("all"))

    assert [_DENIED, "OK"] == [await _login(stubs, "kx-arb"), await _get(stubs, "wb-arb")]
    assert [_DENIED, "OK"] == [await _disable(stubs, "kx-arb"), await _disable(stubs, "wb-arb")]
    assert [_DENIED, "OK"] == [await _rotate(stubs, "wb-mm"), await _rotate(stubs, "wb-arb")]
    assert ["wb-arb", "wb-mm"] == await _listed(stubs)
    # Labels are not known before the key is there, nor is a hold's key looked at.
    assert _DENIED == await outcome(stubs.keys.ImportKey(_import("new", WHITEBIT, "arb")))
    hold = hold_service_pb2.CreateHoldRequest(hold=Hold(key="keys/wb-arb", cause="x"))
    assert _DENIED == await outcome(stubs.holds.CreateHold(hold))


async def test_a_rule_in_shadow_opens_nothing(desk: Service) -> None:
    """Not a key, not a list, not the knowledge whether a key is there, and no report."""
    stubs = await desk.as_caller(_caller("shadow"))

    assert [] == await _listed(stubs)
    assert _DENIED == await outcome(stubs.keys.ImportKey(_import("new")))
    for key in ("wb-mm", "not-there"):
        assert _DENIED == await _login(stubs, key)
        assert _DENIED == await _get(stubs, key)
        assert _DENIED == await _disable(stubs, key)
        request = pb.SignRequest(key=f"keys/{key}")
        request.http_request.CopyFrom(pb.HttpRequest(method="POST", path="/api/v4/orders"))
        assert _DENIED == await outcome(stubs.signing.Sign(request))
        report = pb.ReportAnswerRequest(key=f"keys/{key}", http_status=429)
        report.sign_time.seconds = 1_700_000_000
        assert _DENIED == await outcome(stubs.signing.ReportAnswer(report))


async def test_a_hold_is_lifted_by_who_may_lift_it(desk: Service) -> None:
    """To create holds is another right than to lift them."""
    lifter, other = [await desk.as_caller(_caller(name)) for name in ("lifter", "all")]
    hold = hold_service_pb2.CreateHoldRequest(hold=Hold(key="keys/wb-mm", cause="x"))
    name = (await lifter.holds.CreateHold(hold)).hold.name
    lift = hold_service_pb2.DeleteHoldRequest(name=name)

    assert _DENIED == await outcome(other.holds.DeleteHold(lift))
    assert "OK" == await outcome(lifter.holds.DeleteHold(lift))
