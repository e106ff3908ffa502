"""What a decision of the policy costs, and a reload, with 1, 100 and 1,000 rules.

    .venv/bin/python benchmarks/policy.py

"known" is a question that was asked before; "new" one of a key that was not. With a condition,
the rule that matches looks at the market and the amount of an order: it is evaluated each time.
Each figure is the median of runs, in CPU time of this process; rules that do not match come first.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from privyseald.caller import Caller
from privyseald.clock import SystemClock
from privyseald.key import Key, KeyState
from privyseald.policy.file import load_policy
from privyseald.policy.policy import Policy
from privyseald.policy.question import Question, ask_of_request
from privyseald.signing.signer import Credential
from privyseald.usecases.explain import Explain
from privyseald.venues.http_request import HttpRequest, make_request
from privyseald.venues.registry import Venues

_ROUNDS = 15
_CALLER = Caller("spiffe://trading.example.com/desk", "mtls-spiffe")
_BODY = b'{"market":"BTC_USDT","side":"buy","amount":"0.5","price":"60000"}'
_WHEN = 'request.body.market == "BTC_USDT" && cmp(request.body.amount, "2") <= 0'
_VENUES = Venues()


def text_of(count: int, when: str) -> str:
    """Return a policy of as many rules, of which the last one matches."""
    rules = [
        f'  - {{name: r{number}, callers: ["spiffe://trading.example.com/*"], '
        f'keys: ["desk-{number}-*"], allow: [sign, login], when: "request.body.n == {number}"}}\n'
        for number in range(count - 1)
    ]
    condition = f", when: '{when}'" if when else ""
    rules.append(
        f'  - {{name: last, callers: ["{_CALLER.name}"], keys: ["mm-*"], allow: [tag:trade]'
        f"{condition}}}\n"
    )
    return "version: 1\nrules:\n" + "".join(rules)


def question(request: HttpRequest, key_id: str) -> Question:
    """Return the question of an order, as Sign asks it."""
    venue = _VENUES.get("whitebit")
    key = Key(key_id, "whitebit", "production", "", "id", KeyState.ENABLED, 1, 0, 0)
    table = _VENUES.operation_table(venue)
    return ask_of_request(_CALLER, key, request, venue.coverage, table)


def cost_us(run: Callable[[int], object], count: int) -> float:
    """Return the median CPU time of one run, in microseconds."""
    spent = []
    for turn in range(_ROUNDS):
        began = time.process_time_ns()
        for number in range(count):
            run(turn * count + number)
        spent.append((time.process_time_ns() - began) / count / 1_000)
    return statistics.median(spent)


def main() -> None:
    """Measure and print."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    request = order()
    print(f"{'':<30}{'1 rule':>10}{'100 rules':>12}{'1000 rules':>12}")
    rows: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "policy.yaml"
        for count in (1, 100, 1_000):
            for when in ("", _WHEN):
                path.write_text(text_of(count, when))
                policy = Policy(load_policy(path, _VENUES), SystemClock())
                what = "with a condition" if when else "without a condition"
                same = question(request, "mm-1")
                known = cost_us(lambda _, p=policy, q=same: p.require(q), 2_000)  # type: ignore[misc]
                new = cost_us(
                    lambda n, p=policy: p.require(question(request, f"mm-{n}")),  # type: ignore[misc]
                    200,
                )
                rows.setdefault(f"known, {what}", []).append(known)
                rows.setdefault(f"new, {what}", []).append(new)
            load = cost_us(lambda _, p=path: load_policy(p, _VENUES), 1)  # type: ignore[misc]
            rows.setdefault("reading the file", []).append(load)
    asking = cost_us(lambda _: question(request, "mm-1"), 2_000)
    for name, figures in rows.items():
        print(f"{name + ', µs':<30}" + "".join(f"{each:>11.1f} " for each in figures))
    print(f"{'making the question, µs':<30}{asking:>11.1f}")


def order() -> HttpRequest:
    """Return an order as WhiteBIT's file normalises it."""
    key = Key("mm-1", "whitebit", "", "", "", KeyState.ENABLED, 1, 0, 0)
    opened = Explain(Policy((), SystemClock()), _VENUES)._opened(key)  # noqa: SLF001
    credential: Credential = opened.credential
    plain = make_request("POST", "/api/v4/order/new", (), _BODY, "")
    return opened.venue.normalise(plain, credential)


if __name__ == "__main__":
    main()
