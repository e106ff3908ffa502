"""EIP-712 typed data of a single string, hashed fast."""

from functools import lru_cache

from privyseald.signing.secp256k1 import keccak256

_DOMAIN_TYPE = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)


class StringMessage:
    """The typed data `{primary type}(string {field})` in one domain, hashed fast.

    What depends on the domain alone is computed once; a digest costs three Keccaks.
    `verifyingContract` is the zero address.
    """

    __slots__ = ("_prefix", "_type")

    def __init__(
        self, primary_type: str, field: str, *, name: str, version: str, chain_id: int
    ) -> None:
        separator = keccak256(
            _DOMAIN_TYPE
            + keccak256(name.encode())
            + keccak256(version.encode())
            + chain_id.to_bytes(32, "big")
            + bytes(32)
        )
        self._prefix = b"\x19\x01" + separator
        self._type = keccak256(f"{primary_type}(string {field})".encode())

    def digest(self, text: bytes) -> bytes:
        """Return the 32 bytes to sign for the value `text` of the field."""
        return keccak256(self._prefix + keccak256(self._type + keccak256(text)))


@lru_cache(maxsize=16)
def string_message(
    primary_type: str, field: str, name: str, version: str, chain_id: int
) -> StringMessage:
    """Return the hasher of one domain, kept."""
    return StringMessage(primary_type, field, name=name, version=version, chain_id=chain_id)
