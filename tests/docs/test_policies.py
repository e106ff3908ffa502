"""The example policies, asked about; and what docs/policy.md shows, done again."""

import datetime as dt
import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from clocks import SkewedClock
from docs.policy_cases import CASES, MAKER, MONDAY, REPORTER, TREASURY, Case, order, withdrawal
from fakes import FakeClock
from privyseal.v1 import signing_service_pb2 as pb
from privyseald.caller import Caller
from privyseald.cli.app import app
from privyseald.key import Key, KeyState
from privyseald.policy.action import Action
from privyseald.policy.file import load_policy, parse_policy
from privyseald.policy.policy import Policy
from privyseald.policy.review import review
from privyseald.policy.schema import policy_schema
from privyseald.usecases.explain import Explain, Explanation
from privyseald.venues.http_request import make_request
from privyseald.venues.registry import Venues
from service import OPERATOR, WHITEBIT, Service, failure_of, import_sandbox_key, send, sign_request
from tokens import Issuer, bearer

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = sorted((DOCS / "policies").glob("*.yaml"))
VENUES = Venues()
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    """Return the blocks of docs/policy.md in one language."""
    text = (DOCS / "policy.md").read_text()
    return [content for found, content in _BLOCK.findall(text) if found == language]


def explained(policy: Path, case: Case) -> Explanation:
    """Return what the policy says to a case, as a server would."""
    time = dt.datetime.fromisoformat(case.at)
    rules = load_policy(policy, VENUES)
    explain = Explain(Policy(rules, FakeClock(int(time.timestamp() * 1_000_000))), VENUES)
    method = "jwt" if case.caller.startswith("jwt:") else "mtls-spiffe"
    caller = Caller(case.caller, method)
    key = Key(case.key, case.venue, "", "", "", KeyState.ENABLED, 1, 0, 0)
    if " " not in case.wish:
        return explain.action(caller, Action(case.wish), case.key, key)
    method, _, path = case.wish.partition(" ")
    return explain.intent(caller, make_request(method, path, (), case.body.encode(), ""), key)


@pytest.mark.parametrize(
    ("name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{number}")
        for name, cases in CASES.items()
        for number, case in enumerate(cases)
    ],
)
def test_an_example_says_what_it_should(name: str, case: Case) -> None:
    """The decision and the rule that it rests on."""
    explanation = explained(DOCS / "policies" / name, case)
    decision = explanation.decision

    assert case.expected == ("+" if explanation.allowed else "-") + decision.rule
    assert case.shadow == " ".join(decision.shadow)


def test_every_example_is_asked_about() -> None:
    """None is left out of the table, and each rule of each decides somewhere in it."""
    assert set(CASES) == {path.name for path in EXAMPLES}
    for path in EXAMPLES:
        cases = CASES[path.name]
        told = {case.expected[1:] for case in cases} | {case.shadow for case in cases}
        assert {rule.name for rule in load_policy(path, VENUES)} <= told


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_without_oddities(path: Path) -> None:
    """No rule of it is in vain, and an editor marks nothing."""
    assert review(load_policy(path, VENUES), VENUES) == []
    content = YAML(typ="safe", pure=True).load(path.read_text())
    jsonschema.validate(content, json.loads(policy_schema()))


def test_every_policy_shown_loads() -> None:
    """Rules that are shown alone are those of a file."""
    shown = blocks("yaml")
    for text in shown:
        whole = text if text.startswith("version:") else f"version: 1\nrules:\n{text}"
        parse_policy(whole, "docs/policy.md", VENUES)

    assert len(shown) >= 3


def commands() -> Iterator[Any]:
    """Give each command that docs/policy.md shows, and what it prints."""
    for block in blocks("console"):
        for part in block.split("$ ")[1:]:
            lines = part.replace("\\\n", " ").splitlines()
            shown = [line.rstrip() for line in lines[1:] if line.strip()]
            yield pytest.param(lines[0], shown, id=lines[0][:50])


