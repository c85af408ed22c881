"""`[[auth]] plugin = "passwords"`: what it keeps for SCRAM, and when that is offered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.cred.credentials import UsernamePassword
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.files.watched import LineError
from mailframe.sasl import KeysWanted, StoredKeys
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import StoredKeysContract
from mailframe.testing.values import site
from mailframe_plugins.auth_passwords import Passwords, Scrypt, Settings, parse

CHEAP = str(Scrypt(n=2, salt=b"salt", hash=Scrypt(n=2, salt=b"salt").compute(b"right", 32)))
KEYS = StoredKeys.derive("right", b"salt", 4096).text


def users(folder: Path, clock: Clock | None = None, **settings: Any) -> Passwords:
    return Passwords(Settings(Path("users"), **settings), site(folder, reactor=clock or Clock()))


def found(plugin: Passwords, name: str) -> Any:
    return plugin.stored_keys(KeysWanted(name, "SCRAM-SHA-256"))


class TestContract(StoredKeysContract, SynchronousTestCase):
    good = ("Alice@Example.org", "right")

    def make(self) -> Passwords:
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "users").write_text(f"alice@example.org:{CHEAP} {KEYS}\n")
        return users(folder.absolute())


def test_new_passwords_get_keys(tmp_path: Path) -> None:
    """With `mailframe user add` and `passwd`; PLAIN and SCRAM take the same password."""
    clock = Clock()
    plugin = users(tmp_path, clock)
    plugin.set_password("bob", "pässword", create=True)
    line = (tmp_path / "users").read_text()
    assert line.startswith("bob:scrypt$16384$8$1$") and " SCRAM-SHA-256$20000:" in line
    clock.advance(2)
    kept = found(plugin, "BOB")
    assert kept.identity.user == "bob" and kept.keys.matches("pässword")
    plugin.set_password("bob", "other", create=False)
    clock.advance(2)
    assert found(plugin, "bob").keys.matches("other")
    assert plugin.test("bob", "other") and not plugin.test("bob", "pässword")
    plugin.remove("bob")
    assert (tmp_path / "users").read_text() == ""


def test_old_files_are_read_as_ever(tmp_path: Path) -> None:
    """A user without keys logs in by PLAIN; to SCRAM it is unknown."""
    (tmp_path / "users").write_text(f"old:{CHEAP}\nnew:{CHEAP} {KEYS}\na:b:{CHEAP}  {KEYS} \n")
    plugin = users(tmp_path)
    assert plugin.names() == ["a:b", "new", "old"]
    assert result_of(plugin.requestAvatarId(UsernamePassword(b"old", b"right"))) == b"old"
    assert found(plugin, "old") is None
    assert found(plugin, "new") is not None and found(plugin, "a:b") is not None
    plugin.set_password("old", "right", create=False)
    plugin.remove("a:b")
    lines = (tmp_path / "users").read_text().splitlines()
    assert lines[1] == f"new:{CHEAP} {KEYS}" and lines[0].count("SCRAM") == 1 and len(lines) == 2


def test_scram_is_offered_once_all_have_keys(tmp_path: Path) -> None:
    """A client prefers it: a user without keys could not log in any more."""
    file, clock = tmp_path / "users", Clock()
    plugin = users(tmp_path, clock)
    assert not plugin.keeps_keys()
    for text, offered in (
        (f"old:{CHEAP}\n", False),
        (f"old:{CHEAP}\nnew:{CHEAP} {KEYS}\n", False),
        (f"old:{CHEAP} {KEYS}\nnew:{CHEAP} {KEYS}\n", True),
        ("# nobody\n", False),
    ):
        file.write_text(text)
        clock.advance(2)
        assert plugin.keeps_keys() is offered, text


def test_the_operator_decides_otherwise(tmp_path: Path) -> None:
    """Always, or never; then no keys are made either."""
    (tmp_path / "users").write_text(f"old:{CHEAP}\nnew:{CHEAP} {KEYS}\n")
    plugin = users(tmp_path, scram="always")
    assert plugin.keeps_keys() and found(plugin, "new") and not found(plugin, "old")
    plugin = users(tmp_path, scram="never")
    assert not plugin.keeps_keys() and found(plugin, "new") is None
    plugin.set_password("new", "x", create=False)
    assert "SCRAM" not in (tmp_path / "users").read_text()


def test_a_password_that_scram_cannot_have(tmp_path: Path) -> None:
    """RFC 4013 knows no character that is younger than Unicode 3.2: PLAIN does."""
    plugin = users(tmp_path)
    plugin.set_password("bob", "p\U0001f511ss", create=True)
    assert plugin.test("bob", "p\U0001f511ss")
    assert "SCRAM" not in (tmp_path / "users").read_text()


@pytest.mark.parametrize(
    "keys", ["SCRAM-SHA-256$x", "SCRAM-SHA-1$4096:c2FsdA==$AA==:AA==", "x", KEYS[:-9], f"{KEYS} x"]
)
def test_damaged_keys_are_a_damaged_line(keys: str) -> None:
    """Named with its line; the keys themselves are not told."""
    with pytest.raises(LineError) as caught:
        parse(f"# users\nbob:{CHEAP} {keys}\n")
    assert caught.value.line == 2
    assert "c2FsdA" not in caught.value.message
