"""What every venue states, walked through: a new venue is tested by existing."""

import re
from collections import Counter

import pytest

from fakes import NOW_MS, credential
from privyseald.errors import IntentUnsupported
from privyseald.key import Algorithm
from privyseald.signing.generate import generate
from privyseald.signing.signer import Credential
from privyseald.venues.http_request import METHODS, make_request
from privyseald.venues.kinds import check_fields
from privyseald.venues.operation_table import SENSITIVE
from privyseald.venues.registry import issues_keys, opens_sessions
from privyseald.venues.signed import check_served
from privyseald.venues.venue import Field, KeyKind, Moment, NonceUnit, Operation, Session, Venue
from venues.desk import VENUES

TAGS = {
    "read",
    "trade",
    "cancel",
    "deposit",
    "withdrawal",
    "transfer",
    "key-management",
    "session",
    "close",
}
INTENTS = {"http_request", "personal_message", "typed_data"}

every_venue = pytest.mark.parametrize("venue", list(VENUES), ids=lambda venue: venue.name)
every_operation = pytest.mark.parametrize(
    ("venue", "operation"),
    [(venue, operation) for venue in VENUES for operation in venue.operations],
    ids=lambda each: each.name,
)


def fields_of(venue: Venue) -> list[Field]:
    """Every field and option that a venue describes."""
    fields = [field for kind in venue.key_kinds for field in kind.fields]
    if opens_sessions(venue):
        fields += venue.login_options
    if issues_keys(venue):
        fields += venue.create_key_options
    return fields


def opened(venue: Venue, kind: KeyKind) -> Credential:
    """A key of a kind, made of its examples."""
    material = (
        "test-secret" if kind.algorithm.is_hmac else generate(kind.algorithm).reveal().decode()
    )
    fields = {field.name: field.example or "example" for field in kind.fields if field.required}
    check_fields(kind, fields)
    return credential(venue.name, kind.algorithm, material, fields)


def signing_kind(venue: Venue) -> KeyKind:
    """The kind of key that signs requests."""
    return next(kind for kind in venue.key_kinds if "http_request" in kind.intents)


@every_venue
def test_a_venue_is_named_and_described(venue: Venue) -> None:
    """The name is a lower-case word, the description a line."""
    assert re.fullmatch(r"[a-z][a-z0-9-]{1,30}", venue.name)
    assert 20 < len(venue.about) < 120
    assert "\n" not in venue.about


@every_venue
def test_environments_are_named_once_and_served_over_https(venue: Venue) -> None:
    """The first is production; hosts are origins, and beginnings are paths."""
    names = [environment.name for environment in venue.environments]
    assert names[0] == "production"
    assert len(set(names)) == len(names)
    for environment in venue.environments:
        for beginning, base in environment.hosts:
            assert re.fullmatch(r"/([a-z]+/)?", beginning)
            assert re.fullmatch(r"https://[a-z0-9.-]+", base)


@every_venue
def test_kinds_of_keys_are_told_apart_by_their_algorithm(venue: Venue) -> None:
    """One kind an algorithm; its intents are known, and one kind signs requests."""
    algorithms = [kind.algorithm for kind in venue.key_kinds]
    assert len(set(algorithms)) == len(algorithms)
    assert set(algorithms) <= set(Algorithm)
    for kind in venue.key_kinds:
        assert kind.intents
        assert kind.intents <= INTENTS
        assert kind.about
    assert signing_kind(venue) in venue.key_kinds


@every_venue
def test_what_identifies_a_key_is_a_required_field_or_the_signers_own(venue: Venue) -> None:
    """A shared secret has no address: its id is a field that must be there."""
    for kind in venue.key_kinds:
        required = {field.name for field in kind.fields if field.required}
        assert kind.public_id in required if kind.algorithm.is_hmac else not kind.public_id


@every_venue
def test_fields_and_options_are_described_and_their_examples_taken(venue: Venue) -> None:
    """An example matches its own pattern, and no pattern takes a line break."""
    for field in fields_of(venue):
        assert re.fullmatch(r"[a-z][a-z0-9_]*", field.name)
        assert field.about
        if field.example:
            assert field.pattern.fullmatch(field.example), field.name
        assert not field.pattern.fullmatch("")
        for text in ("a\n", "a\r\nb", "\n", "1\n", "true\n"):
            assert not field.pattern.fullmatch(text), field.name


@every_venue
def test_every_field_is_bounded(venue: Venue) -> None:
    """No pattern takes a value of 1,025 characters."""
    for field in fields_of(venue):
        for letter in ("a", "1", "0"):
            assert not field.pattern.fullmatch(letter * 1_025), field.name


