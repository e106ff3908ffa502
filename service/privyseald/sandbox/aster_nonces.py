"""Aster V3's nonces: microseconds near the venue's clock, each used once.

The rule (60 s, the latest 100 nonces of each signer) is that of asterdex/api-docs PR #157;
until 2026-06-30 the documents said 10 s. -4225 is documented; inferred are the text for a
repeated nonce and -1021 for one too far ahead (ccxt PR #27682 saw it at 1000 ms).
"""

import re
from bisect import insort
from collections import defaultdict

from privyseald.sandbox.aster_form import (
    AHEAD,
    NONCE_EXPIRED,
    NONCE_REPEATED,
    illegal,
    refusal,
)
from privyseald.sandbox.knobs import AsterKnobs

_NONCE = re.compile(r"[0-9]{1,20}")


class AsterNonces:
    """The highest nonces that each signer used, in order."""

    def __init__(self, knobs: AsterKnobs) -> None:
        self._knobs = knobs
        self._used: defaultdict[str, list[int]] = defaultdict(list)

    def spend(self, signer: str, text: str, now_us: int) -> None:
        """Use a nonce up. Raises Refused when it is malformed, repeated or out of time."""
        if not _NONCE.fullmatch(text):
            raise illegal("nonce", f"^{_NONCE.pattern}$")
        nonce = int(text)
        window_us = self._knobs.nonce_window_ms * 1_000
        used = self._used[signer.lower()]
        if nonce - now_us > (self._knobs.ahead_ms * 1_000 or window_us):
            raise refusal(AHEAD)
        if nonce in used:
            raise refusal(NONCE_REPEATED)
        full = len(used) >= self._knobs.nonces_kept
        if now_us - nonce > window_us or (full and nonce < used[0]):
            raise refusal(NONCE_EXPIRED)
        insort(used, nonce)
        del used[: -self._knobs.nonces_kept]
