"""`[[filter]] plugin = "sender_owns_address"`."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from mailframe.files.watched import LineError
from mailframe.message import Content, Envelope
from mailframe.plugin import SettingError
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe.testing.hooks import result_of
from mailframe.testing.plugins import FilterContract
from mailframe.testing.values import client, content, envelope, site
from mailframe_plugins.filter_sender_owns_address import (
    FROM_NOT_YOURS,
    MAX_HEADER,
    NOT_YOURS,
    UNREADABLE,
    SenderOwnsAddress,
    Settings,
    parse,
)


class TestContract(FilterContract, SynchronousTestCase):
    def make(self) -> SenderOwnsAddress:
        return SenderOwnsAddress(Settings(check_from=True), site())


def owns(folder: Path | str = ".", **settings: Any) -> SenderOwnsAddress:
    return SenderOwnsAddress(Settings(**{"domains": ("example.org",), **settings}), site(folder))


def sent(user: str | None, sender: str | Mailbox | None) -> Envelope:
    return envelope(sender, client=client(user=user))


@pytest.mark.parametrize(
    ("user", "sender"),
    [
        ("alice", "alice@example.org"),
        ("ALICE", "Alice@EXAMPLE.org"),
        ("alice", "alice+tag@example.org"),
        ("alice@shop.example", "alice@shop.example"),
        ("alice@shop.example", "alice+x@shop.example"),
        ("bob@münchen.example", "bob@xn--mnchen-3ya.example"),
        ("alice", None),
        (None, "anybody@anywhere.example"),
    ],
)
def test_ones_own_address_passes(user: str | None, sender: str | None) -> None:
    """The user's name, in one of the domains where it has none; with a tag; in any spelling."""
    assert owns().sender(sent(user, sender)) is None


@pytest.mark.parametrize(
    ("user", "sender"),
    [
        ("alice", "bob@example.org"),
        ("alice", "alice@elsewhere.example"),
        ("alice@shop.example", "alice@example.org"),
        ("alice", "+alice@example.org"),
        ("alice", "alice-x@example.org"),
        ("ali", "alice@example.org"),
        ("", "@example.org"),
    ],
)
def test_others_addresses_are_refused(user: str, sender: str) -> None:
    """553 5.7.1."""
    local, _, domain = sender.rpartition("@")
    assert owns().sender(sent(user, Mailbox(local, domain))) is NOT_YOURS
    assert (NOT_YOURS.code, NOT_YOURS.status) == (553, "5.7.1")


def test_a_quoted_at_sign_is_not_a_domain() -> None:
    """The user alice@example.org does not own "alice@example.org"@elsewhere.example."""
    odd = Mailbox("alice@example.org", "elsewhere.example")
    assert owns().sender(sent("alice@example.org", odd)) is NOT_YOURS


def test_tags_and_the_null_sender_by_setting() -> None:
    """Another separator, none at all, and no null sender for users."""
    assert owns(tag="-").sender(sent("alice", "alice-x@example.org")) is None
    assert owns(tag="").sender(sent("alice", "alice+x@example.org")) is NOT_YOURS
    assert owns(null_sender=False).sender(sent("alice", None)) is NOT_YOURS


def test_a_file_gives_more(tmp_path: Path) -> None:
    """Addresses, whole domains, everything; read again when it changes."""
    file = tmp_path / "owners"
    file.write_text(
        "# more\nalice: Sales@example.org, @shop.example\nalice: info@example.org\n"
        "robot@example.org: *\nempty:\n"
    )
    clock = Clock()
    to = SenderOwnsAddress(Settings(file=Path("owners")), site(tmp_path, reactor=clock))
    for sender in ("sales+x@example.org", "info@example.org", "any@shop.example"):
        assert to.sender(sent("Alice", sender)) is None
    assert to.sender(sent("alice", "any@sub.shop.example")) is NOT_YOURS
    assert to.sender(sent("Robot@Example.org", "any@where.example")) is None
    assert to.sender(sent("empty", "sales@example.org")) is NOT_YOURS
    file.write_text("alice: other@example.org\n")
    clock.advance(2)
    assert to.sender(sent("alice", "other@example.org")) is None
    assert to.sender(sent("alice", "sales@example.org")) is NOT_YOURS