@every_venue
def test_no_field_is_named_as_a_secret(venue: Venue) -> None:
    """Public fields never share a name with what holds a secret."""
    names = {field.name for field in fields_of(venue)}
    assert not names & {"api_secret", "private_key", "secret", "password", "material"}


@every_venue
def test_fields_of_one_kind_are_named_once(venue: Venue) -> None:
    """A document can't mean two fields by one name."""
    for kind in venue.key_kinds:
        assert set(Counter(field.name for field in kind.fields).values()) <= {1}


@every_venue
def test_operations_are_named_once_and_match_one_request(venue: Venue) -> None:
    """Neither a name nor a method with its path stands twice."""
    names = Counter(operation.name for operation in venue.operations)
    requests = Counter((operation.method, operation.path) for operation in venue.operations)
    assert [name for name, count in names.items() if count > 1] == []
    assert [request for request, count in requests.items() if count > 1] == []
    assert names


@every_operation
def test_an_operation_is_a_request_that_the_venue_serves(
    venue: Venue, operation: Operation
) -> None:
    """Its path is plain and served in every environment, its tags are known."""
    assert operation.method in METHODS
    assert operation.tags
    assert set(operation.tags) <= TAGS
    path = operation.path.replace("{", "").replace("}", "")
    for environment in venue.environments:
        check_served(make_request(operation.method, path, (), b"", ""), environment)


@every_operation
async def test_an_operation_is_signed_or_refused_by_name(
    venue: Venue, operation: Operation
) -> None:
    """Each request of the table is signed to an absolute URL, unless the venue says why not."""
    keyed = opened(venue, signing_kind(venue))
    path = re.sub(r"[{}]", "", operation.path)
    try:
        request = venue.normalise(make_request(operation.method, path, (), b"", ""), keyed)
    except IntentUnsupported:
        assert SENSITIVE.intersection(operation.tags)
        return
    signed = await venue.sign(request, keyed, venue.environments[0], Moment(NOW_MS, NOW_MS), None)
    assert signed.url.startswith(f"{venue.environments[0].url(path)}")
    assert operation.method == signed.method
    assert len(signed.headers) + signed.url.count("signature=") + len(signed.body) > 0


@every_venue
def test_what_takes_money_out_is_tagged_so(venue: Venue) -> None:
    """No path that names a withdrawal or transfer goes without a tag, unless it only reads."""
    moving = [
        operation
        for operation in venue.operations
        if re.search("withdraw|transfer|beneficiar|sendToAddress", operation.path, re.IGNORECASE)
        and "read" not in operation.tags
    ]
    assert [each for each in moving if not {"transfer", "withdrawal"} & set(each.tags)] == []
    assert [each for each in venue.operations if {"withdrawal", "read"} <= set(each.tags)] == []


@every_venue
def test_a_venue_judges_nonces_by_the_policies_that_it_states(venue: Venue) -> None:
    """What `nonce_policy` returns is one of `nonce_policies`; windows are seconds."""
    for kind in venue.key_kinds:
        policy = venue.nonce_policy(opened(venue, kind), None)
        assert policy is None or policy in venue.nonce_policies
    for policy in venue.nonce_policies:
        assert policy.unit in NonceUnit
        assert policy.window_ms is None or 1_000 <= policy.window_ms <= 60_000


@every_venue
async def test_signing_is_a_function_of_its_arguments(venue: Venue) -> None:
    """The same request, key, nonce and time give the same bytes; another nonce or time others."""
    keyed = opened(venue, signing_kind(venue))
    first = venue.operations[0]
    request = venue.normalise(make_request(first.method, first.path, (), b"", ""), keyed)

    async def once(moment: Moment) -> object:
        return await venue.sign(request, keyed, venue.environments[0], moment, None)

    signed = await once(Moment(NOW_MS, NOW_MS))
    assert signed == await once(Moment(NOW_MS, NOW_MS))
    assert signed != await once(Moment(NOW_MS + 1, NOW_MS + 1))


@every_venue
async def test_a_signed_request_hides_what_is_a_credential(venue: Venue) -> None:
    """The repr of an answer shows its method, and neither URL, headers nor body."""
    keyed = opened(venue, signing_kind(venue))
    first = venue.operations[0]
    request = venue.normalise(make_request(first.method, first.path, (), b"", ""), keyed)
    signed = await venue.sign(request, keyed, venue.environments[0], Moment(NOW_MS, NOW_MS), None)
    shown = repr(signed)
    assert "https" not in shown
    assert not [value for _, value in signed.headers if len(value) > 3 and value in shown]


def test_a_session_hides_its_token() -> None:
    """The repr of a session shows whose it is, and neither token nor headers."""
    shown = repr(Session("canary", (("aptoken", "canary"),), "96", NOW_MS, None))
    assert "canary" not in shown
    assert "96" in shown