@pytest.mark.parametrize(("command", "shown"), list(commands()))
def test_every_output_shown_is_real(
    command: str, shown: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of docs/policy.md, run in docs/."""
    monkeypatch.chdir(DOCS)
    program, *arguments = shlex.split(command)
    assert program == "privyseal"

    result = CliRunner().invoke(app, arguments)

    printed = [line.rstrip() for line in result.output.splitlines() if line.strip()]
    assert printed == shown, textwrap.indent(result.output, "  ")


def server(folder: Path, name: str, **options: Any) -> Service:
    """Return a server with an example's policy, and an operator who imports keys."""
    service = Service(folder, **options)
    operator = f"""
  - name: operator
    callers: ["{OPERATOR}"]
    keys: ["*"]
    allow: [import-key]
"""
    service.take_policy((DOCS / "policies" / name).read_bytes() + operator.encode())
    return service


def request(key: str, path: str, body: str = "") -> pb.SignRequest:
    """Return a request to WhiteBIT."""
    return sign_request(key, "POST", f"/api/v4/{path}", body.encode())


async def test_a_market_maker_trades_and_moves_no_funds(tmp_path: Path) -> None:
    """On a real server: the order arrives at the venue, the withdrawal is never signed."""
    async with server(tmp_path, "market-maker.yaml") as service:
        operator, maker = await service.as_caller(OPERATOR), await service.as_caller(MAKER)
        await import_sandbox_key(operator, "mm-whitebit", WHITEBIT)

        signed = await maker.signing.Sign(request("mm-whitebit", "order/new", order()))
        assert (await send(signed)).status == 200
        for path, body, rule in (
            ("order/new", order(amount='"2.1"'), ""),
            ("main-account/withdraw", withdrawal(), "mm-keys-move-no-funds"),
        ):
            failure = await failure_of(maker.signing.Sign(request("mm-whitebit", path, body)))
            assert (failure.reason, failure.metadata.get("rule", "")) == ("POLICY_DENIED", rule)
        lines = [line for line in service.audit_lines() if line["rpc"].endswith("/Sign")]

    assert [(line["decision"], line.get("rule", "")) for line in lines] == [
        ("allowed", "mm-orders-whitebit"),
        ("refused", ""),
        ("refused", "mm-keys-move-no-funds"),
    ]


async def test_a_treasury_pays_four_times_to_its_own_addresses(tmp_path: Path) -> None:
    """On a real server, on a Monday at ten: the fifth is one too many, others pay nothing."""
    monday = dt.datetime.fromisoformat(f"{MONDAY}T10:00:00Z")
    skew_ms = int((monday - dt.datetime.now(dt.UTC)).total_seconds() * 1_000)
    clock = SkewedClock(skew_ms)
    async with server(tmp_path, "treasury.yaml", clock=clock) as service:
        operator, treasury = await service.as_caller(OPERATOR), await service.as_caller(TREASURY)
        await import_sandbox_key(operator, "treasury-whitebit", WHITEBIT)
        pay = request("treasury-whitebit", "main-account/withdraw", withdrawal())

        for _ in range(4):
            assert (await send(await treasury.signing.Sign(pay))).status == 200
        fifth = await failure_of(treasury.signing.Sign(pay))
        assert (fifth.code, fifth.reason) == ("RESOURCE_EXHAUSTED", "LIMIT_EXCEEDED")
        elsewhere = request(
            "treasury-whitebit", "main-account/withdraw", withdrawal(address="0xdead")
        )
        assert (await failure_of(treasury.signing.Sign(elsewhere))).reason == "POLICY_DENIED"
        maker = await service.as_caller(MAKER)
        assert (await failure_of(maker.signing.Sign(pay))).reason == "POLICY_DENIED"
        clock.skew_ms += 7 * 3_600_000
        assert (await failure_of(treasury.signing.Sign(pay))).reason == "POLICY_DENIED"


async def test_a_reporter_reads(tmp_path: Path) -> None:
    """On a real server, with a token of its service account."""
    issuer = Issuer()
    jwt = {
        "listen": "127.0.0.1:0",
        "issuers": {"cluster": issuer.config(jwks_file=issuer.publish(tmp_path))},
    }
    async with server(tmp_path, "reporter.yaml", server={"jwt": jwt}) as service:
        await import_sandbox_key(await service.as_caller(OPERATOR), "any-whitebit", WHITEBIT)
        stubs = await service.connect(None, service.app.server.token_port)
        token = bearer(issuer.token(sub=REPORTER.partition("/")[2]))

        read = request("any-whitebit", "trade-account/balance")
        assert (await send(await stubs.signing.Sign(read, metadata=token))).status == 200
        trade = request("any-whitebit", "order/new", order())
        failure = await failure_of(stubs.signing.Sign(trade, metadata=token))

    assert failure.metadata["rule"] == "reporter-only-reads"
