"""What `mailframe check` says about where mailboxes are."""

from __future__ import annotations

import json
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
    file = configure(folder, TOML + "".join(tables))
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
        (HERE, 34, "[deliver.maildir] has it, too: say it once, in [mailboxes]"),
        (ELSEWHERE, 34, "but [deliver.maildir] delivers elsewhere: say it once, in [mailboxes]"),
        ("", 31, "mailboxes are looked for in /var/mail/{domain}/{user}/Maildir, but"),
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
    (line,) = said.stderr.splitlines()
    assert ": deliver.maildir.owner: warning: only root may give files to others" in line
    configure(tmp_path, 'user = "nobody"\n' + TOML + AGENT + HERE + 'owner = "nobody"\n')
    assert command(file, "check").stderr == ""
