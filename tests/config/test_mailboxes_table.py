"""`[mailboxes]` in mailframe.toml: mistakes with their lines, beside those of the plugins."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from mailframe.config import ConfigErrors, load
from mailframe.host.resources import Resources

TOML = """\
hostname = "mx.example.org"
state = "state"
[mailboxes]
path = "mail/{domain}/{user}"
quota = "2G"
quotas = "quotas"
[[route]]
plugin = "mailboxes"
domains = ["example.org"]
[queue]
plugin = "memory"
[deliver.maildir]
create = false
"""


def configured(folder: Path, *changes: tuple[str, str]) -> Path:
    toml = TOML
    for before, after in changes:
        assert before in toml
        toml = toml.replace(before, after)
    (folder / "quotas").write_text("bob: 5G\n")
    file = folder / "mailframe.toml"
    file.write_text(toml)
    return file


def said(file: Path) -> list[str]:
    """Every mistake and every warning, without the file's folder."""
    try:
        found = Resources(load(file), Clock(), lambda: 0.0).warnings
    except ConfigErrors as wrong:
        found = list(wrong.errors)
    return [str(each).replace(f"{file.parent}/", "") for each in found]


def test_all_is_well(tmp_path: Path) -> None:
    """Nothing to say; plugins are lent what the table says."""
    file = configured(tmp_path)
    assert said(file) == []
    resources = Resources(load(file), Clock(), lambda: 0.0)
    agent = resources.hooks.agents["maildir"].plugin
    assert agent._mailboxes.settings == load(file).settings.mailboxes


def test_what_is_wrong_with_it(tmp_path: Path) -> None:
    """All keys at once, each with its line, and what the plugins have to say."""
    file = configured(
        tmp_path,
        ("mail/{domain}/{user}", "mail/{login}"),
        ('"quotas"', '"nowhere"'),
        ('"2G"', '"2G"\nowner = "no-such-user"'),
        ('["example.org"]', '["a b"]'),
    )
    assert said(file) == [
        "mailframe.toml:4: mailboxes.path: the placeholders of a path are {user} and {domain}",
        "mailframe.toml:6: mailboxes.owner: there is no user 'no-such-user' on this machine",
        "mailframe.toml:7: mailboxes.quotas: nowhere: No such file or directory",
        *[each for each in said(file) if each.startswith("mailframe.toml:10: route.domains: ")],
    ]
    assert len(said(file)) == 4


def test_unknown_and_missing_keys(tmp_path: Path) -> None:
    """As in every other table."""
    file = configured(tmp_path, ("path =", "pat ="))
    with pytest.raises(ConfigErrors) as caught:
        load(file)
    lines = [str(each) for each in caught.value.errors]
    assert [line.split(": ")[1] for line in lines] == ["mailboxes.path", "mailboxes.pat"]
    assert 'did you mean "path"?' in lines[1]


def test_a_contradiction_has_the_plugins_line(tmp_path: Path) -> None:
    """It is the plugin's key that is to go."""
    file = configured(tmp_path, ("create = false", 'path = "other/{user}"\nquota = "1G"'))
    (line,) = said(file)
    where, _, words = line.partition(": contradicts ")
    assert where == "mailframe.toml:13: deliver.maildir.path"
    assert words == "path in [mailboxes]: say it only there"


def test_the_same_again_is_a_hint(tmp_path: Path) -> None:
    """The configuration is correct; a relative path is the same as an absolute one."""
    file = configured(tmp_path, ("create = false", f'path = "{tmp_path}/mail/{{domain}}/{{user}}"'))
    (line,) = said(file)
    assert line.startswith("mailframe.toml:13: deliver.maildir.path: warning: say it once, in ")


def test_traps(tmp_path: Path) -> None:
    """One Maildir for all, and an owner without the rights for it."""
    file = configured(
        tmp_path,
        ('plugin = "mailboxes"', 'plugin = "mailboxes"\nfile = "quotas"'),
        ("mail/{domain}/{user}", "mail"),
        ('state = "state"', 'state = "state"\nuser = "nobody"'),
        ('"2G"', '"2G"\nowner = "root"'),
    )
    path, owner = said(file)
    assert path.startswith("mailframe.toml:5: mailboxes.path: warning: {user} is not in it")
    assert owner.startswith("mailframe.toml:7: mailboxes.owner: warning: only root may give files")


def test_commands_that_need_no_mailboxes(tmp_path: Path) -> None:
    """What is wrong with them keeps nobody from the queue."""
    file = configured(tmp_path, ('"quotas"', '"nowhere"'))
    assert Resources(load(file), Clock(), lambda: 0.0, {"queue"}).hooks.store is not None
