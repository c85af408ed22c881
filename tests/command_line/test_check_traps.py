"""What `mailframe check` says of what is right and yet a trap: a configuration, a line."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from small_host import command

from mailframe.testing.certificates import make_authority

TOP = """\
hostname = "mx.example.org"
state = "state"
"""
LISTEN = '[[listen]]\nname = "mx"\nendpoint = "tcp:0:interface=127.0.0.1"\n'
RELAY = '[[relay]]\nplugin = "inbound"\ndomains = ["example.org"]\n'
BOXES = '[[route]]\nplugin = "mailboxes"\ndomains = ["example.org"]\nfile = "boxes"\n'
ALIASES = '[[route]]\nplugin = "aliases"\nfile = "FILE"\ndomains = ["example.org"]\n'
MX = '[[route]]\nplugin = "mx"\n'
REST = """\
[queue]
plugin = "sqlite"
[deliver.smtp]
plugin = "smtp"
[deliver.maildir]
plugin = "maildir"
path = "mail/{domain}/{user}"
"""
WHOLE = TOP + LISTEN + RELAY + BOXES + MX + REST
AWAY = "goes to the exchanges that DNS names: right only if this host is a backup of theirs"
OTHER = '[[listen]]\nname = "b"\nendpoint = "{}"\n'
TWO = OTHER + '[[listen]]\nname = "c"\nendpoint = "{}"\n'

WARNINGS = {
    "nothing": (WHOLE, []),
    "a catch-all before mailboxes": (
        TOP + LISTEN + RELAY + ALIASES.replace("FILE", "all") + BOXES + MX + REST,
        [
            "15: route.domains: warning: mail for postmaster@example.org never comes here: a "
            "catch-all of an earlier [[route]] takes it"
        ],
    ),
    "a catch-all after mailboxes": (
        (TOP + LISTEN + RELAY + BOXES + ALIASES + MX + REST)
        .replace('"boxes"\n', '"boxes"\nunknown = "pass"\n')
        .replace("FILE", "all"),
        [],
    ),
    "aliases before mailboxes": (
        TOP + LISTEN + RELAY + ALIASES.replace("FILE", "some") + BOXES + MX + REST,
        [],
    ),
    "a domain that is misspelt": (
        WHOLE.replace('["example.org"]', '["example.org", "exmaple.org"]', 1),
        [f"8: relay.domains: warning: mail for exmaple.org that no route keeps here {AWAY}"],
    ),
    "everything by mx first": (
        TOP + LISTEN + RELAY + MX + BOXES + REST,
        [
            f"8: relay.domains: warning: mail for example.org that no route keeps here {AWAY}",
            "12: route.plugin: warning: it is never asked: [[route]] mx before it (line 9) takes "
            "every address",
        ],
    ),
    "some of it by mx first": (
        TOP + LISTEN + RELAY + MX + 'except_domains = ["example.org"]\n' + BOXES + REST,
        [],
    ),
    "everything by mx first, of one listener": (
        TOP + LISTEN + OTHER.format("tcp:0") + RELAY + MX + 'on = ["b"]\n' + BOXES + REST,
        [],
    ),
    "an agent that is not there": (
        TOP + LISTEN + RELAY + BOXES + '[[route]]\nplugin = "own:Own"\n' + REST,
        ["13: route: warning: it sends mail to [deliver.nowhere], which is not there"],
    ),
    "one Maildir for all": (
        WHOLE.replace("/{user}", ""),
        [
            "21: deliver.maildir.path: warning: {user} is not in it: all users of a domain share "
            "one Maildir"
        ],
    ),
    "no file of users": (
        WHOLE + '[[auth]]\nplugin = "passwords"\nfile = "users"\n',
        ["24: auth.file: warning: HERE/users: No such file or directory: nobody can log in"],
    ),
    "no postmaster": (
        WHOLE.replace('"boxes"', '"lonely"'),
        [
            "8: relay.domains: warning: mail for postmaster@example.org is refused (550 5.1.1 No "
            "such mailbox here): RFC 5321 section 4.5.1 wants somebody to read it"
        ],
    ),
    "more connections than files": (
        WHOLE + "[limits]\nconnections = 1987654321\n",
        [
            "23: limits.connections: warning: all listeners together take 1987654321 connections, "
            "and a process may have FILES files open (RLIMIT_NOFILE): those above are not let in"
        ],
    ),
    "a certificate that expired": (
        WHOLE + '[tls]\ncertificates = "expired"\n',
        ["23: tls.certificates: warning: HERE/expired/mx.example.org/fullchain.pem expired on "],
    ),
    "a certificate that ends soon": (
        WHOLE + '[tls]\ncertificates = "soon"\n',
        ["23: tls.certificates: warning: HERE/soon/mx.example.org/fullchain.pem expires on "],
    ),
    "a certificate of another name": (
        WHOLE + '[tls]\ncertificates = "other"\n',
        [
            "23: tls.certificates: warning: no certificate names mx.example.org, the hostname; "
            "they name www.example.org"
        ],
    ),
    "a certificate for all of a domain": (WHOLE + '[tls]\ncertificates = "wild"\n', []),
}

ERRORS = {
    "a port twice": (
        WHOLE + TWO.format("tcp:2599", "tcp:2599:interface=127.0.0.1"),
        "27: listen.endpoint: listener 'b' has port 2599 already",
    ),
    "a socket twice": (
        WHOLE + TWO.format("unix:/run/x", "unix:/run/x"),
        "27: listen.endpoint: listener 'b' has port /run/x already",
    ),
    "a name server by name": (
        WHOLE + '[dns]\nservers = ["ns.example.org"]\n',
        "23: dns.servers: 'ns.example.org': a name server is given by its IP address",
    ),
    "an agent that is not there": (
        WHOLE.replace('"mx"\n[queue]', '"mx"\ndeliver = "smpt"\n[queue]'),
        '15: route.deliver: there is no [deliver.smpt]; did you mean "smtp"?',
    ),
    "a plugin's module that is not there": (
        WHOLE.replace('plugin = "maildir"', 'plugin = "bad:X"'),
        "20: deliver.maildir.plugin: there is no module 'bad' (HERE/bad.py)",
    ),
    "a plugin of one's own that is none": (
        WHOLE.replace('plugin = "maildir"', 'plugin = "own:Own"'),
        "20: deliver.maildir.plugin: plugin 'own:Own': ",
    ),
}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with lists, a plugin and certificates."""
    (tmp_path / "boxes").write_text("alice\npostmaster\n")
    (tmp_path / "lonely").write_text("alice\n")
    (tmp_path / "all").write_text("@example.org: alice\npostmaster: alice\n")
    (tmp_path / "some").write_text("postmaster: alice\n")
    (tmp_path / "own.py").write_text(
        "from mailframe.message import Route\n"
        "class Own:\n"
        "    def __init__(self, settings, site): pass\n"
        "    def route(self, envelope, recipient):\n"
        "        return Route('nowhere')\n"
    )
    authority = make_authority()
    authority.issue("mx.example.org", days=-3).write_live(tmp_path / "expired")
    authority.issue("mx.example.org", days=13).write_live(tmp_path / "soon")
    authority.issue("www.example.org").write_live(tmp_path / "other")
    authority.issue("*.example.org").write_live(tmp_path / "wild")
    return tmp_path


