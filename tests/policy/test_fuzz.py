"""That something was signed implies that policy allowed these very bytes.

Hundreds of thousands of requests, from legitimate orders and from withdrawals, bent in every way
that a venue's server may forgive, meet policies that allow a trader one market and one size. What
comes back signed is read as leniently as can be; no reading may be one that is not allowed.
"""

from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

import pytest

from policy.fuzz_case import Case, load_case, seeds
from policy.fuzz_desk import KEYS, FuzzDesk
from policy.fuzz_oracle import objection
from policy.fuzz_plain import PLAIN, straight
from policy.fuzz_policies import POLICIES, caller_of, of_callers
from policy.fuzz_requests import Requests
from policy.fuzz_shrink import shrunk
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.venues.venue import SignedHttpRequest
from service import OPERATOR, POLICY, Service, failure_of, import_sandbox_key

# In all: 5 venues, 4 shards, 11,000 requests each.
SHARDS = 4
REQUESTS = 11_000
LEAST_SIGNED = 0.2
OVER_GRPC = 400


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[FuzzDesk]:
    """The use case over real store, state and venues."""
    desk = FuzzDesk(tmp_path)
    await desk.open()
    yield desk
    await desk.close()


def drawn(venue: str, shard: int, count: int) -> Iterator[Case]:
    """Return so many requests of a venue; the same ones each time."""
    requests = Requests(venue, shard)
    return islice(iter(requests.next, None), count)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in seeds()])
async def test_what_went_past_once_does_not_again(desk: FuzzDesk, case: Case) -> None:
    """Failures of earlier days."""
    wrong = await desk.try_case(case)

    assert not wrong, f"{wrong}\n{case}"


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("venue", sorted(PLAIN))
async def test_signed_implies_that_policy_allowed_it(
    desk: FuzzDesk, venue: str, shard: int
) -> None:
    """However it is read. And what is honest is signed: a fifth of all at least."""
    for number, case in enumerate(drawn(venue, shard, REQUESTS)):
        wrong = await desk.try_case(case)
        if wrong:
            least = await shrunk(case, lambda each: _fails(desk, each))
            again = await desk.try_case(least)
            pytest.fail(f"number {number} of shard {shard}: {again}\n{least}", pytrace=False)

    assert desk.told.total() == REQUESTS
    assert desk.told["signed"] >= LEAST_SIGNED * REQUESTS, desk.told
    assert {"POLICY_DENIED", "FIELD_INVALID", "BODY_INVALID"} <= desk.told.keys()
    assert not {"INTERNAL", "LIMIT_EXCEEDED"} & desk.told.keys()


async def _fails(desk: FuzzDesk, case: Case) -> bool:
    return bool(await desk.try_case(case))


@pytest.mark.parametrize("venue", sorted(PLAIN))
async def test_validate_only_says_what_sign_would(desk: FuzzDesk, venue: str) -> None:
    """It is refused where and why the signature is, and not otherwise."""
    for case in drawn(venue, SHARDS, 1_000):
        looked = await desk.sign(case, validate_only=True)
        signed = await desk.sign(case)

        assert looked == (signed if isinstance(signed, str) else ""), case


@pytest.mark.parametrize("venue", sorted(PLAIN))
@pytest.mark.parametrize("policy", ["bounded", "denying", "wide"])
async def test_an_honest_order_is_signed(desk: FuzzDesk, venue: str, policy: str) -> None:
    """The first of each venue's requests is what the policies are for; a withdrawal is not."""
    order, *others = (straight(venue, policy, plain) for plain in PLAIN[venue])
    withdrawals = [case for case in others if "withdraw" in case.target.lower()]

    assert isinstance(await desk.sign(order), SignedHttpRequest), order
    assert withdrawals
    for case in withdrawals:
        assert isinstance(await desk.sign(case), str), case


async def test_a_server_signs_and_refuses_the_same(desk: FuzzDesk, tmp_path: Path) -> None:
    """Over gRPC, mTLS, its own store and a policy file, nothing else is signed than by the use
    case alone, and for the same reasons nothing.
    """
    (tmp_path / "server").mkdir()
    service = Service(tmp_path / "server")
    service._policy = (POLICY + of_callers()).encode()
    async with service:
        operator = await service.as_caller(OPERATOR)
        for name, key in KEYS.items():
            await import_sandbox_key(operator, name, key)
        traders = {name: await service.as_caller(caller_of(name)) for name in POLICIES}
        told = {"signed": 0, "refused": 0}
        for venue in sorted(PLAIN):
            for case in drawn(venue, SHARDS + 2, OVER_GRPC):
                request = _message(case)
                if request is None:
                    continue
                call = traders[case.policy].signing.Sign(request)
                expected = await desk.sign(case)
                if isinstance(expected, str):
                    assert (await failure_of(call)).reason == expected, case
                    told["refused"] += 1
                    continue
                signed = (await call).signed_http_request
                headers = tuple((each.name, each.value) for each in signed.headers)
                found = SignedHttpRequest(signed.method, signed.url, headers, signed.body)
                assert not objection(venue, case.policy, found), case
                told["signed"] += 1
        lines = [each for each in service.audit_lines() if each["rpc"].endswith("/Sign")]

    assert told["signed"] > LEAST_SIGNED * OVER_GRPC * len(PLAIN)
    assert told["signed"] + told["refused"] == len(lines)
    assert all(line["rule"] for line in lines if line["decision"] == "allowed")
    assert all(line["reason"] for line in lines if line["decision"] == "refused")


def _message(case: Case) -> pb.SignRequest | None:
    """Return the request's message; None where a string of it is none on the wire."""
    try:
        return pb.SignRequest(
            key=f"keys/{case.venue}",
            http_request=pb.HttpRequest(
                method=case.method,
                path=case.target,
                query=[pb.Parameter(name=name, value=value) for name, value in case.query],
                body=case.body,
                content_type=case.content_type,
            ),
        )
    except (UnicodeEncodeError, ValueError):
        return None


def test_a_case_is_kept_as_it_was() -> None:
    """A seed's file gives the very case, whatever is in it."""
    for venue in PLAIN:
        for case in drawn(venue, 99, 300):
            assert case == load_case(case.dump())
