"""JSON read strictly: what passes is one thing to every reader, and its bytes stay."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privyseald.errors import BodyInvalid
from privyseald.strict_json import JsonValue, compact, is_number, parse, parse_object

FIELD = "http_request.body"
BLANKS = st.text(" \t\r\n", max_size=3)
ESCAPES = {'"': '\\"', "\\": "\\\\", "/": "\\/", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
ESCAPES |= {"\b": "\\b", "\f": "\\f"}
NUMBERS = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?", fullmatch=True
)


class Number:
    """A number of the model, kept as the text that was drawn."""

    def __init__(self, text: str) -> None:
        self.text = text


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    '/\\"\n u', max_size=8
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS.map(Number) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


class Writer:
    """Writes a value as JSON with any spacing and any spelling of its letters."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def blank(self) -> str:
        """Up to three blanks."""
        return self._data.draw(BLANKS)

    def letter(self, letter: str) -> str:
        r"""One letter plain, by its short escape, or as \uXXXX."""
        plain = letter not in '"\\' and letter >= " "
        point = letter.encode("utf-16-be").hex()
        long = "".join(f"\\u{point[at : at + 4]}" for at in range(0, len(point), 4))
        ways = [long, long.upper().replace("\\U", "\\u")]
        ways += [letter] * 6 if plain else []
        ways += [ESCAPES[letter]] * 3 if letter in ESCAPES else []
        return self._data.draw(st.sampled_from(ways))

    def text(self, text: str) -> str:
        """A JSON string."""
        return '"' + "".join(self.letter(letter) for letter in text) + '"'

    def write(self, value: Any) -> str:
        """A JSON value with blanks around its tokens."""
        if isinstance(value, Number):
            body = value.text
        elif isinstance(value, str):
            body = self.text(value)
        elif isinstance(value, list):
            body = (
                "[" + ",".join(map(self.write, value)) + (self.blank() if not value else "") + "]"
            )
        elif isinstance(value, dict):
            members = (
                f"{self.blank()}{self.text(k)}{self.blank()}:{self.write(v)}"
                for k, v in value.items()
            )
            body = "{" + ",".join(members) + (self.blank() if not value else "") + "}"
        else:
            body = json.dumps(value)
        return self.blank() + body + self.blank()


def model(value: Any) -> Any:
    """The drawn value as `parse` should give it: numbers as text, the order of keys kept."""
    if isinstance(value, Number):
        return ("number", value.text)
    if isinstance(value, list):
        return [model(child) for child in value]
    if isinstance(value, dict):
        return [(name, model(child)) for name, child in value.items()]
    return value


def read(value: JsonValue) -> Any:
    """What `parse` gave, in the form of `model`."""
    if isinstance(value, list):
        return [read(child) for child in value]
    if isinstance(value, dict):
        return [(name, read(child)) for name, child in value.items()]
    return ("number", str(value)) if is_number(value) else value


def refused(body: bytes) -> BodyInvalid:
    """The error for a body that must not pass."""
    with pytest.raises(BodyInvalid) as caught:
        parse(body, FIELD)
    assert caught.value.field == FIELD
    return caught.value


@settings(max_examples=300, deadline=None)
@given(value=VALUES, data=st.data())
def test_any_spelling_of_a_value_is_read_as_the_value(value: Any, data: st.DataObject) -> None:
    """Spacing and escapes change nothing: key order and the digits of numbers are kept."""
    assert model(value) == read(parse(Writer(data).write(value).encode(), FIELD))


@settings(max_examples=300, deadline=None)
@given(value=VALUES, data=st.data())
def test_compact_keeps_the_value_its_order_and_its_digits(value: Any, data: st.DataObject) -> None:
    """A compact text is read as the same value, and by the standard parser as well."""
    body = Writer(data).write(value).encode()
    short = compact(body)
    assert model(value) == read(parse(short, FIELD))
    assert repr(json.loads(body)) == repr(json.loads(short))


