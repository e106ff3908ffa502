"""EIP-191 against eth-account."""

import pytest
from eth_account.messages import _hash_eip191_message, encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from privyseald.signing import eip191


@given(message=st.binary(max_size=2_000))
def test_a_digest_is_eth_accounts(message: bytes) -> None:
    """The digest of any bytes is the one that eth-account signs."""
    assert bytes(_hash_eip191_message(encode_defunct(message))) == eip191.digest(message)


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 99, 100, 999, 1_000, 65_536])
def test_the_length_is_written_in_decimal(length: int) -> None:
    """The prefix counts bytes, in as many digits as it takes."""
    message = b"x" * length
    assert bytes(_hash_eip191_message(encode_defunct(message))) == eip191.digest(message)


def test_a_text_is_counted_in_bytes() -> None:
    """A letter outside ASCII counts as its bytes in UTF-8."""
    text = "\u65e5\u672c"
    expected = bytes(_hash_eip191_message(encode_defunct(text=text)))
    assert expected == eip191.digest(text.encode())
