"""A request before it is signed: nothing passes that could be read in two ways."""

from urllib.parse import parse_qsl, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseald.errors import BodyInvalid, FieldInvalid, ParameterReserved, RequestInvalid
from privyseald.venues.http_request import (
    MAX_BODY,
    check_parameters,
    encode_query,
    form_text,
    make_request,
    parameter,
    parameter_names,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NONE: frozenset[str] = frozenset()


def refused(
    method: str = "GET",
    target: str = "/a",
    query: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    content_type: str = "",
) -> RequestInvalid:
    """The error for a request that must not pass."""
    with pytest.raises(RequestInvalid) as caught:
        make_request(method, target, query, body, content_type)
    return caught.value


@given(parameters=st.lists(st.tuples(TEXTS.filter(bool), TEXTS), max_size=5))
def test_an_encoded_query_reads_back_as_its_parameters(parameters: list[tuple[str, str]]) -> None:
    """Names and values survive the encoding, in order, and pass as a query."""
    query = encode_query(parameters)
    assert parameters == parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    assert [name for name, _ in parameters] == parameter_names(query)
    assert query == make_request("GET", "/a", parameters, b"", "").query
    assert query == make_request("GET", f"/a?{query}", (), b"", "").query


@pytest.mark.parametrize(
    ("value", "expected"),
    [("a b", "a%20b"), ("+", "%2B"), ("/", "%2F"), ("~", "~"), ("é", "%C3%A9"), ("", "")],
)
def test_a_value_is_encoded_as_rfc_3986_has_it(value: str, expected: str) -> None:
    """A blank is %20 and never +, letters are upper-case hex."""
    assert f"k={expected}" == encode_query([("k", value)])


def test_a_query_given_twice_is_refused() -> None:
    """Behind the path or as parameters, but not both."""
    error = refused(target="/a?x=1", query=(("y", "2"),))
    assert (error.field, type(error)) == ("http_request.query", FieldInvalid)


def test_a_bare_question_mark_is_no_query() -> None:
    """An empty query leaves no mark behind."""
    request = make_request("GET", "/a?", (), b"", "")
    assert (request.path, request.query) == ("/a", "")


def test_a_question_mark_in_a_query_is_part_of_it() -> None:
    """Only the first mark divides."""
    request = make_request("GET", "/a?x=1?y", (), b"", "")
    assert (request.path, request.query) == ("/a", "x=1?y")


@pytest.mark.parametrize(
    "method", ["", "get", "Post", "HEAD", "OPTIONS", "TRACE", "GET ", "GET\r\n"]
)
def test_another_method_is_refused(method: str) -> None:
    """Five methods, in upper case."""
    assert refused(method=method).field == "http_request.method"


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a",
        "https://whitebit.com/api",
        "//whitebit.com/api",
        "/a//b",
        "/../a",
        "/a/../b",
        "/a/..",
        "/./a",
        "/a/.",
        "/a b",
        "/a\n",
        "/a\r\nX: y",
        "/a\tb",
        "/a\x00",
        "/a\x7f",
        "/é",
        "/a#b",
        "/a;b=c",
        "/a\\b",
        '/a"b',
        "/a<b",
        "/a%",
        "/a%2",
        "/a%zz",
        "/%2e%2e/a",
        "/%2E/a",
        "/a%2fb",
        "/a%2Fb",
        "/a%5cb",
        "/a%00",
        "/a%0d%0aX",
        "/a%7f",
        "/a%252fb",
        "/a%3fb",
        "/a%23b",
        "/a%3bb",
        "/%61",
        "/orde%72",
        "/%41",
        "/a%2d",
        "/a%7Eb",
        "/a%3A",
        "/a%C0%AF",
        "/a%ff",
        "/a%ED%A0%80",
        "/" + "a" * 2048,
    ],
)
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    """Hosts, dots, doubled slashes, needless escapes, controls and other letters: none passes."""
    assert refused(target=path).field == "http_request.path"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v4/order/new",
        "/api/v2/stream/private/",
        "/a.b/..c/d..",
        "/a-b_c~d!e$f&g'h(i)j*k+l,m=n:o@p",
        "/a%20b",
        "/a%22%3C%3E%5B%5D%5E%60%7B%7C%7D",
        "/%E6%97%A5",
        "/%e6%97%a5",
        "/" + "a" * 2047,
    ],
)
def test_a_plain_path_passes_as_it_is(path: str) -> None:
    """Nothing of a path is rewritten."""
    assert path == make_request("GET", path, (), b"", "").path


@given(path=st.text("abAB0./%?#;&=~ \\\n\r\x00é259fFeEdD", max_size=14))
def test_whatever_path_passes_has_one_reading(path: str) -> None:
    """Decoding a path that passed yields no new slash, dot segment, mark or control."""
    try:
        request = make_request("GET", "/" + path, (), b"", "")
    except RequestInvalid:
        return
    decoded = unquote(request.path, errors="strict")
    assert request.path.count("/") == decoded.count("/")
    assert not {"", ".", ".."} & set(decoded.split("/")[1:-1])
    assert not set(decoded) & set("\\?#;%\x00\r\n")
    assert decoded == unquote(decoded)


