"""Traversal and odd local parts, from RCPT by way of the hooks to the Maildir and the pipe."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from odd_local_parts import ODD
from tables_kit import Composed, inbound
from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from mailframe.message import Outcome, Status
from mailframe.smtp.address import Mailbox
from mailframe.testing.values import message, recipient, site
from mailframe_plugins.deliver_pipe import Pipe, Settings

CATCH_ALL = """
[[relay]]
plugin = "inbound"
domains = ["example.org"]
refuse_routing_characters = false
[[route]]
plugin = "mailboxes"
domains = ["example.org"]
file = "mailboxes"
"""

#: local parts as mailboxes of ours -> source
LOCALS: dict[str, str] = {
    **{local: source for source, local in ODD.items() if local},
    "..": "traversal",
    "../x": "traversal",
    "a/../../../x": "traversal",
    "/tmp/x": "an absolute path",
    "a/b": "a folder of another mailbox",
    "\\..\\x": "traversal, other slashes",
    "~root": "a home",
    "-rf": "an option",
    "--help": "an option",
    "con": "a device elsewhere",
    "new": "a name of Maildir's",
    "{domain}": "a placeholder of the path",
    "{user.__class__}": "a placeholder of Python",
    "%s": "a placeholder of C",
    "root": "a name with power elsewhere",
    "a:2,S": "Maildir's flags",
    "x" * 64: "the longest",
}


@pytest.mark.parametrize("local", LOCALS, ids=[f"{s}: {k!a}" for k, s in LOCALS.items()])
def test_to_the_maildir(tmp_path: Path, local: str) -> None:
    """Accepted at RCPT as the mailbox it is; its files lie in one folder below its domain's."""
    listed = f"{Mailbox(local, 'example.org')}\n"
    place = Composed(tmp_path, CATCH_ALL, files={"mailboxes": listed})
    talk = place.greeted()
    talk.say("MAIL FROM:<a@client.example> SMTPUTF8")
    assert talk.codes(f"RCPT TO:<{Mailbox(local, 'example.org')}>") == ["250"]
    assert talk.message("x")[:3] == "250"
    [entry] = place.entries
    [pending] = entry.pending
    assert pending.recipient.address.local == local
    outcomes = _delivered(place, entry)
    assert [outcome.status for outcome in outcomes] == [Status.DELIVERED]
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    [made] = files - {"mailboxes", "mailframe.toml"}
    assert made.startswith("mail/example.org/") and made.count("/") == 5, made
    assert made.split("/")[3:5] == ["Maildir", "new"]


def _delivered(place: Composed, entry: Any) -> list[Outcome]:
    envelope = entry.message.envelope
    routing = _value(place.hooks.route(envelope, entry.pending[0].recipient))
    return list(_value(place.hooks.deliver(entry.message, "maildir", routing.routes)))


def _value(eventual: Any) -> Any:
    found: list[Any] = []
    if not hasattr(eventual, "addCallback"):
        return eventual
    eventual.addCallback(found.append)
    return found[0]


#: local parts as they went over the wire in attacks -> what becomes of them without quotes
WIRE = {
    "root+${run{\\x2Fbin\\x2Fsh\\t-c\\t\\x22id\\x22}}": "CVE-2019-10149 Exim, as sent",
    ";sleep 66;": "CVE-2020-7247 OpenSMTPD, as sent (in MAIL FROM)",
    "a b": "a space",
    "a\\b": "a backslash",
    "a..b": "two dots",
    ".a": "a dot first",
    "a.": "a dot last",
    "a,b": "a comma",
    "a;b": "a semicolon",
    "(a)b": "a comment",
    "a\tb": "a tab",
}


@pytest.mark.parametrize("verb", ["MAIL FROM:<{}@example.org>", "RCPT TO:<{}@example.org>"])
@pytest.mark.parametrize("local", WIRE, ids=WIRE.values())
def test_not_without_quotes(tmp_path: Path, local: str, verb: str) -> None:
    """RFC 5321 section 4.1.2: what is no dot-string needs quotes, or is refused.

    Dots, which mean nothing to anybody, only where the listener is strict.
    """
    for strict in (True, False):
        talk = inbound(tmp_path, strict=strict).greeted()
        if verb.startswith("RCPT"):
            talk.say("MAIL FROM:<a@client.example>")
        taken = not strict and local in ("a..b", ".a", "a.")
        assert talk.codes(verb.format(local))[0] in (["250"] if taken else ["500", "501"])


class TestPipe(TestCase):
    """A real program: senders and recipients arrive as single arguments, or not at all."""

    timeout = 60

    async def test_to_the_pipe(self) -> None:
        """CVE-2019-10149, CVE-2020-7247: no shell sees them; no option is made of them."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        program = folder / "program"
        program.write_text(
            f"#!{sys.executable}\nimport json, sys\nsys.stdin.buffer.read()\n"
            f"with open({str(folder / 'out')!r}, 'a') as file:\n"
            "    file.write(json.dumps(sys.argv[1:]) + '\\n')\n"
        )
        program.chmod(0o755)
        lent = site(folder, reactor=reactor, in_thread=deferToThread)
        pipe = Pipe(Settings(command=(str(program), "{user}", "-f", "{sender}")), lent)
        from mailframe.message import Route
        from mailframe.testing.values import envelope

        for local in list(LOCALS)[:24]:
            address = Mailbox(local, "example.org")
            around = envelope(Mailbox(local, "client.example"), address)
            to = Route("pipe", recipient=recipient(address), mailbox=address)
            [outcome] = await pipe.deliver(message(envelope=around), [to])
            if local.startswith("-"):
                assert outcome.reply.code == 553, local
                continue
            assert outcome.status is Status.DELIVERED, (local, outcome)
            said = json.loads((folder / "out").read_text().splitlines()[-1])
            assert said == [local, "-f", str(Mailbox(local, "client.example"))]
        assert sorted(path.name for path in folder.iterdir()) == ["out", "program"]