@settings(max_examples=300, deadline=None)
@given(value=VALUES, data=st.data())
def test_compact_leaves_no_blank_and_no_escaped_slash(value: Any, data: st.DataObject) -> None:
    r"""Between tokens nothing is left, and inside strings no `\/`; twice is as good as once."""
    body = Writer(data).write(value).encode()
    short = compact(body)
    strings = re.findall(rb'"(?:[^"\\]|\\.)*"', short)
    between = re.sub(rb'"(?:[^"\\]|\\.)*"', b"", short)
    assert not set(b" \t\r\n") & set(between)
    assert b"\\/" not in {pair for string in strings for pair in re.findall(rb"\\.", string)}
    assert short == compact(short)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (rb'{"a":"\/"}', rb'{"a":"/"}'),
        (rb'{"a":"\\/"}', rb'{"a":"\\/"}'),
        (rb'{"a":"\\\/"}', rb'{"a":"\\/"}'),
        (rb'{"a":"\\\\/"}', rb'{"a":"\\\\/"}'),
        (rb'{"a":"\"\/ \""}', rb'{"a":"\"/ \""}'),
        (rb'{"\/":"\u002f"}', rb'{"/":"\u002f"}'),
        (rb'{"a" : "b  c" , "d":[ 1 , 2 ]}', rb'{"a":"b  c","d":[1,2]}'),
        (b'{"a":1.50,"b":1E+2,\r\n\t"c":-0}', b'{"a":1.50,"b":1E+2,"c":-0}'),
        (b'{"a":"\xe2\x80\xa8 \xc2\xa0"}', b'{"a":"\xe2\x80\xa8 \xc2\xa0"}'),
        (b" { } ", b"{}"),
        (b'{"a":"b"}', b'{"a":"b"}'),
    ],
)
def test_compact_writes_a_slash_as_a_slash_and_drops_blanks(body: bytes, expected: bytes) -> None:
    r"""An escaped backslash before a slash is not an escaped slash."""
    assert expected == compact(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"nonce":1,"nonce":2}',
        rb'{"nonce":1,"\u006eonce":2}',
        rb'{"nonce":1,"n\u006Fnce":2}',
        rb'{"a/b":1,"a\/b":2}',
        b'[{"x":{"nonce":1,"nonce":1}}]',
        b'{"":1,"":2}',
    ],
    ids=["plain", "escaped", "escaped in upper case", "escaped slash", "inside", "empty"],
)
def test_a_key_twice_is_refused(body: bytes) -> None:
    """A second key of one name is found however it is spelt and wherever it stands."""
    assert "twice" in refused(body).message


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity"])
def test_no_number_is_refused(word: str) -> None:
    """What JavaScript calls a number and JSON does not is named in the refusal."""
    for body in (word, f"[{word}]", f'{{"a":{word}}}'):
        assert word in refused(body.encode()).message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b'{"a"}',
        b'{"a":1,}',
        b"[1,]",
        b"[1 2]",
        b"{'a':1}",
        b'{"a":1}{"a":1}',
        b'{"a":1} x',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":0x1}',
        b'{"a":"\n"}',
        b'{"a":"\x00"}',
        rb'{"a":"\x41"}',
        rb'{"a":"\u00e"}',
        b'{"a":/**/1}',
        b'{"a":True}',
        b"\x0c{}",
        b"\xc2\xa0{}",
    ],
)
def test_what_is_no_json_is_refused(body: bytes) -> None:
    """Anything beyond RFC 8259 is refused, and the place is told by line and column."""
    assert "line" in refused(body).message


def test_the_place_of_a_fault_is_told() -> None:
    """The refusal tells line and column, and quotes nothing."""
    message = refused(b'{"a":1,\n"canary":x}').message
    assert "line 2, column 10" in message
    assert "canary" not in message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_another_encoding_is_refused(encoding: str) -> None:
    """JSON travels as UTF-8."""
    refused('{"a":"é"}'.encode(encoding))


@pytest.mark.parametrize(
    "body",
    [b'{"a":"\xff"}', b'{"a":"\xc3"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\xc0\xaf"}', b"\xfe\xff{}"],
    ids=["a stray byte", "half a letter", "a surrogate", "an overlong slash", "a mark"],
)
def test_bad_utf_8_is_refused(body: bytes) -> None:
    """A byte that is no UTF-8 is refused before anything is read."""
    assert "UTF-8" in refused(body).message


def test_a_byte_order_mark_is_refused() -> None:
    """A mark before the JSON is named."""
    assert "byte order mark" in refused(b'\xef\xbb\xbf{"a":1}').message


@pytest.mark.parametrize(
    "body",
    [rb'{"a":"\ud800"}', rb'{"\udc00":1}', rb'["\udc00\ud800"]', rb'{"a":["x\uD83Dx"]}'],
    ids=["high", "low in a key", "the wrong way round", "inside"],
)
def test_half_a_surrogate_pair_is_refused(body: bytes) -> None:
    """A letter that no UTF-8 can hold is refused."""
    assert "surrogate" in refused(body).message


def test_a_whole_surrogate_pair_is_one_letter() -> None:
    """A pair is read as the letter that it means."""
    assert parse(rb'"\ud83d\ude00"', FIELD) == "\U0001f600"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
