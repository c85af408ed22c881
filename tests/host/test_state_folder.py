"""The state folder: private, held by one process, with a door that comes and goes."""

from __future__ import annotations

import json
import os
import pwd
import stat
from pathlib import Path

import pytest

from mailframe.host.privileges import Account
from mailframe.host.state_folder import InUse, StateFolder


def test_take_makes_a_private_folder(tmp_path: Path) -> None:
    """The folder is made with its parents, for its owner alone."""
    state = StateFolder(tmp_path / "var" / "mail")
    state.take(None)
    assert stat.S_IMODE(state.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((state.path / "lock").stat().st_mode) == 0o600


def test_take_closes_an_open_folder(tmp_path: Path) -> None:
    """A folder of ours that others could read is closed."""
    (tmp_path / "state").mkdir(mode=0o755)
    StateFolder(tmp_path / "state").take(None)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_only_one_holds_it(tmp_path: Path) -> None:
    """A second holder is refused until the first lets go."""
    first, second = StateFolder(tmp_path), StateFolder(tmp_path)
    first.hold()
    with pytest.raises(InUse, match="in use by another process"):
        second.hold()
    first.let_go()
    first.let_go()
    second.hold()
    second.let_go()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    """What the lock's name points at elsewhere is neither made nor opened."""
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="lock"):
        StateFolder(tmp_path).hold()
    assert not (tmp_path / "elsewhere").exists()


def test_the_door_comes_and_goes(tmp_path: Path) -> None:
    """`ports` tells where listeners are; nothing is left of it or of the socket afterwards."""
    state = StateFolder(tmp_path)
    state.write_ports({"mx": ("127.0.0.1", 25)})
    state.control.touch()
    assert json.loads(state.ports.read_text()) == {"mx": ["127.0.0.1", 25]}
    state.hold()
    state.leave()
    state.leave()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    StateFolder(tmp_path).hold()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_gives_its_folder_away_once(tmp_path: Path) -> None:
    """What root left in a root's folder goes to the user; in the user's folder only the lock."""
    nobody = pwd.getpwnam("nobody")
    whom = Account("nobody", nobody.pw_uid, nobody.pw_gid)
    state = StateFolder(tmp_path / "state")
    (state.path / "spool").mkdir(parents=True)
    (state.path / "spool" / "message").touch()
    state.take(whom)
    state.let_go()
    given = [state.path, *state.path.rglob("*")]
    assert {path.stat().st_uid for path in given} == {nobody.pw_uid}

    (state.path / "roots").touch()
    state.take(whom)
    state.let_go()
    assert (state.path / "roots").stat().st_uid == 0
    assert (state.path / "lock").stat().st_uid == nobody.pw_uid


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    """Every process reads the same, now and after a restart; a damaged one is replaced."""
    state = StateFolder(tmp_path / "state")
    state.take(None)
    secret = state.secret()
    assert len(secret) == 32
    assert stat.S_IMODE((state.path / "secret").stat().st_mode) == 0o600
    assert StateFolder(state.path, 1).secret() == secret
    state.leave()
    again = StateFolder(state.path)
    again.take(None)
    assert again.secret() == secret
    again.leave()
    (state.path / "secret").write_bytes(b"short")
    with pytest.raises(ValueError):
        again.secret()
    again.take(None)
    assert len(again.secret()) == 32
    again.leave()


def test_a_secret_is_not_read_through_a_link(tmp_path: Path) -> None:
    """What lies in another's folder does not decide which file is read; the host still starts."""
    state = StateFolder(tmp_path / "state")
    state.path.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"x" * 32)
    (state.path / "secret").symlink_to(tmp_path / "elsewhere")
    state.take(None)
    with pytest.raises(OSError):
        state.secret()
    state.leave()
