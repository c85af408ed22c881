"""What `mailframe check` says about where mailboxes are."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import pytest
from small_host import TOML, command, configure

MAILBOXES = '[mailboxes]\npath = "mail/{domain}/{user}"\n'
ROUTE = '[[route]]\nplugin = "mailboxes"\ndomains = ["shop.example"]\n'
AGENT = '[deliver.maildir]\nplugin = "maildir"\n'
HERE = 'path = "mail/{domain}/{user}"\n'
ELSEWHERE = 'path = "other/{user}"\n'


def warned(folder: Path, *tables: str) -> list[str]:
    """What is warned of, without the file's name; the configuration is correct."""
    # The smarthost is asked last: nobody would be asked after it.
    first, smarthost, last = TOML.partition("[[route]]")
    file = configure(folder, first + "".join(tables) + smarthost + last)
    said = command(file, "check")
    assert (said.exit_code, said.stdout.split("\n")[0]) == (0, f"{file}: correct"), said.stderr
    lines = said.stderr.splitlines()
    assert json.loads(command(file, "check", "--json").stdout)["warnings"] == lines
    return [line.removeprefix(f"{file}:") for line in lines]


def test_they_are_shown(tmp_path: Path) -> None:
    """Said once, there is nothing to warn of."""
    assert warned(tmp_path, MAILBOXES, ROUTE, AGENT) == []
    said = command(tmp_path / "mailframe.toml", "check")
    assert f"mailboxes {tmp_path}/mail/{{domain}}/{{user}}\n" in said.stdout
    described = json.loads(command(tmp_path / "mailframe.toml", "check", "--json").stdout)
    assert described["mailboxes"] == f"{tmp_path}/mail/{{domain}}/{{user}}"


def test_said_at_one_place_without_mailboxes(tmp_path: Path) -> None:
    """As it was written before there was [mailboxes]: that is well, too."""
    assert warned(tmp_path, ROUTE, 'file = "users"\n', AGENT, HERE) == []
    assert (
        json.loads(command(tmp_path / "mailframe.toml", "check", "--json").stdout)["mailboxes"]
        is None
    )


@pytest.mark.parametrize(
    ("route", "line", "words"),
    [
        (HERE, 19, "[deliver.maildir] has it, too: say it once, in [mailboxes]"),
        (ELSEWHERE, 19, "but [deliver.maildir] delivers elsewhere: say it once, in [mailboxes]"),
        ("", 16, "mailboxes are looked for in /var/mail/{domain}/{user}/Maildir, but"),
    ],
)
def test_said_twice(tmp_path: Path, route: str, line: int, words: str) -> None:
    """A hint if it is the same, and a warning if it is not."""
    (said,) = warned(tmp_path, ROUTE, route, AGENT, HERE)
    assert said.startswith(f"{line}: route.path: warning: ")
    assert words in said


def test_another_agent_is_another_matter(tmp_path: Path) -> None:
    """Only the agent that the route names is looked at."""
    assert warned(tmp_path, ROUTE, ELSEWHERE, 'deliver = "smtp"\n', AGENT, HERE) == []


def test_an_owner_without_rights(tmp_path: Path) -> None:
    """Every delivery would be put off for days: that is said before."""
    file = configure(tmp_path, 'user = "nobody"\n' + TOML + AGENT + HERE + 'owner = "root"\n')
    said = command(file, "check")
    assert said.exit_code == 0
    (line,) = [line for line in said.stderr.splitlines() if ".owner: " in line]
    assert ": deliver.maildir.owner: warning: only root may give files to others" in line
    configure(tmp_path, 'user = "nobody"\n' + TOML + AGENT + HERE + 'owner = "nobody"\n')
    assert ".owner: " not in command(file, "check").stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look as somebody else")
def test_what_the_hosts_user_may_not_do(tmp_path: Path) -> None:
    """Root can read and write all; the host, which runs as another, is asked about."""
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o711)
    log = '[[observe]]\nplugin = "log"\nfile = "mail.log"\n'
    path = 'path = "mail/{domain}/{user}"\n'
    file = configure(tmp_path, 'user = "nobody"\n' + TOML + AGENT + path + log)
    (tmp_path / "users").chmod(0o600)
    (tmp_path / "mail").mkdir()
    said = command(file, "check")
    assert said.exit_code == 0
    by = "by the user 'nobody'"
    assert said.stderr.splitlines() == [
        f"{file}:11: auth.file: warning: {tmp_path}/users cannot be read {by}: "
        "what changes in it would never be seen",
        f"{file}:34: deliver.maildir.path: warning: {tmp_path}/mail cannot be written to {by}",
        f"{file}:37: observe.file: warning: {tmp_path}/mail.log is not there, and {tmp_path} "
        f"cannot be written to {by}",
    ]
    nobody = pwd.getpwnam("nobody")
    (tmp_path / "mail.log").touch()
    for name in ("mail.log", "users", "mail"):
        os.chown(tmp_path / name, nobody.pw_uid, -1)
    assert command(file, "check").stderr == ""
