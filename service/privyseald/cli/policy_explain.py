"""`privyseal policy explain`: what each rule says to a wish, and what is decided."""

import datetime as dt
from pathlib import Path
from typing import Annotated

import typer

from privyseald.caller import Caller
from privyseald.cli.connect import Json
from privyseald.cli.explanation import print_explanation
from privyseald.cli.output import REFUSED, USAGE, fail
from privyseald.cli.pairs import Labels, pairs
from privyseald.cli.sign import read_body
from privyseald.clock import SystemClock
from privyseald.config_error import ConfigInvalid
from privyseald.errors import PrivysealError
from privyseald.key import Key, KeyState, check_key_id, check_labels
from privyseald.policy.action import Action
from privyseald.policy.file import load_policy
from privyseald.policy.policy import EVERY_KEY, Policy
from privyseald.usecases.explain import Explain
from privyseald.usecases.sign import Intent, PersonalMessage, TypedData
from privyseald.venues.http_request import HttpRequest, make_request
from privyseald.venues.kinds import algorithm_of
from privyseald.venues.registry import Venues

# How a caller of such a name was proved, where nothing else is said.
_METHODS = (
    ("spiffe://", "mtls-spiffe"),
    ("jwt:", "jwt"),
    ("unix:", "unix"),
    ("local", "loopback"),
)


class _TimeAt(SystemClock):
    """A wall clock that stands still."""

    def __init__(self, time: dt.datetime) -> None:
        self._time_us = int(time.timestamp() * 1_000_000)

    def time_us(self) -> int:
        """Return the time that it was made with."""
        return self._time_us


def explain(
    policy: Annotated[Path, typer.Option("--policy", help="The policy file, in YAML.")],
    caller: Annotated[str, typer.Option("--caller", help="Who asks, as rules name them.")],
    key: Annotated[str, typer.Option("--key", help="The key's id; '*' for a hold on more.")],
    venue: Annotated[str, typer.Option("--venue", help="The key's venue.")] = "",
    action: Annotated[
        str, typer.Option("--action", help="Such as login or read-key; for 'sign', --request.")
    ] = "",
    request: Annotated[
        str, typer.Option("--request", help="Such as 'POST /api/v4/order/new', to be signed.")
    ] = "",
    query: Annotated[
        list[str] | None, typer.Option("--query", help="NAME=VALUE of its query; repeatable.")
    ] = None,
    body: Annotated[str, typer.Option("--body", help="Its body.")] = "",
    body_file: Annotated[
        str, typer.Option("--body-file", help="The file with its body; '-' for standard input.")
    ] = "",
    content_type: Annotated[
        str, typer.Option("--content-type", help="The body's media type.")
    ] = "",
    typed_data: Annotated[
        str, typer.Option("--typed-data", help="The file with an EIP-712 document to be signed.")
    ] = "",
    message: Annotated[
        str, typer.Option("--message", help="The file with a message (EIP-191) to be signed.")
    ] = "",
    environment: Annotated[
        str, typer.Option("--environment", help="The key's; the venue's first if left out.")
    ] = "",
    algorithm: Annotated[
        str, typer.Option("--algorithm", help="The key's; the venue's first if left out.")
    ] = "",
    public_id: Annotated[
        str, typer.Option("--public-id", help="The key's API key id or address.")
    ] = "",
    label: Labels = None,
    method: Annotated[
        str, typer.Option("--method", help="How the caller is proved; by its name if left out.")
    ] = "",
    claim: Annotated[
        list[str] | None, typer.Option("--claim", help="NAME=VALUE of its token; repeatable.")
    ] = None,
    at: Annotated[
        dt.datetime | None,
        typer.Option("--at", help="When, in UTC; now if left out.", formats=["%Y-%m-%dT%H:%M:%SZ"]),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what each rule says to a wish, and what is decided. Needs no server, key or secret.

    Exit code 0: allowed, 1: denied, 2: it could not be asked.
    """
    if sum(map(bool, (action, request, typed_data, message))) != 1:
        fail("give one of --action, --request, --typed-data and --message", USAGE)
    asking = Caller(caller, method or _method_of(caller), pairs(claim, "--claim"))
    venues = Venues()
    try:
        clock = SystemClock() if at is None else _TimeAt(at.replace(tzinfo=dt.UTC))
        explaining = Explain(Policy(load_policy(policy, venues), clock), venues)
        labels = pairs(label, "--label")
        facts = _key(venues, key, venue, labels, (environment, algorithm, public_id))
        if action:
            explanation = explaining.action(asking, _action(action), key, facts)
        elif facts is None:
            fail("a signature is one for a venue; name it with --venue", USAGE)
        else:
            intent = (
                _request(request, query, read_body(body, body_file), content_type)
                if request
                else _document(typed_data, message)
            )
            explanation = explaining.intent(asking, intent, facts)
    except (ConfigInvalid, PrivysealError) as error:
        fail(str(error), USAGE)
    print_explanation(explanation, as_json=as_json)
    if not explanation.allowed:
        raise typer.Exit(REFUSED)


def _method_of(caller: str) -> str:
    if "://" in caller and not caller.startswith("spiffe://"):
        return "mtls-uri"
    return next((method for start, method in _METHODS if caller.startswith(start)), "mtls-dns")


def _key(
    venues: Venues, key_id: str, venue: str, labels: dict[str, str], facts: tuple[str, str, str]
) -> Key | None:
    """Return the key that is asked about; None where nothing but its id is told."""
    if key_id != EVERY_KEY:
        check_key_id(key_id)
    if not venue:
        if labels or any(facts):
            fail("what is told of the key needs its venue too; name it with --venue", USAGE)
        return None
    environment, algorithm, public_id = facts
    found = venues.get(venue)
    return Key(
        key_id,
        venue,
        venues.environment(found, environment).name,
        algorithm_of(found, algorithm).value,
        public_id,
        KeyState.ENABLED,
        1,
        0,
        0,
        labels=check_labels(labels),
    )


def _action(text: str) -> Action:
    signs = {
        Action.SIGN: "--request",
        Action.SIGN_TYPED_DATA: "--typed-data",
        Action.SIGN_MESSAGE: "--message",
    }
    try:
        action = Action(text)
    except ValueError:
        known = ", ".join(each.value for each in Action if each not in signs)
        fail(f"'{text}' is no action; give one of {known}", USAGE)
    if action in signs:
        fail(f"what is signed decides; give it with {signs[action]}", USAGE)
    return action


def _request(text: str, query: list[str] | None, body: bytes, content_type: str) -> HttpRequest:
    method, space, path = text.partition(" ")
    if not space:
        fail("--request takes a method and a path, such as 'POST /api/v4/order/new'", USAGE)
    return make_request(method, path, pairs(query, "--query").items(), body, content_type)


def _document(typed_data: str, message: str) -> Intent:
    if typed_data:
        return TypedData(read_body("", typed_data))
    return PersonalMessage(read_body("", message))
