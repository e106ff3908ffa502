from dataclasses import fields

from privyseald.audit.entry import Entry


def test_an_entry_has_no_place_for_what_must_not_be_kept() -> None:
    """No field could hold a body, a header, a signature, a token or a secret."""
    names = {each.name for each in fields(Entry)}

    assert not {
        name
        for name in names
        for word in ("body", "header", "signature", "token", "secret", "plaintext", "query")
        if word in name
    }


def test_a_new_entry_knows_only_the_rpc() -> None:
    """What is not known yet is empty, so that it stays out of the line."""
    entry = Entry("rpc")

    assert ["rpc"] == [each.name for each in fields(Entry) if getattr(entry, each.name)]
