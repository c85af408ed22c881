"""`mailframe check`."""

from __future__ import annotations

import json
from pathlib import Path

from small_host import TOML, command, configure


def test_a_summary(tmp_path: Path) -> None:
    """A correct configuration is shown: listeners, then each stage's plugins in order."""
    file = configure(tmp_path, TOML.replace('"inbound"', '"inbound"', 1))
    said = command(file, "check")
    assert said.exit_code == 0, said.stderr
    lines = said.stdout.splitlines()
    assert lines[0] == f"{file}: correct"
    assert lines[1] == f"hostname mx.example.org, state {tmp_path}/state"
    assert lines[2].split() == [
        "listen", "mx", "tcp:0:interface=127.0.0.1", "SMTP,", "in", "clear"
    ]  # fmt: skip
    assert [line.split()[:2] for line in lines[3:]] == [
        ["auth", "passwords"], ["relay", "inbound"], ["route", "smarthost"],
        ["queue", "sqlite"], ["deliver", "smtp"], ["observe", "trace"],
    ]  # fmt: skip


def test_nothing_is_written(tmp_path: Path) -> None:
    """Neither state nor queue nor a port comes of it."""
    file = configure(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert command(file, "check").exit_code == 0
    assert sorted(tmp_path.rglob("*")) == before


def test_json(tmp_path: Path) -> None:
    """The same for scripts."""
    described = json.loads(command(configure(tmp_path), "check", "--json").stdout)
    assert described["hostname"] == "mx.example.org"
    assert described["listen"][0]["name"] == "mx"
    assert {"stage": "route", "plugin": "smarthost"}.items() <= described["plugins"][2].items()


MAILBOXES = """
[[route]]
plugin = "mailboxes"
domains = ["example.org"]
deliver = "smtp"
"""


def test_a_postmaster_whose_mail_nobody_reads(tmp_path: Path) -> None:
    """A warning with its line; the configuration is correct all the same."""
    first, middle, last = TOML.partition("[[route]]")
    (tmp_path / "mail/example.org/alice/Maildir").mkdir(parents=True)
    path = 'path = "mail/{domain}/{user}/Maildir"\n'
    file = configure(tmp_path, first + MAILBOXES + path + middle + last)
    said = command(file, "check")
    assert said.exit_code == 0
    assert said.stdout.startswith(f"{file}: correct\n")
    (line,) = said.stderr.splitlines()
    where = f"{file}:14: relay.domains: warning: "
    assert line.startswith(f"{where}mail for postmaster@example.org is refused (550 5.1.1 ")
    described = json.loads(command(file, "check", "--json").stdout)
    assert described["warnings"] == [line]
    file = configure(tmp_path, first + MAILBOXES + path + 'postmaster = "alice"\n' + middle + last)
    said = command(file, "check")
    assert (said.exit_code, said.stderr) == (0, "")
    assert json.loads(command(file, "check", "--json").stdout)["warnings"] == []


ALIASES = """
[[route]]
plugin = "aliases"
file = "aliases"
domains = ["example.org"]
"""


def test_mailboxes_behind_a_catch_all(tmp_path: Path) -> None:
    """They are named; those with a line of their own, and those of `catch_all`, are reached."""
    first, middle, last = TOML.partition("[[route]]")
    (tmp_path / "boxes").write_text("alice\nbob\ncarol\npostmaster\n")
    (tmp_path / "aliases").write_text("@example.org: alice\nteam: bob\npostmaster: postmaster\n")
    listed = 'file = "boxes"\n'
    file = configure(tmp_path, first + ALIASES + MAILBOXES + listed + middle + last)
    said = command(file, "check")
    assert said.exit_code == 0, said.stderr
    (line,) = said.stderr.splitlines()
    assert "route.domains: warning: mail for bob@example.org, carol@example.org never" in line
    (tmp_path / "aliases").write_text("@example.org: alice\nbob: bob\ncarol: carol\nx: bob\n")
    (tmp_path / "boxes").write_text("alice\nbob\ncarol\n")
    assert command(file, "check").stderr == ""
    (tmp_path / "aliases").write_text("bob: alice\nx: y@elsewhere.example\n")
    more = f'{listed}catch_all = "alice"\n'
    file = configure(tmp_path, first + ALIASES + MAILBOXES + more + middle + last)
    assert command(file, "check").stderr == ""
    (tmp_path / "aliases").write_text("@example.org: @example.net\n")
    assert "alice@example.org, bob@example.org, carol" in command(file, "check").stderr


WRONG = {"no-such-user": 1, "tpc:0": 7, "nowhere": 34, "certificates": 36, "no-ca": 40}


def test_every_error_at_once(tmp_path: Path) -> None:
    """Plugins' settings, endpoints, certificates and accounts, each on a line; status 1."""
    toml = TOML.replace("tcp:0", "tpc:0")
    toml += '[[route]]\nplugin = "aliases"\nfile = "nowhere"\n'
    toml = 'user = "no-such-user"\n' + toml + '[tls]\ncertificates = "none"\n'
    toml += '[[listen]]\nname = "own"\nendpoint = "tcp:0"\nclient_ca = "no-ca"\n'
    file = configure(tmp_path, toml)
    said = command(file, "check")
    assert said.exit_code == 1
    assert said.stdout == ""
    *errors, count = said.stderr.splitlines()
    lines = {words: error for words in WRONG for error in errors if words in error}
    for words, line in WRONG.items():
        assert lines[words].startswith(f"{file}:{line}: ")
    assert count.endswith("5 errors")


def test_mistakes_in_the_text(tmp_path: Path) -> None:
    """A wrong key is named with file and line, and the nearest right word."""
    file = configure(tmp_path, TOML.replace("domains", "domans"))
    said = command(file, "check")
    assert said.exit_code == 1
    assert f"{file}:14" in said.stderr
    assert "domains" in said.stderr
    assert said.stderr.splitlines()[-1].endswith("1 error") or "errors" in said.stderr


def test_listeners_in_words(tmp_path: Path) -> None:
    """What a listener requires, and which filters are only on some."""
    toml = TOML + (
        '[[listen]]\nname = "submission"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
        'requires = ["auth"]\nauth_in_clear = true\n'
        '[[filter]]\nplugin = "limits"\non = ["mx"]\nclient = "9/1h"\n'
    )
    said = command(configure(tmp_path, toml), "check")
    assert said.exit_code == 0, said.stderr
    assert "SMTP, in clear, requires auth" in said.stdout
    assert "limits  (only on mx)" in said.stdout


def test_a_stage_that_is_none(tmp_path: Path) -> None:
    """What an observer is to hear of is checked, with the nearest right word."""
    for plugin in ("trace", "log"):
        observe = f'[[observe]]\nplugin = "{plugin}"\nstages = ["deliver", "filtr"]\n'
        said = command(configure(tmp_path, TOML + observe), "check")
        assert said.exit_code != 0
        line = said.stderr.splitlines()[0]
        assert f'{tmp_path}/mailframe.toml:33: observe.stages.1: expected "session" or ' in line
        assert line.endswith('got "filtr"; did you mean "filter"?')
