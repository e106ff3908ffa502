"""The rule of what may be spent in a sliding window. Pure; `valkey_spend_script` says it in Lua.

A window is cut into slots. What was spent in a slot counts until the whole slot has left the
window. Slots are counted by a clock; one that is set back makes what was spent look younger than
it is, by at most the time for which it counts.
"""

from collections import deque
from collections.abc import Sequence

from privyseald.state.state import Charge, Shortage

SLOTS = 60
# Wide enough for HIGHEST.
WIDTH = 16
_FORGET_ABOVE = 1_000


class SpentWindow:
    """What was spent under one name, the oldest slot first."""

    __slots__ = ("_amounts", "_slot", "_slot_ms", "_sum", "window_ms")

    def __init__(self, window_ms: int) -> None:
        self.window_ms = window_ms
        self._slot_ms = -(-window_ms // SLOTS)
        size = -(-window_ms // self._slot_ms) + 1
        self._amounts = deque([0] * size, size)
        self._slot = 0
        self._sum = 0

    @classmethod
    def of_record(cls, record: str, window_ms: int) -> "SpentWindow":
        """Return what `record` told. Raises ValueError when it is no record of such a window."""
        window = cls(window_ms)
        numbers = [int(record[place : place + WIDTH]) for place in range(0, len(record), WIDTH)]
        slot, total, *amounts = numbers
        if len(amounts) != len(window._amounts) or sum(amounts) != total or min(amounts) < 0:
            raise ValueError("no record of such a window")
        window._slot, window._sum = slot, total
        window._amounts.extend(amounts)
        return window

    def record(self, shift_ms: int = 0) -> str:
        """Return it as text, as a clock sees it that is so far ahead."""
        slot = self._slot - -shift_ms // self._slot_ms
        return "".join(f"{number:0{WIDTH}}" for number in (slot, self._sum, *self._amounts))

    @property
    def life_ms(self) -> int:
        """For how long after it was spent anything may count."""
        return len(self._amounts) * self._slot_ms

    def turn(self, now_ms: int) -> bool:
        """Let go what has left the window; whether anything is left."""
        slot = now_ms // self._slot_ms
        for _ in range(min(slot - self._slot, len(self._amounts))):
            self._sum -= self._amounts[0]
            self._amounts.append(0)
        self._slot = slot
        return self._sum > 0

    def wait_ms(self, amount: int, limit: int, now_ms: int) -> int:
        """Return after how long there may be room, and 0 where there is now."""
        if amount > limit:
            return self.window_ms
        left, places = self._sum, 0
        while left + amount > limit:
            left -= self._amounts[places]
            places += 1
        if not places:
            return 0
        return min((self._slot + places) * self._slot_ms - now_ms, self.window_ms)

    def take(self, amount: int) -> None:
        """Spend in the present slot."""
        self._amounts[-1] += amount
        self._sum += amount


class Spent:
    """What was spent, by name. What counts no more is forgotten now and then."""

    def __init__(self) -> None:
        self.windows: dict[str, SpentWindow] = {}
        self._forget_above = _FORGET_ABOVE

    def spend(self, charges: Sequence[Charge], now_ms: int, *, look: bool) -> Shortage | None:
        """Spend all charges, or nothing of them."""
        windows = [self._window(charge, now_ms) for charge in charges]
        short: Shortage | None = None
        for charge, window in zip(charges, windows, strict=True):
            wait_ms = window.wait_ms(charge.amount, charge.limit, now_ms)
            if wait_ms > (short.wait_ms if short else 0):
                short = Shortage(charge, wait_ms)
        if short or look:
            return short
        for charge, window in zip(charges, windows, strict=True):
            window.take(charge.amount)
            self.windows[charge.name] = window
        if len(self.windows) > self._forget_above:
            self.forget(now_ms)
        return None

    def forget(self, now_ms: int) -> None:
        """Forget the names under which nothing counts any more."""
        self.windows = {name: each for name, each in self.windows.items() if each.turn(now_ms)}
        self._forget_above = max(_FORGET_ABOVE, 2 * len(self.windows))

    def _window(self, charge: Charge, now_ms: int) -> SpentWindow:
        window = self.windows.get(charge.name)
        if window is None or window.window_ms != charge.window_ms:
            window = SpentWindow(charge.window_ms)
        window.turn(now_ms)
        return window