@pytest.mark.parametrize(
    "query",
    [
        "a=b c",
        "a=é",
        "a=1\n",
        "a=1\r\nX: y",
        "a=#",
        "a=%",
        "a=%2",
        "a=%zz",
        'a="',
        "a=[1]",
        "a=1;b=2",
    ],
)
def test_a_query_that_is_not_encoded_is_refused(query: str) -> None:
    """What must be percent-encoded is; a raw ';' is a second '&' to some servers."""
    assert refused(target=f"/a?{query}").field == "http_request.query"


def test_a_query_of_16_kib_passes_and_more_does_not() -> None:
    """The length of a query is bounded."""
    make_request("GET", "/a?" + "a" * 16_384, (), b"", "")
    assert refused(target="/a?" + "a" * 16_385).field == "http_request.query"


def test_a_body_is_bounded_and_never_goes_with_a_get() -> None:
    """256 KiB pass; one byte more, or one byte with GET, does not."""
    make_request("POST", "/a", (), b"x" * MAX_BODY, "")
    errors = [refused("POST", body=b"x" * (MAX_BODY + 1)), refused("GET", body=b"x")]
    assert [(each.field, type(each)) for each in errors] == [("http_request.body", BodyInvalid)] * 2


@pytest.mark.parametrize(
    "content_type",
    ["json", "application/json\r\nX: y", "application/json; charset=latin-1", "a/b; c=d", " a/b"],
)
def test_a_content_type_that_is_no_media_type_is_refused(content_type: str) -> None:
    """A header can't be smuggled in by the media type."""
    error = refused("POST", body=b"x", content_type=content_type)
    assert error.field == "http_request.content_type"


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=UTF-8"])
def test_a_media_type_passes(content_type: str) -> None:
    """A type may name UTF-8 as its charset."""
    assert content_type == make_request("POST", "/a", (), b"x", content_type).content_type


@pytest.mark.parametrize(
    ("names", "error"),
    [
        (["a", "b", "a"], FieldInvalid),
        (["a", ""], FieldInvalid),
        (["", ""], FieldInvalid),
        (["a", "nonce"], ParameterReserved),
        (["a[]", "nonce", "a[]"], ParameterReserved),
    ],
)
def test_parameters_stand_once_with_a_name_that_is_free(
    names: list[str], error: type[RequestInvalid]
) -> None:
    """Doubled, nameless and reserved names are refused by the field that holds them."""
    with pytest.raises(error) as caught:
        check_parameters(names, frozenset({"nonce"}), "http_request.query")
    assert (caught.value.field, type(caught.value)) == ("http_request.query", error)


def test_a_list_parameter_may_stand_often() -> None:
    """`name[]` is how a list is written."""
    check_parameters(["a[]", "b", "a[]"], NONE, "http_request.query")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["%d", "a[]"], ids=["all different", "all a list"])
def test_many_parameters_are_checked_in_linear_time(name: str) -> None:
    """A body full of names costs its length; the square of it would take minutes."""
    names = [name % number if "%" in name else name for number in range(130_000)]
    check_parameters(names, frozenset({"nonce"}), "http_request.body")
    with pytest.raises(FieldInvalid, match="without a name"):
        check_parameters([*names, ""], NONE, "http_request.body")


def test_a_name_is_shown_without_what_does_not_print() -> None:
    """An error holds no control character of a parameter's name, and no long one."""
    name = "a\x1b[31m\n" + "b" * 100
    with pytest.raises(FieldInvalid) as caught:
        check_parameters([name, name], NONE, "http_request.query")
    assert "\x1b" not in caught.value.message
    assert "\n" not in caught.value.message
    assert "b" * 65 not in caught.value.message


@pytest.mark.parametrize(
    ("encoded", "expected"),
    [("", None), ("b=1", None), ("a", ""), ("a=", ""), ("%61=1", "1"), ("b=2&a=x%20y+z", "x y z")],
)
def test_a_parameter_is_found_by_its_decoded_name(encoded: str, expected: str | None) -> None:
    """Escaped names are found too, and values come decoded."""
    assert expected == parameter(encoded, "a")


@pytest.mark.parametrize(
    "body", [b'{"a":1}', b"a=b c", b"a=\xc3\xa9", b"a=1\n", b"\x00", b"a=1;b=2"]
)
def test_a_body_that_is_no_form_is_refused(body: bytes) -> None:
    """A form is percent-encoded ASCII."""
    with pytest.raises(BodyInvalid) as caught:
        form_text(body)
    assert caught.value.field == "http_request.body"


def test_a_form_is_its_text() -> None:
    """A form comes back as it is."""
    assert form_text(b"a=%20&b=1") == "a=%20&b=1"


def test_a_request_hides_its_body() -> None:
    """The repr of a request does not show what it holds."""
    request = make_request("POST", "/a", (), b"canary", "")
    assert "canary" not in repr(request)