def said(here: Path, toml: str) -> tuple[int, list[str]]:
    """The exit status, and the lines without the file's name."""
    file = here / "mailframe.toml"
    file.write_text(toml)
    said = command(file, "check")
    lines = [line.removeprefix(f"{file}:") for line in said.stderr.splitlines()]
    files = str(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    return said.exit_code, [
        line.replace(str(here), "HERE").replace(files, "FILES") for line in lines
    ]


@pytest.mark.parametrize("trap", WARNINGS)
def test_a_trap_is_named(here: Path, trap: str) -> None:
    """With its line; the configuration is correct all the same."""
    toml, expected = WARNINGS[trap]
    code, lines = said(here, toml)
    assert code == 0
    assert [line[: len(words)] for line, words in zip(lines, expected, strict=True)] == expected


@pytest.mark.parametrize("mistake", ERRORS)
def test_a_mistake_is_named(here: Path, mistake: str) -> None:
    """With its line, and the exit status says so."""
    toml, expected = ERRORS[mistake]
    code, lines = said(here, toml)
    assert (code, lines[0][: len(expected)]) == (1, expected)
    assert lines[1:] == ["mailframe: HERE/mailframe.toml: 1 error"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root stays root")
def test_root_without_a_user(here: Path) -> None:
    """A port that is root's to bind, and nobody to become."""
    toml = WHOLE.replace("tcp:0", "tcp:25")
    message = "warning: missing: root, who may bind port 25, stays root without it"
    assert said(here, toml) == (0, [f" user: {message}"])
    code, lines = said(here, f'user = "nobody"\n{toml}')
    assert (code, [line for line in lines if message in line]) == (0, [])


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("tcp:2599", "tcp:2599", True),
        ("tcp:2599", "tcp:2598", False),
        ("tcp:0", "tcp:0", False),
        ("tcp:2599:interface=127.0.0.1", "tcp:2599:interface=127.0.0.2", False),
        ("tcp6:2599", "tcp:2599:interface=127.0.0.1", False),
        ("tcp6:2599", r"tcp:2599:interface=\\:\\:1", True),
    ],
)
def test_which_ports_meet(here: Path, one: str, other: str, meet: bool) -> None:
    """Not those of two interfaces, and not those that the system chooses."""
    assert said(here, WHOLE + TWO.format(one, other))[0] == int(meet)
