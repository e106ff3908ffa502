"""How answers travel between replicas: a line of JSON with the facts, and after it raw bytes.

What the facts hold is named by `form`. Whoever changes a class that stands in them gives that
form a new number, so that a replica of another release refuses what it would misread.
"""

from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from privyseald.key import Key
from privyseald.usecases.signed import Signed, StructuredSignature
from privyseald.venues.venue import SignedHttpRequest


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    key: Key


class _HttpFacts(_Facts):
    form: Literal["http-1"]
    sign_time_ms: int
    nonce: int | None
    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    expire_time_ms: int | None


class _SignatureFacts(_Facts):
    form: Literal["signature-1"]
    sign_time_ms: int
    nonce: int | None
    digest: str
    signer: str


class _KeyFacts(_Facts):
    form: Literal["key-1"]


_SIGNED: TypeAdapter[_HttpFacts | _SignatureFacts] = TypeAdapter(
    Annotated[_HttpFacts | _SignatureFacts, Field(discriminator="form")]
)


class SignedCodec:
    """Answers of Sign; the bytes after the facts are the body, or the signature."""

    def dump(self, answer: Signed) -> bytes:
        """Return the answer as bytes."""
        facts = {"key": answer.key, "sign_time_ms": answer.sign_time_ms, "nonce": answer.nonce}
        match answer.result:
            case SignedHttpRequest(method, url, headers, body, expire_time_ms):
                facts |= {
                    "form": "http-1",
                    "method": method,
                    "url": url,
                    "headers": headers,
                    "expire_time_ms": expire_time_ms,
                }
                return _joined(facts, body)
            case StructuredSignature(value, digest, signer):
                facts |= {"form": "signature-1", "digest": digest.hex(), "signer": signer}
                return _joined(facts, value)
            case None:
                raise TypeError("what was only validated is nothing to keep")

    def load(self, data: bytes) -> Signed:
        """Return an equal answer. Raises ValueError for bytes that are none."""
        line, rest = _parted(data)
        facts = _SIGNED.validate_json(line)
        result: SignedHttpRequest | StructuredSignature
        if isinstance(facts, _HttpFacts):
            result = SignedHttpRequest(
                facts.method, facts.url, facts.headers, rest, facts.expire_time_ms
            )
        else:
            result = StructuredSignature(rest, bytes.fromhex(facts.digest), facts.signer)
        return Signed(facts.key, result, facts.sign_time_ms, facts.nonce)


class KeyCodec:
    """Answers of CreateKey, ImportKey and RotateKey: public facts alone."""

    def dump(self, answer: Key) -> bytes:
        """Return the answer as bytes."""
        return _joined({"form": "key-1", "key": answer}, b"")

    def load(self, data: bytes) -> Key:
        """Return an equal answer. Raises ValueError for bytes that are none."""
        line, rest = _parted(data)
        if rest:
            raise ValueError("there is more than a key")
        return _KeyFacts.model_validate_json(line).key


def _joined(facts: dict[str, object], rest: bytes) -> bytes:
    return orjson.dumps(facts) + b"\n" + rest


def _parted(data: bytes) -> tuple[bytes, bytes]:
    """Return what stands before and after the first line break; JSON escapes its own."""
    line, found, rest = data.partition(b"\n")
    if not found:
        raise ValueError("there is no line of facts")
    return line, rest
