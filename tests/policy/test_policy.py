import re
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privyseald.caller import Caller
from privyseald.errors import PolicyDenied
from privyseald.policy.action import Action
from rules import policy as policy_of
from rules import rule

DESK = Caller("spiffe://desk.example/trader", "mtls-spiffe")


def allowed(pattern: str, name: str) -> bool:
    """Whether a rule with this pattern for callers, and for keys, takes the name."""
    for_callers = policy_of(rule("r", (pattern,), ("*",), (Action.SIGN_MESSAGE,)))
    for_keys = policy_of(rule("r", ("*",), (pattern,), (Action.SIGN_MESSAGE,)))
    answers = {
        for_callers.allows(Caller(name, "test"), Action.SIGN_MESSAGE, "desk-1"),
        for_keys.allows(DESK, Action.SIGN_MESSAGE, name),
    }
    assert len(answers) == 1
    return answers.pop()


def test_without_rules_all_is_denied() -> None:
    """What no rule allows is denied, and the refusal names what was asked."""
    with pytest.raises(PolicyDenied, match="no rule of the policy allows 'sign-message'") as caught:
        policy_of().check(DESK, Action.SIGN_MESSAGE, "desk-1")

    assert {
        "action": "sign-message",
        "key": "keys/desk-1",
        "caller": DESK.name,
    } == caught.value.metadata


def test_caller_key_and_action_must_all_match() -> None:
    """A rule allows its actions to its callers on its keys, and nothing beside that."""
    policy = policy_of(rule("r", (DESK.name,), ("desk-*",), (Action.SIGN_MESSAGE,)))

    assert "r" == policy.check(DESK, Action.SIGN_MESSAGE, "desk-1")
    for caller, action, key_id in (
        (Caller("spiffe://desk.example/other", ""), Action.SIGN_MESSAGE, "desk-1"),
        (DESK, Action.LOGIN, "desk-1"),
        (DESK, Action.SIGN_MESSAGE, "vault-1"),
    ):
        for _ in range(2):
            with pytest.raises(PolicyDenied):
                policy.check(caller, action, key_id)
        assert not policy.allows(caller, action, key_id)


def test_the_first_rule_that_matches_is_named() -> None:
    """The order of the file decides which rule the audit line names."""
    policy = policy_of(
        rule("narrow", ("other",), ("*",), (Action.SIGN_MESSAGE,)),
        rule("first", ("*",), ("desk-1",), (Action.SIGN_MESSAGE, Action.LOGIN)),
        rule("second", ("*",), ("*",), (Action.SIGN_MESSAGE,)),
    )

    assert ["first", "first", "second"] == [
        policy.check(DESK, action, key_id)
        for action, key_id in (
            (Action.SIGN_MESSAGE, "desk-1"),
            (Action.LOGIN, "desk-1"),
            (Action.SIGN_MESSAGE, "desk-2"),
        )
    ]


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("desk-1", "desk-1", True),
        ("desk-1", "desk-10", False),
        ("desk-1", "my-desk-1", False),
        ("desk-*", "desk-", True),
        ("*", "", True),
        ("*-1", "desk-1", True),
        ("d*k*1", "desk-1", True),
        ("d*k*2", "desk-1", False),
        ("**", "desk-1", True),
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        ("a?", "a", False),
        ("[a]", "a", False),
        ("[a]", "[a]", True),
        ("a|b", "a", False),
        ("a|b", "a|b", True),
        ("(a)", "a", False),
        ("^a$", "a", False),
        (r"\d", "1", False),
        (r"\*", "\\anything", True),
        (r"\*", "anything", False),
        ("Desk", "desk", False),
        ("desk-*", "desk-1\n", False),
        ("*", "a\nb", False),
        ("desk-1", "desk-1\n", False),
        ("spiffe://a/*", "spiffe://a/b/c", True),
        ("spiffe://a.example/*", "spiffe://axexample/b", False),
        ("spiffe://a/*", "spiffe://ab/c", False),
    ],
)
def test_a_pattern_means_its_text_and_stars(pattern: str, name: str, expected: bool) -> None:
    """`*` stands for any characters of a name, all others for themselves; no regular
    expression hides in a pattern, and no line break in a name slips through.
    """
    assert expected is allowed(pattern, name)


