import pytest

from privyseald.policy.file import parse_policy
from privyseald.policy.review import review
from privyseald.venues.registry import Venues

VENUES = Venues()


def remarks(*rules: str) -> list[str]:
    """Return what is said of rules, each given in YAML's one-line form behind its name."""
    texts = []
    for number, text in enumerate(rules, start=1):
        whom = "" if "callers:" in text else 'callers: ["*"], keys: ["*"], '
        texts.append(f"  - {{name: r{number}, {whom}{text}}}\n")
    found = review(parse_policy("version: 1\nrules:\n" + "".join(texts), "p", VENUES), VENUES)
    return [f"{each.rule} {each.text.partition(':')[0]}" for each in found]


NARROW = "callers: [a], keys: [k], "


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("allow: [sign, login]", "allow: [sign]"),
        ("allow: [sign]", f"{NARROW}allow: [sign]"),
        ("allow: [sign]", "allow: [sign], venues: [aster]"),
        ("allow: [sign]", "allow: [sign], when: 'request.body.a == 1'"),
        ("allow: ['@trading', tag:read]", "allow: [tag:trade]"),
        ("allow: [op:order/new, op:order/bulk]", "allow: [op:order/bulk]"),
        ("allow: ['POST /api/**', login]", "allow: ['POST /api/**']"),
        ("allow: [sign], accept_bearer: true", "allow: [sign]"),
        ("deny: [sign]", "deny: ['POST /api/**']"),
        ("deny: [sign, tag:trade]", "deny: [tag:trade]"),
    ],
)
def test_a_rule_behind_a_wider_one_never_decides(first: str, second: str) -> None:
    """The first one that matches decides."""
    assert remarks(first, second) == ["r2 never decides"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("allow: [sign]", "allow: [sign, login]"),
        (f"{NARROW}allow: [sign]", "allow: [sign]"),
        ("allow: [sign], venues: [aster]", "allow: [sign]"),
        ("allow: [sign], venues: [aster]", "allow: [sign], venues: [aster, whitebit]"),
        ("allow: [sign], when: 'request.body.a == 1'", "allow: [sign]"),
        ("allow: [sign], mode: shadow", "allow: [sign]"),
        ("allow: [sign]", "allow: [sign], mode: shadow"),
        ("allow: [sign]", "allow: [sign-unlisted]"),
        ("allow: [sign]", "allow: [sign], accept_bearer: true"),
        ("allow: [tag:trade]", "allow: [tag:read]"),
        ("allow: [op:order/new]", "allow: [op:order/bulk]"),
        ("allow: ['POST /api/**']", "allow: ['GET /api/**']"),
        ("allow: [sign]", "deny: [tag:trade]"),
        ("deny: [tag:trade]", "allow: [sign]"),
        ("deny: [tag:trade], when: 'request.body.a == 1'", "allow: [tag:trade]"),
        ("deny: [tag:trade], mode: shadow", "allow: [tag:trade]"),
        # A tag in a rule that denies means documents too, `sign` does not.
        ("deny: [sign]", "deny: [tag:withdrawal]"),
    ],
)
def test_a_rule_that_may_decide_is_left_alone(first: str, second: str) -> None:
    """Nothing is said that is not certain."""
    assert remarks(first, second) == []


@pytest.mark.parametrize(
    ("deny", "allow"),
    [
        ("deny: [sign]", "allow: [sign]"),
        ("deny: [sign]", "allow: [tag:trade, 'POST /**', sign-unlisted]"),
        ("deny: [tag:trade, login]", f"{NARROW}allow: [tag:trade]"),
    ],
)
def test_a_rule_that_another_denies_allows_nothing(deny: str, allow: str) -> None:
    """In any order."""
    assert remarks(deny, allow) == ["r2 allows nothing"]
    assert remarks(allow, deny) == ["r1 allows nothing"]


def test_what_none_of_its_venues_has_is_told() -> None:
    """An operation of one venue in a rule for another, and a tag that nothing there has."""
    assert remarks("allow: [op:order/new, tag:trade], venues: [aster]") == [
        "r1 selects nothing by 'op"
    ]
    assert remarks("allow: [op:order/new], venues: [aster, whitebit]") == []
    assert remarks("deny: [tag:session], venues: [aster]") == [
        "r1 selects nothing by the tag 'session', which no operation of aster has"
    ]


def test_a_rule_that_lacks_limits_is_told_of() -> None:
    """Whoever writes limits shall know that they never hold."""
    (text,) = remarks("allow: [sign]", "allow: [sign], limits: [{rate: 1, window: 1s}]")

    assert text == "r2 never decides"