@pytest.mark.parametrize("line", ["alice", ": a@b", "alice: b", "alice: @", "alice: a@b@c"])
def test_a_bad_line_is_named(tmp_path: Path, line: str) -> None:
    """With its number."""
    with pytest.raises(LineError, match="line 2"):
        parse("# owners\n" + line)
    (tmp_path / "owners").write_text(line)
    with pytest.raises(SettingError, match="owners:1"):
        owns(tmp_path, file=Path("owners"))


def judged(header: bytes, user: str | None = "alice", **settings: Any) -> Reply | None:
    to = owns(**{"check_from": True, **settings})
    octets = header + b"\r\n\r\nFrom: eve@example.org\r\n"
    answers = [
        result_of(to.content(sent(user, "alice@example.org"), each))
        for each in (content(octets), Content(b"", lambda: io.BytesIO(octets), len(octets)))
    ]
    assert answers[0] == answers[1]
    assert answers[0] is None or isinstance(answers[0], Reply)
    return answers[0]


@pytest.mark.parametrize(
    "header",
    [
        b"From: alice@example.org",
        b'Subject: x\r\nFROM : "Bob, B." <alice@example.org>\r\nTo: eve@example.org',
        b"From: =?utf-8?q?eve=40example=2Eorg?= <alice@example.org>",
        b"From: Alice\r\n <alice+x@example.org>",
        b"From: team: alice@example.org, alice+x@example.org;",
        b"From: alice@example.org\r\nSender: alice@example.org",
        "From: Jürgen <alice@example.org>".encode(),
    ],
)
def test_ones_own_from_passes(header: bytes) -> None:
    """However it is spelled; names are free."""
    assert judged(header) is None


@pytest.mark.parametrize(
    "header",
    [
        b"From: eve@example.org",
        b"From: alice@example.org, eve@example.org",
        b'From: "alice@example.org" <eve@example.org>',
        b"From: alice@example.org\r\nSender: eve@example.org",
        b"From: Eve\r\n\t<eve@example.org>",
    ],
)
def test_others_in_from_or_sender_are_refused(header: bytes) -> None:
    """One stranger among the authors is enough."""
    assert judged(header) is FROM_NOT_YOURS


@pytest.mark.parametrize(
    "header",
    [
        b"Subject: no author",
        b"From:",
        b"From: alice@example.org\r\nFrom: eve@example.org",
        b"From: alice@example.org\r\nfrom : eve@example.org",
        b"From: alice@example.org\r\nSender: alice@example.org\r\nSender: eve@example.org",
        b"From: alice@example.org <eve@example.org>",
        b"From: alice",
        b"From: <alice@example.org",
        b"From: alice@example.org\rFrom: eve@example.org",
        b"From: " + b"(" * 3000,
        b"From: \xff\xfe <alice\xff@example.org>",
        b"",
    ],
)
def test_what_readers_might_read_otherwise_is_refused(header: bytes) -> None:
    """Missing, twice, or not clear: nobody vouches for it."""
    assert judged(header) in (UNREADABLE, FROM_NOT_YOURS)


def test_long_headers_cost_little() -> None:
    """A From: of thousands of addresses, a header section that does not end."""
    before = time.monotonic()
    assert judged(b"From: " + b"alice@example.org, " * 20_000) is UNREADABLE
    assert judged(b"X: " + b"x" * MAX_HEADER) is UNREADABLE
    assert time.monotonic() - before < 2


def test_from_is_only_looked_at_where_that_is_wished() -> None:
    """And only of users."""
    assert judged(b"From: eve@example.org", check_from=False) is None
    assert judged(b"From: eve@example.org", user=None) is None