def test_one_of_several_patterns_suffices() -> None:
    """A rule's names are alternatives, each matched whole."""
    policy = policy_of(rule("r", ("a", "b*"), ("x", "y"), (Action.SIGN_MESSAGE,)))

    matches = {
        (caller, key_id)
        for caller in ("a", "b", "bc", "ab", "ba", "c")
        for key_id in ("x", "y", "xy")
        if policy.allows(Caller(caller, ""), Action.SIGN_MESSAGE, key_id)
    }
    assert {(caller, key) for caller in ("a", "b", "bc", "ba") for key in "xy"} == matches


@given(
    pattern=st.text(alphabet=string.printable[:94] + "***", min_size=1, max_size=12),
    name=st.text(alphabet=string.printable[:94], max_size=12),
)
def test_matching_is_that_of_plain_globs(pattern: str, name: str) -> None:
    """A pattern takes exactly what its parts between the stars, in order, take."""
    first, *rest = pattern.split("*")
    if not rest:
        expected = name == pattern
    else:
        *middle, last = rest
        expected = name.startswith(first)
        left = name[len(first) :]
        for part in middle:
            found = left.find(part)
            expected = expected and found >= 0
            left = left[found + len(part) :] if found >= 0 else left
        expected = expected and left.endswith(last)

    assert expected is allowed(pattern, name)


@given(
    names=st.lists(st.text(alphabet="ab*", min_size=1, max_size=4), min_size=1, max_size=4),
    more=st.lists(st.text(alphabet="ab*", min_size=1, max_size=4), max_size=4),
    name=st.text(alphabet="ab", max_size=4),
)
def test_more_names_never_allow_less(names: list[str], more: list[str], name: str) -> None:
    """A rule that gets more names still allows what it allowed."""
    some = policy_of(rule("r", tuple(names), ("*",), (Action.SIGN_MESSAGE,)))
    all_names = policy_of(rule("r", (*more, *names), ("*",), (Action.SIGN_MESSAGE,)))
    caller = Caller(name, "")

    if some.allows(caller, Action.SIGN_MESSAGE, "k"):
        assert all_names.allows(caller, Action.SIGN_MESSAGE, "k")


def test_decisions_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names strangers think up, the memory for decisions does not grow on."""
    monkeypatch.setattr("privyseald.policy.policy._CACHE", 100)
    policy = policy_of(rule("r", (DESK.name,), ("*",), (Action.SIGN_MESSAGE,)))

    for index in range(1_000):
        with pytest.raises(PolicyDenied):
            policy.check(Caller(f"stranger-{index}", ""), Action.SIGN_MESSAGE, "desk-1")
        assert "r" == policy.check(DESK, Action.SIGN_MESSAGE, f"desk-{index}")
        assert len(policy._plans) <= 100


def test_a_thousand_rules_are_quick() -> None:
    """Each new question costs well under 10 ms with 1,000 rules, each known one next to nothing."""
    policy = policy_of(
        *(
            rule(f"r{index}", (f"spiffe://a/{index}/*",), (f"desk-{index}-*",), Action)
            for index in range(1_000)
        )
    )
    caller = Caller("spiffe://a/999/b", "")
    began = time.process_time()
    for index in range(100):
        assert "r999" == policy.check(caller, Action.SIGN_MESSAGE, f"desk-999-{index}")
    assert time.process_time() - began < 1.0

    began = time.process_time()
    for _ in range(100):
        for index in range(100):
            policy.check(caller, Action.SIGN_MESSAGE, f"desk-999-{index}")
    assert time.process_time() - began < 1.0


def test_an_awkward_pattern_does_not_stall() -> None:
    """Many stars against a long name that almost fits do not take for ever."""
    policy = policy_of(rule("r", ("*a" * 20 + "*!",), ("*",), (Action.SIGN_MESSAGE,)))
    began = time.process_time()

    assert not policy.allows(Caller("a" * 256, ""), Action.SIGN_MESSAGE, "k")
    assert time.process_time() - began < 1.0


def test_every_action_is_written_as_rules_write_it() -> None:
    """Actions are lower-case words with hyphens."""
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", action.value) for action in Action)
