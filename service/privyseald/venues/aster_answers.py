"""What Aster's trading APIs, V1 and V3, answer when a request is out of time.

Codes and texts are those of asterdex/api-docs V1 "Error Codes" (-1021, the Binance family) and
V3 (-4225 "Nonce Expired"). That a repeated nonce is told by -4225 too, and a nonce far ahead by
-1021 (ccxt PR #27682), is uncertain without a live account.
"""

from privyseald.venues.reading import Meaning, object_of


def read_answer(status: int, body: bytes) -> Meaning:
    """Return what the code says of the request's time or nonce."""
    answer = object_of(body)
    code, text = answer.get("code"), str(answer.get("msg"))
    if status < 400:
        return Meaning.NOTHING
    if code == -4225:
        return Meaning.NONCE_STALE
    if code == -1021:
        return Meaning.NONCE_AHEAD if "ahead of the server" in text else Meaning.NONCE_STALE
    return Meaning.NOTHING
