"""EIP-712 against eth-account, and the rules that eth-account does not hold to."""

import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseald.errors import BodyInvalid
from privyseald.signing import eip712
from privyseald.signing.secp256k1 import checksum_address
from privyseald.signing.string_message import StringMessage, string_message
from privyseald.strict_json import parse_object

Document = dict[str, Any]

DOMAIN = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
ZERO = "0x" + "0" * 40
WALLET = "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"
WALLET_FIELD = {"name": "wallet", "type": "address"}
NAME_FIELD = {"name": "name", "type": "string"}
DOCUMENT: Document = {
    "types": {
        "EIP712Domain": DOMAIN,
        "Party": [WALLET_FIELD, NAME_FIELD],
        "Order": [
            {"name": "maker", "type": "Party"},
            {"name": "takers", "type": "Party[]"},
            {"name": "pair", "type": "uint8[2]"},
            {"name": "grid", "type": "uint8[2][]"},
            {"name": "amount", "type": "uint256"},
            {"name": "delta", "type": "int64"},
            {"name": "open", "type": "bool"},
            {"name": "salt", "type": "bytes32"},
            {"name": "data", "type": "bytes"},
            {"name": "memo", "type": "string"},
        ],
    },
    "primaryType": "Order",
    "domain": {"name": "Venue", "version": "1", "chainId": 56, "verifyingContract": ZERO},
    "message": {
        "maker": {"wallet": WALLET, "name": "Cow"},
        "takers": [{"wallet": WALLET.lower(), "name": "Bob"}, {"wallet": ZERO, "name": ""}],
        "pair": [1, 2],
        "grid": [[1, 2], [3, 4]],
        "amount": 10**30,
        "delta": -5,
        "open": True,
        "salt": "0x" + "11" * 32,
        "data": "0x0102",
        "memo": "\u65e5\u672c",
    },
}


def digest(document: Document) -> bytes:
    """Our digest of a document, by way of its JSON text as a caller sends it."""
    return eip712.digest(parse_object(json.dumps(document).encode(), "typed_data.json"))


def theirs(document: Document) -> bytes:
    """eth-account's digest of the same document."""
    return bytes(_hash_eip191_message(encode_typed_data(full_message=document)))


def string_document(text: str, chain_id: int = 1666) -> Document:
    """Aster's typed data around a text."""
    return {
        "types": {"EIP712Domain": DOMAIN, "Message": [{"name": "msg", "type": "string"}]},
        "primaryType": "Message",
        "domain": {
            "name": "AsterSignTransaction",
            "version": "1",
            "chainId": chain_id,
            "verifyingContract": ZERO,
        },
        "message": {"msg": text},
    }


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
ADDRESSES = st.binary(min_size=20, max_size=20).map(checksum_address)
PARTIES = st.fixed_dictionaries({"wallet": ADDRESSES, "name": TEXTS})
SMALL = st.integers(0, 255)
PAIRS = st.lists(SMALL, min_size=2, max_size=2)
MESSAGES = st.fixed_dictionaries(
    {
        "maker": PARTIES,
        "takers": st.lists(PARTIES, max_size=3),
        "pair": PAIRS,
        "grid": st.lists(PAIRS, max_size=3),
        "amount": st.integers(0, 2**256 - 1),
        "delta": st.integers(-(2**63), 2**63 - 1),
        "open": st.booleans(),
        "salt": st.binary(min_size=32, max_size=32).map(lambda raw: "0x" + raw.hex()),
        "data": st.binary(max_size=70).map(lambda raw: "0x" + raw.hex()),
        "memo": TEXTS,
    }
)


@settings(max_examples=150, deadline=None)
@given(message=MESSAGES, chain_id=st.integers(0, 2**256 - 1))
def test_a_digest_is_eth_accounts(message: Document, chain_id: int) -> None:
    """Any well-formed document of structs, arrays and atoms has eth-account's digest."""
    document = {**DOCUMENT, "message": message}
    document["domain"] = {**DOCUMENT["domain"], "chainId": chain_id}
    assert theirs(document) == digest(document)


@settings(max_examples=500, deadline=None)
@given(text=TEXTS, chain_id=st.sampled_from([1666, 714, 56]))
def test_the_fast_digest_of_a_text_is_the_general_one(text: str, chain_id: int) -> None:
    """`StringMessage` and `digest` agree on every text."""
    fast = StringMessage(
        "Message", "msg", name="AsterSignTransaction", version="1", chain_id=chain_id
    )
    assert digest(string_document(text, chain_id)) == fast.digest(text.encode())


