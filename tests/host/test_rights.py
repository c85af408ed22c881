"""What the host may do once it is its `user`, found by a child that has become it."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

import pytest

from mailframe.host.privileges import account, give
from mailframe.host.rights import Needed, hindrances, hindrances_of

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder that everybody can enter."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o777 == 0o700:
            folder.chmod(0o711)
    here = tmp_path / "here"
    here.mkdir()
    return here


def test_what_another_may_not_do(place: Path) -> None:
    """Each with the reason; what may be done, and what is not there yet, with none."""
    (place / "closed").mkdir(mode=0o700)
    (place / "closed/users").touch()
    (place / "secret").touch(0o600)
    (place / "open").touch(0o644)
    (place / "own").mkdir()
    os.chown(place / "own", NOBODY.pw_uid, -1)
    (place / "shared/domain").mkdir(parents=True)
    os.chown(place / "shared/domain", NOBODY.pw_uid, -1)
    table = [
        (Needed(None, "a", place / "open"), ""),
        (Needed(None, "a", place / "none"), ""),
        (Needed(None, "a", place / "secret"), f"{place}/secret cannot be read"),
        (
            Needed(None, "a", place / "closed/users"),
            f"{place}/closed/users cannot be reached, as {place}/closed cannot be entered,",
        ),
        (Needed(None, "a", place / "closed"), f"{place}/closed cannot be read"),
        (Needed(None, "a", place / "own/log", "write"), ""),
        (Needed(None, "a", place / "own/deep/log", "write"), ""),
        (Needed(None, "a", place / "shared", "write"), ""),
        (Needed(None, "a", place / "open", "write"), f"{place}/open cannot be written to"),
        (
            Needed(None, "a", place / "log", "write"),
            f"{place}/log is not there, and {place} cannot be written to",
        ),
        (Needed(None, "a", place / "state", "reach"), ""),
    ]
    needed = [each for each, _ in table]
    assert hindrances_of(account("nobody", None), needed) == [words for _, words in table]
    assert hindrances(needed) == [""] * len(table)  # root's own
    assert os.geteuid() == 0


def test_what_root_made_is_given_to_the_hosts_user(place: Path) -> None:
    """Unless it can be read already: an owner of the operator's choice stays."""
    whom = account("nobody", None)
    assert whom is not None
    for mode, uid, gid, becomes in [
        (0o600, 0, 0, whom.uid),
        (0o640, 0, 0, whom.uid),
        (0o640, 0, whom.gid, 0),
        (0o604, 0, 0, 0),
        (0o600, whom.uid, 0, whom.uid),
    ]:
        file = os.open(place / "users", os.O_CREAT | os.O_RDWR)
        os.fchmod(file, mode)
        os.fchown(file, uid, gid)
        give(None, file)
        assert os.fstat(file).st_uid == uid
        give(whom, file)
        assert os.fstat(file).st_uid == becomes
        os.close(file)


def test_the_hook_for_certbot_lets_the_host_read(place: Path) -> None:
    """As certbot leaves them, root alone reads certificates; the example's hook changes that."""
    name = "mx.example.org"
    for folder in ("live", "archive"):
        (place / folder).mkdir(mode=0o700)
        (place / folder / name).mkdir()
    for file, mode in (("fullchain", 0o644), ("privkey", 0o600)):
        (place / f"archive/{name}/{file}1.pem").touch(mode)
        (place / f"live/{name}/{file}.pem").symlink_to(f"../../archive/{name}/{file}1.pem")
    needed = [
        Needed(None, "a", place / f"live/{name}/{file}.pem") for file in ("fullchain", "privkey")
    ]
    whom = account("nobody", None)
    assert all(hindrances_of(whom, needed))
    hook = Path(__file__).parents[2] / "examples/small_host/letsencrypt-hook"
    script = hook.read_text().replace("chgrp mailframe", f"chgrp {NOBODY.pw_gid}")
    environment = {"RENEWED_LINEAGE": str(place / "live" / name), "PATH": os.environ["PATH"]}
    subprocess.run(["/bin/sh", "-c", script], env=environment, check=True, timeout=20)
    assert hindrances_of(whom, needed) == ["", ""]
