import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as s

from privyseal import ConfigurationError, PrivysealError, Tls
from privyseal.bearer import TokenFile, authorization
from privyseal.files import Watched
from privyseal.tls import LiveTls
from privyseald.cli.certificates import TryOutCa

_CA = TryOutCa()
_CALLER = "spiffe://privyseal.test/trader"


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of all files that are watched."""
    clock = Clock()
    monkeypatch.setattr(Watched.__init__, "__defaults__", (clock,))
    return clock


def write(folder: Path, ca: TryOutCa = _CA, key_of: TryOutCa | None = None) -> Tls:
    """Write a caller's files as somebody who renews them does, by renaming."""
    pem = ca.caller(_CALLER)
    key = key_of.caller(_CALLER).private_key if key_of else pem.private_key
    for name, text in (("ca", ca.certificate), ("client", pem.certificate), ("key", key)):
        (folder / ".fresh").write_bytes(text)
        (folder / ".fresh").rename(folder / f"{name}.pem")
    return Tls(folder / "ca.pem", folder / "client.pem", folder / "key.pem")


def test_files_are_looked_at_once_a_second(tmp_path: Path) -> None:
    """A change is seen once, and not before the second is over."""
    path, clock = tmp_path / "file", Clock()
    path.write_text("a")
    watched = Watched([path], clock)
    path.write_text("other")
    clock.now_s += 0.99
    assert not watched.changed()
    clock.now_s += 0.02
    assert [True, False] == [watched.changed(), watched.changed()]
    clock.now_s += 1
    assert not watched.changed()
    path.unlink()
    clock.now_s += 1
    assert watched.changed()


def test_a_replaced_link_is_a_change(tmp_path: Path) -> None:
    """As Kubernetes replaces what it mounts."""
    clock = Clock()
    for name in ("one", "two"):
        (tmp_path / name).write_text("same")
        os.utime(tmp_path / name, ns=(1, 1))
    (tmp_path / "link").symlink_to("one")
    watched = Watched([tmp_path / "link"], clock)
    (tmp_path / "fresh").symlink_to("two")
    (tmp_path / "fresh").rename(tmp_path / "link")
    clock.now_s += 1
    assert watched.changed()


def test_new_certificates_come_into_force(tmp_path: Path, clock: Clock) -> None:
    """Once, and only when they are others."""
    live = LiveTls(write(tmp_path))
    clock.now_s += 1
    assert not live.changed()
    write(tmp_path)
    clock.now_s += 1
    assert [True, False] == [live.changed(), live.changed()]
    os.utime(tmp_path / "ca.pem")
    clock.now_s += 1
    assert not live.changed()


def test_files_that_do_not_match_change_nothing(tmp_path: Path, clock: Clock) -> None:
    """Until they do."""
    live = LiveTls(write(tmp_path))
    before = live._pem
    write(tmp_path, key_of=TryOutCa())
    clock.now_s += 1
    assert (False, before) == (live.changed(), live._pem)
    (tmp_path / "key.pem").unlink()
    clock.now_s += 1
    assert not live.changed()
    write(tmp_path)
    clock.now_s += 1
    assert live.changed()
    assert "hidden" in repr(live._pem)


def test_files_that_are_none(tmp_path: Path) -> None:
    """What is wrong is told with setting and path, and nothing asks for a password."""
    tls = write(tmp_path)
    key = s.load_pem_private_key((tmp_path / "key.pem").read_bytes(), None)
    sealed = key.private_bytes(
        s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"pass")
    )
    for name, text, setting, words in (
        ("key", sealed, "tls.private_key", "encrypted"),
        ("key", b"", "tls.private_key", "is not the private key"),
        ("client", b"", "tls.private_key", "is not the private key"),
        ("ca", b"", "tls.ca", "holds no certificate"),
        ("ca", "é".encode(), "tls.ca", "holds no certificate"),
    ):
        path = tmp_path / f"{name}.pem"
        right = path.read_bytes()
        path.write_bytes(text)
        with pytest.raises(ConfigurationError, match=words) as raised:
            LiveTls(tls)
        assert setting == raised.value.setting
        path.write_bytes(right)
    LiveTls(Tls(tmp_path / "ca.pem")).credentials()


def test_a_token_file_is_read_again(tmp_path: Path, clock: Clock) -> None:
    """White space around it does not count; what holds no token leaves the last in force."""
    path = tmp_path / "token"
    path.write_text("first\n")
    token = TokenFile(path)
    for text, seen in (("second ", "second"), ("", "second"), ("two words", "second"), ("3", "3")):
        path.write_text(text)
        clock.now_s += 1
        assert seen == token()
    path.unlink()
    clock.now_s += 1
    assert "3" == token()


def test_a_token_file_without_a_token(tmp_path: Path) -> None:
    """It is told when the client is made, without what the file holds."""
    (tmp_path / "token").write_text("two words")
    for name in ("token", "nothing"):
        with pytest.raises(ConfigurationError) as raised:
            TokenFile(tmp_path / name)
        assert "token_file" == raised.value.setting
        assert "words" not in str(raised.value)


@pytest.mark.parametrize("token", ["", "two words", "line\nbreak", "é", b"bytes", None])
def test_what_is_no_token_is_not_sent(token: object) -> None:
    """Nothing can be smuggled into the metadata."""
    with pytest.raises(PrivysealError) as raised:
        authorization(token)
    assert "UNAUTHENTICATED" == raised.value.code
