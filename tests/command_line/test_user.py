"""`mailframe user`."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_host import TOML, command, configure

from mailframe_plugins.auth_passwords import Passwords


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration whose users may be changed."""
    return configure(tmp_path)


def add(file: Path, name: str = "alice@example.org", password: str = "wonderland") -> None:
    """A user is there."""
    said = command(file, "user", "add", name, "--stdin", input=password + "\n")
    assert said.exit_code == 0, said.stderr


def test_add_list_remove(file: Path) -> None:
    """Users come and go; the list is sorted."""
    add(file, "bob@example.org")
    add(file)
    assert command(file, "user", "list").stdout == "alice@example.org\nbob@example.org\n"
    assert json.loads(command(file, "user", "list", "--json").stdout) == [
        "alice@example.org",
        "bob@example.org",
    ]
    assert command(file, "user", "remove", "bob@example.org").exit_code == 0
    assert command(file, "user", "list").stdout == "alice@example.org\n"


def test_a_password_is_asked_twice(file: Path) -> None:
    """Typed without echo; a slip is asked again."""
    typed = "wonderland\nwunderland\nwonderland\nwonderland\n"
    said = command(file, "user", "add", "alice@example.org", input=typed)
    assert said.exit_code == 0, said.stderr
    assert "wonderland" not in said.output
    assert command(file, "user", "test", "alice@example.org", input="wonderland\n").exit_code == 0


def test_test(file: Path) -> None:
    """The right password is status 0, another 77."""
    add(file)
    test = ("user", "test", "alice@example.org", "--stdin")
    assert command(file, *test, input="wonderland\n").exit_code == 0
    wrong = command(file, *test, input="rabbit\n")
    assert wrong.exit_code == 77
    assert "alice@example.org may not log in" in wrong.stderr


def test_passwd(file: Path) -> None:
    """The new password counts, the old one no more."""
    add(file)
    name = "alice@example.org"
    assert command(file, "user", "passwd", name, "--stdin", input="rabbit\n").exit_code == 0
    assert command(file, "user", "test", name, "--stdin", input="rabbit\n").exit_code == 0
    assert command(file, "user", "test", name, "--stdin", input="wonderland\n").exit_code == 77


def test_names_that_are_not_there_or_are(file: Path) -> None:
    """66 with the name, whichever way round."""
    add(file)
    again = command(file, "user", "add", "alice@example.org", "--stdin", input="x-y-z-1234\n")
    assert again.exit_code == 66
    assert "alice@example.org" in again.stderr
    for verb in ("passwd", "remove"):
        words = [verb, "carol@example.org"] + (["--stdin"] if verb == "passwd" else [])
        said = command(file, "user", *words, input="secret-word\n")
        assert said.exit_code == 66
        assert "carol@example.org" in said.stderr


def test_no_password(file: Path) -> None:
    """An empty standard input is a usage error."""
    assert command(file, "user", "add", "a@example.org", "--stdin", input="").exit_code == 64


def test_a_name_that_cannot_be(file: Path) -> None:
    """What the plugin refuses is told in its words, without control characters."""
    said = command(file, "user", "add", "a:b\x1b", "--stdin", input="secret-word\n")
    assert said.exit_code == 64
    assert "\x1b" not in said.stderr


def test_several_user_files(tmp_path: Path) -> None:
    """--plugin-index says which; without it the choice is left to the operator."""
    toml = TOML + '[[auth]]\nplugin = "passwords"\nfile = "others"\n'
    file = configure(tmp_path, toml)
    (tmp_path / "others").touch()
    assert command(file, "user", "list").exit_code == 64
    second = ("user", "--plugin-index", "2")
    said = command(file, *second, "add", "zoe@example.org", "--stdin", input="secret-word\n")
    assert said.exit_code == 0, said.stderr
    assert "zoe@example.org" in (tmp_path / "others").read_text()
    assert (tmp_path / "users").read_text() == ""
    assert command(file, "user", "--plugin-index", "3", "list").exit_code == 64


def test_a_file_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk says: 77 where it is a question of rights, else 69."""
    file = configure(tmp_path)
    for wrong, status in ((PermissionError(13, "no", "users"), 77), (OSError(28, "full"), 69)):
        monkeypatch.setattr(Passwords, "set_password", raising(wrong))
        said = command(file, "user", "add", "a@example.org", "--stdin", input="secret-word\n")
        assert said.exit_code == status, said.stderr


def raising(wrong: OSError) -> Callable[..., Any]:
    def raises(*_args: object, **_kwargs: object) -> None:
        raise wrong

    return raises


def test_nobody_keeps_users(tmp_path: Path) -> None:
    """A composition without such a plugin says so."""
    toml = TOML.replace('[[auth]]\nplugin = "passwords"\nfile = "users"\n', "")
    said = command(configure(tmp_path, toml), "user", "list")
    assert said.exit_code == 1
    assert "no [[auth]] section keeps users" in said.stderr


def test_a_wrong_auth_section(tmp_path: Path) -> None:
    """What is wrong in the section is told as `check` tells it."""
    file = configure(tmp_path)
    (tmp_path / "users").write_text("alice@example.org:rubbish\n")
    said = command(file, "user", "list")
    assert said.exit_code == 1
    assert "users:1" in said.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_writes_the_host_reads(file: Path) -> None:
    """The folder stays root's; the list becomes the host's, even one that was root's alone."""
    nobody = pwd.getpwnam("nobody")
    file.write_text('user = "nobody"\n' + file.read_text())
    users = file.parent / "users"
    users.chmod(0o600)
    add(file)
    assert (users.stat().st_uid, users.stat().st_mode & 0o777) == (nobody.pw_uid, 0o600)
    os.chown(users, 0, 0)
    said = command(file, "user", "passwd", "alice@example.org", "--stdin", input="x\n")
    assert said.exit_code == 0, said.stderr
    assert users.stat().st_uid == nobody.pw_uid
    os.chown(users, 0, nobody.pw_gid)
    users.chmod(0o640)
    assert command(file, "user", "remove", "alice@example.org").exit_code == 0
    found = users.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, nobody.pw_gid, 0o640)
    assert file.parent.stat().st_uid == 0