def test_a_domains_hasher_is_made_once() -> None:
    """The same domain gives the same hasher, another chain another one."""
    aster = ("Message", "msg", "AsterSignTransaction", "1")
    assert string_message(*aster, 1666) is string_message(*aster, 1666)
    assert string_message(*aster, 1666).digest(b"") != string_message(*aster, 714).digest(b"")


@pytest.mark.parametrize("amount", ["1", "0x1", 1], ids=["decimal", "hex", "number"])
def test_an_integer_may_be_a_text(amount: object) -> None:
    """JavaScript writes big integers as texts: they sign as the number that they spell."""
    document = deepcopy(DOCUMENT)
    document["message"]["amount"] = 1
    expected = digest(document)
    document["message"]["amount"] = amount
    assert expected == digest(document)


def put(path: str, value: object) -> Callable[[Document], None]:
    """A change that sets the value at a dotted path."""

    def change(document: Document) -> None:
        *parents, last = path.split(".")
        for name in parents:
            document = document[name]
        document[last] = value

    return change


def drop(path: str) -> Callable[[Document], None]:
    """A change that removes what stands at a dotted path."""

    def change(document: Document) -> None:
        *parents, last = path.split(".")
        for name in parents:
            document = document[name]
        del document[last]

    return change


WRONG: dict[str, Callable[[Document], None]] = {
    "no types": drop("types"),
    "no primaryType": drop("primaryType"),
    "no domain": drop("domain"),
    "no message": drop("message"),
    "a fifth part": put("account", "canary"),
    "types are a list": put("types", []),
    "types are null": put("types", None),
    "a type is an object": put("types.Party", {"wallet": "address"}),
    "a field is a text": put("types.Party", ["wallet"]),
    "a field without a type": put("types.Party", [WALLET_FIELD, {"name": "name"}]),
    "a field without a name": put("types.Party", [WALLET_FIELD, {"type": "string"}]),
    "a field with more": put("types.Party", [WALLET_FIELD, {**NAME_FIELD, "x": "canary"}]),
    "a field twice": put("types.Party", [WALLET_FIELD, NAME_FIELD, NAME_FIELD]),
    "a field's name is a number": put("types.Party", [{"name": 1, "type": "string"}]),
    "a field's name holds a comma": put("types.Party", [{"name": "a,b", "type": "string"}]),
    "a field's type is a number": put("types.Party", [WALLET_FIELD, {**NAME_FIELD, "type": 1}]),
    "a field's type is a list": put(
        "types.Party", [WALLET_FIELD, {**NAME_FIELD, "type": ["string"]}]
    ),
    "a type named as an atom": put("types.uint256", [{"name": "name", "type": "string"}]),
    "a type's name holds a bracket": put("types.Pa(rty", [{"name": "name", "type": "string"}]),
    "an unused type": put("types.Spare", [{"name": "name", "type": "string"}]),
    "no domain type": drop("types.EIP712Domain"),
    "an unknown primaryType": put("primaryType", "canary"),
    "primaryType is a number": put("primaryType", 1),
    "primaryType is an inner type": put("primaryType", "Party"),
    "primaryType is the domain": put("primaryType", "EIP712Domain"),
    "a domain with more": put("domain.salt", "0x" + "00" * 32),
    "a domain with less": drop("domain.version"),
    "the domain is a list": put("domain", []),
    "the message is a text": put("message", "canary"),
    "the message is null": put("message", None),
    "a message with more": put("message.extra", "canary"),
    "a message with less": drop("message.memo"),
    "an inner struct with less": drop("message.maker.name"),
    "an inner struct with more": put("message.maker.extra", "canary"),
    "an inner struct is null": put("message.maker", None),
    "a value is null": put("message.memo", None),
    "a number for a string": put("message.memo", 1),
    "a list for a string": put("message.memo", ["canary"]),
    "a text for a bool": put("message.open", "false"),
    "a number for a bool": put("message.open", 0),
    "a bool for an integer": put("message.amount", value=True),
    "a fraction": put("message.amount", 1.5),
    "an exponent": put("message.amount", 1e30),
    "a word for an integer": put("message.amount", "canary"),
    "a negative uint": put("message.amount", -1),
    "an integer too big": put("message.amount", 2**256),
    "a negative int too big": put("message.delta", -(2**63) - 1),
    "an element too big": put("message.pair", [256, 0]),
    "an array too short": put("message.pair", [1]),
    "an array too long": put("message.pair", [1, 2, 3]),
    "an array is an object": put("message.pair", {}),
    "an inner array too short": put("message.grid", [[1]]),
    "bytes32 too short": put("message.salt", "0x11"),
    "bytes32 too long": put("message.salt", "0x" + "11" * 33),
    "bytes32 without 0x": put("message.salt", "11" * 33),
    "bytes are a text": put("message.data", "canary"),
    "bytes of half a byte": put("message.data", "0x123"),
    "bytes are a number": put("message.data", 5),
    "an address too short": put("message.maker.wallet", "0x11"),
    "an address with a broken checksum": put("message.maker.wallet", WALLET.replace("C", "c", 1)),
    "an address is a number": put("message.maker.wallet", 1),
    "an unknown atom": put("types.Party", [WALLET_FIELD, {**NAME_FIELD, "type": "text"}]),
    "an atom of no size": put("types.Party", [WALLET_FIELD, {**NAME_FIELD, "type": "uint257"}]),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_document_that_can_be_read_in_two_ways_is_refused(
    change: Callable[[Document], None],
) -> None:
    """Each broken rule is a BodyInvalid of `typed_data.json` that quotes nothing of it."""
    document = deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(BodyInvalid) as caught:
        digest(document)
    assert caught.value.field == "typed_data.json"
    assert "canary" not in caught.value.message


@pytest.mark.parametrize("name", ["a,b", "a)", "(", "", " a", "1a", "a\n", "\u00e9", "a[]"])
def test_a_field_is_named_by_a_word(name: str) -> None:
    """A name that could change the text of its type is refused, though a value stands for it."""
    document = string_document("x")
    document["types"]["Message"] = [{"name": name, "type": "string"}]
    document["message"] = {name: "x"}
    with pytest.raises(BodyInvalid):
        digest(document)


@pytest.mark.parametrize(
    "name", ["string", "uint256", "bytes32", "address", "bool", "a b", "(a", ""]
)
def test_a_type_is_named_by_a_word_of_its_own(name: str) -> None:
    """A struct can't take the name of an atom, nor one that could change a type's text."""
    document = string_document("x")
    document["types"][name] = document["types"].pop("Message")
    document["primaryType"] = name
    with pytest.raises(BodyInvalid):
        digest(document)


@pytest.mark.parametrize("name", ["destination Chain", "_a$1", "$", "\u0041bc"])
def test_a_field_may_hold_blanks_as_asters_do(name: str) -> None:
    """Aster's withdrawal has names of two words; eth-account signs them too."""
    document = string_document("x")
    document["types"]["Message"] = [{"name": name, "type": "string"}]
    document["message"] = {name: "x"}
    assert theirs(document) == digest(document)


def test_a_struct_that_holds_itself_is_refused() -> None:
    """A type without an end is an answer, and no RecursionError."""
    document = string_document("x")
    document["types"]["Message"] = [{"name": "msg", "type": "Message"}]
    with pytest.raises(BodyInvalid):
        digest(document)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["address", "uint8[", "Message", "bytes99", "int[]"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(part=st.sampled_from(["types", "primaryType", "domain", "message"]), value=JSON)
def test_any_part_that_is_anything_is_refused_or_signed(part: str, value: object) -> None:
    """Whatever stands in a part, the answer is a digest or BodyInvalid and nothing else."""
    document = {**string_document("x"), part: value}
    try:
        text = json.dumps(document).encode("utf-8")
        answer = eip712.digest(parse_object(text, "typed_data.json"))
    except BodyInvalid:
        return
    assert len(answer) == 32


@settings(max_examples=300, deadline=None)
@given(
    kind=st.from_regex(
        r"(address|bool|string|u?int|bytes)[0-9]{0,3}(\[[0-9]{0,2}\]){0,2}", fullmatch=True
    ),
    value=JSON,
)
def test_any_type_with_any_value_is_refused_or_signed(kind: str, value: object) -> None:
    """Whatever a field's type and value are, the answer is a digest or BodyInvalid."""
    document = string_document("x")
    document["types"]["Message"] = [{"name": "msg", "type": kind}]
    document["message"] = {"msg": value}
    try:
        answer = digest(document)
    except BodyInvalid:
        return
    assert len(answer) == 32


def test_importing_it_leaves_the_recursion_limit_as_python_sets_it() -> None:
    """py_ecc raises the limit beyond the stack; here it is as it was, in a process of its own."""
    code = "import sys; import privyseald.signing.eip712; print(sys.getrecursionlimit())"
    limit = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert limit.stdout == "1000\n"