@pytest.mark.parametrize("inner", ["", "1"], ids=["empty", "filled"])
def test_64_levels_pass_and_65_do_not(opening: str, inner: str) -> None:
    """Depth counts lists and objects alike, empty or not."""
    closing = {"[": "]", '{"a":': "}"}[opening]
    inner = inner if inner or opening == "[" else "{}"
    outer = 63 if inner == "{}" else 64
    parse((opening * outer + inner + closing * outer).encode(), FIELD)
    message = refused((opening * (outer + 1) + inner + closing * (outer + 1)).encode()).message
    assert "64 levels" in message


@pytest.mark.parametrize("levels", [500, 900, 950, 980, 990, 1_000, 5_000, 100_000])
@pytest.mark.parametrize("inner", ["1", r'"\u0041"'], ids=["plain", "escaped"])
def test_no_depth_ends_in_a_recursion_error(levels: int, inner: str) -> None:
    """Any depth is an answer, near the interpreter's own limit too."""
    refused(("[" * levels + inner + "]" * levels).encode())


def test_a_depth_at_the_interpreters_limit_is_an_answer() -> None:
    """Every depth around the limit is refused, however the parser and the checks share it."""
    limit = sys.getrecursionlimit()
    for levels in range(limit - 80, limit + 5):
        refused(("[" * levels + r'"\u0041"' + "]" * levels).encode())


def test_no_depth_ends_the_process_whatever_the_recursion_limit() -> None:
    """A deep body is refused before Python's parser recurses, which would overflow the stack."""
    code = (
        "import sys; from privyseald.errors import BodyInvalid; "
        "from privyseald.strict_json import parse; sys.setrecursionlimit(1_000_000)\n"
        "try: parse(b'[' * 130_000 + b']' * 130_000, 'body')\n"
        "except BodyInvalid: print('refused')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout == "refused\n"


def test_brackets_in_a_string_are_no_levels() -> None:
    """A text of brackets is a text."""
    assert parse(b'"' + b"[{" * 500 + b'"', FIELD) == "[{" * 500


@pytest.mark.parametrize("text", ["9" * 400, "-" + "9" * 399, "0." + "1" * 398, "1e" + "9" * 398])
def test_a_number_of_400_characters_is_kept_as_its_text(text: str) -> None:
    """A long number is neither rounded nor expanded, and one character more is refused."""
    value = parse(text.encode(), FIELD)
    assert is_number(value)
    assert text == value
    assert "400 characters" in refused((text + "1").encode()).message


@pytest.mark.parametrize("text", ["1e999999999", "-0", "1.10", "1E-07", "0.1e+10"])
def test_a_number_is_its_text(text: str) -> None:
    """A number that a float would change stays as it was written."""
    assert (text, True) == (
        str(parse(text.encode(), FIELD)),
        is_number(parse(text.encode(), FIELD)),
    )


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "body",
    [
        b"9" * 10_000_000,
        b'"' + b"\\/" * 4_000_000 + b'"',
        b"[" + b"1 , " * 700_000 + b"1]",
        b"{" + b",".join(b'"%d":%d' % (n, n) for n in range(150_000)) + b"}",
        b" " * 10_000_000 + b"1",
        b"[" * 5_000_000,
        b"[" + b"[]," * 100 + b'"' + b'\\"' * 4_000_000,
    ],
    ids=["a number", "a string of escapes", "a list", "an object", "blanks", "brackets", "no end"],
)
def test_ten_megabytes_are_read_in_linear_time(body: bytes) -> None:
    """A body far above the limit costs no more than its length; quadratic would take minutes."""
    try:
        parse(body, FIELD)
    except BodyInvalid:
        return
    compact(body)


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null", b"true"])
def test_only_an_object_is_an_object(body: bytes) -> None:
    """`parse_object` refuses what `parse` takes as another value."""
    parse(body, FIELD)
    with pytest.raises(BodyInvalid, match="must be a JSON object") as caught:
        parse_object(body, FIELD)
    assert caught.value.field == FIELD


def test_an_object_is_read_in_order() -> None:
    """Keys come in the order of the text."""
    assert list(parse_object(b'{"b":1,"a":2,"c":3}', FIELD)) == ["b", "a", "c"]


def test_only_numbers_are_numbers() -> None:
    """A text of digits, a truth value and null are none."""
    assert [is_number(parse(body, FIELD)) for body in (b"1", b'"1"', b"true", b"null", b"[1]")] == [
        True,
        False,
        False,
        False,
        False,
    ]
