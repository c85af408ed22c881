"""Plugins that accept all mail and keep it: for tests, and for developers to look at.

    [[route]]
    plugin = "mailframe.testing.sink:Everybody"

    [deliver.sink]
    plugin = "mailframe.testing.sink:Remember"
    folder = "sent"

Never use them on a host that strangers can reach, because it accepts every address.
"""

from __future__ import annotations

import email.policy
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from zope.interface import implementer

from ..files.sync import sync_folder
from ..interfaces import IDeliveryAgent, IRouter
from ..message import Envelope, Message, NextHop, Outcome, Recipient, Route, Status
from ..plugin import Site, setting
from ..smtp.reply import OK

#: All recipients of a message share it, so the agent gets them together.
_ONE_PLACE = NextHop("sink", "host")
_POLICY = email.policy.default


@dataclass(frozen=True)
class SentMail:
    """A message as it was delivered.

    `sender` is the reverse-path, "" for the null one. `recipients` are all addresses that it was
    delivered to, in that order. `octets` are the message with the fields that the host has added;
    its lines end with CRLF.
    """

    id: str
    sender: str
    recipients: tuple[str, ...]
    octets: bytes

    @property
    def message(self) -> EmailMessage:
        """The message as Python's email package reads it, with lines that end with LF alone."""
        return BytesParser(policy=_POLICY).parsebytes(self.octets.replace(b"\r\n", b"\n"))

    @property
    def subject(self) -> str:
        """Its Subject, decoded; "" if there is none."""
        return str(self.message["Subject"] or "")


@implementer(IRouter)
class Everybody:
    """Routes every address to the agent `deliver`."""

    @dataclass(frozen=True)
    class Settings:
        """The settings."""

        deliver: str = setting("the [deliver.NAME] that takes it", "sink")

    def __init__(self, settings: Settings, site: Site) -> None:
        self._deliver = settings.deliver

    def route(self, envelope: Envelope, recipient: Recipient) -> Route:
        """A route for any address."""
        return Route(self._deliver, mailbox=recipient.address, next_hop=_ONE_PLACE)


@implementer(IDeliveryAgent)
class Remember:
    """Keeps every message as a file, which `sent_mail` reads."""

    @dataclass(frozen=True)
    class Settings:
        """The settings."""

        folder: Path = setting("where the messages are kept", Path("sent"))
        show: bool = setting("print a line of each message", False)

    def __init__(self, settings: Settings, site: Site) -> None:
        self._folder = settings.folder
        self._show = settings.show
        self._in_thread = site.in_thread

    async def deliver(self, message: Message, routes: Sequence[Route]) -> list[Outcome]:
        """Keep them durably, as a delivery has to be."""
        recipients = [route.recipient for route in routes if route.recipient is not None]
        mail = await self._in_thread(self._kept, message, recipients)
        if self._show:
            line = f"from <{mail.sender}> to {', '.join(mail.recipients)}: {mail.subject!r}"
            print(f"{line}, {len(mail.octets)} octets, {self._folder}", flush=True)  # noqa: T201
        return [Outcome(recipient, Status.DELIVERED, OK) for recipient in recipients]

    def _kept(self, message: Message, recipients: Sequence[Recipient]) -> SentMail:
        with message.content.open() as content:
            octets = content.read()
        sender = str(message.envelope.sender or "")
        mail = SentMail(message.id, sender, tuple(str(each.address) for each in recipients), octets)
        self._folder.mkdir(parents=True, exist_ok=True)
        _write(self._folder, mail)
        return mail


def sent_mail(folder: Path) -> list[SentMail]:
    """All messages that were delivered into this folder, in the order of their ids, oldest first.

    A message that was delivered to some recipients first and to others later is one message.
    """
    found: dict[str, SentMail] = {}
    for mail in _read(folder):
        known = found.get(mail.id)
        if known is None:
            found[mail.id] = mail
        else:
            both = dict.fromkeys((*known.recipients, *mail.recipients))
            found[mail.id] = replace(known, recipients=tuple(both))
    return list(found.values())


def _write(folder: Path, mail: SentMail) -> None:
    """Write all of it or nothing: the octets first, then the file that names the recipients."""
    number = len(list(folder.glob(f"{mail.id}.*.json")))
    stem = f"{mail.id}.{number}.{os.getpid()}"
    _durable(folder / f"{stem}.eml", mail.octets)
    said = {"id": mail.id, "sender": mail.sender, "recipients": mail.recipients}
    fresh = folder / f".{stem}.new"
    _durable(fresh, json.dumps(said).encode())
    fresh.replace(folder / f"{stem}.json")
    sync_folder(folder)


def _durable(file: Path, octets: bytes) -> None:
    with file.open("wb") as written:
        written.write(octets)
        written.flush()
        os.fsync(written.fileno())


def _read(folder: Path) -> Iterator[SentMail]:
    for file in sorted(folder.glob("*.json")):
        said = json.loads(file.read_text())
        octets = file.with_suffix(".eml").read_bytes()
        yield SentMail(said["id"], said["sender"], tuple(said["recipients"]), octets)
