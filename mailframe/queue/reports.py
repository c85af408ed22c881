"""Sends reports about messages: bounces, delays and successes.

A report is a message of this host with the null sender, which waits in the queue like any other. It
is durable before the failure that it reports is recorded. So after a crash somebody may get it
twice, but never not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ..eventual import Eventual, settled
from ..message import Client, Content, Entry, Envelope, Recipient, new_id
from ..message.vocabulary import Stage, Verdict
from ..repeated import RepeatedLog
from ..settings import BounceSettings
from ..smtp.address import Mailbox
from .bounce import Notice, Original, Report, build

if TYPE_CHECKING:
    from ..hooks import Hooks

_MAX_HEADER = 1 << 18  # octets returned of a header section


class Reports:
    """Writes the reports about a message, and queues them with `submit`.

    `now()` is in seconds since the epoch, and `seconds()` is the reactor's clock. `in_thread` runs
    what blocks. `give_up_after` is in seconds.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        hooks: Hooks,
        submit: Callable[[Envelope, bytes], Eventual[str]],
        hostname: str,
        settings: BounceSettings,
        give_up_after: float,
        now: Callable[[], float],
        seconds: Callable[[], float],
        in_thread: Callable[..., Deferred[Any]],
    ) -> None:
        self._hooks = hooks
        self._submit = submit
        self._hostname = hostname
        self._settings = settings
        self._give_up_after = give_up_after
        self._now = now
        self._in_thread = in_thread
        self._repeated = RepeatedLog(self._log, seconds)

    async def send(self, entry: Entry, notices: Sequence[Notice]) -> list[Notice]:
        """Make the reports about `entry` durable. Returns the notices for which this failed.

        Null senders, NOTIFY=NEVER and the like get no report, which is not a failure.
        """
        missed: list[Notice] = []
        groups: dict[tuple[Mailbox, str], list[Notice]] = {}
        for notice in notices:
            reader = self._reader(entry, notice)
            if reader is not None:
                groups.setdefault((reader, notice.action), []).append(notice)
        for (reader, _), group in groups.items():
            try:
                await self._send(entry, reader, group)
            # Whatever kept the report from being stored, the failure that it reports waits, too.
            except Exception:  # noqa: BLE001
                self._repeated.failure(
                    "{id}: the report to {reader} could not be queued",
                    id=entry.id,
                    reader=str(reader),
                )
                missed += group
        return missed

    def _reader(self, entry: Entry, notice: Notice) -> Mailbox | None:
        """The address that the report goes to; None if nobody wants it, or may get it."""
        recipient, envelope = notice.recipient, entry.message.envelope
        notify = recipient.notify
        if notice.action == "failed" and notify is not None and "FAILURE" not in notify:
            self._tell(entry, Verdict.NOT_REPORTED, notice)
            return None
        # RFC 5321 section 4.5.5: the failure of a report is reported to nobody, not even to the
        # owner of a list: an owner on the list would get reports of reports without end.
        sender = None if envelope.sender is None else recipient.sender or envelope.sender
        if sender is not None or notice.action != "failed":
            return sender
        postmaster = self._settings.double_bounces
        # A report that cannot be delivered to the postmaster must not loop.
        if postmaster is None or postmaster in (recipient.address, recipient.original):
            self._log.warn(
                "{id}: a report to {recipient} cannot be delivered and is dropped: {reply}",
                id=entry.id,
                recipient=str(recipient.address),
                reply=str(notice.reply),
            )
            self._tell(entry, Verdict.DOUBLE_BOUNCE, notice)
            return None
        return postmaster

    async def _send(self, entry: Entry, reader: Mailbox, notices: list[Notice]) -> None:
        around, now = entry.message.envelope, self._now()
        id = new_id(now)
        # RFC 6533 section 4: a global report only for readers who need one; other hosts may refuse.
        utf8 = not reader.is_ascii
        sender = self._settings.sender or Mailbox("MAILER-DAEMON", self._hostname.lower())
        report = Report(
            notices,
            hostname=self._hostname,
            sender=sender,
            to=reader,
            id=id,
            now=now,
            arrived=entry.created,
            until=entry.created + self._give_up_after,
            envid=around.envid if reader == around.sender else None,
            original=await self._original(entry, notices[0].action == "failed"),
            utf8=utf8,
        )
        octets = build(report)
        envelope = Envelope(
            id,
            Client("127.0.0.1", hello=self._hostname, protocol="local"),
            None,
            (Recipient(reader),),
            body="7BIT" if octets.isascii() else "8BITMIME",
            smtputf8=utf8,
            received=now,
        )
        await settled(self._submit(envelope, octets))
        for notice in notices:
            self._tell(entry, Verdict.REPORTED, notice, report=id)

    async def _original(self, entry: Entry, failed: bool) -> Original | None:
        """What is returned of the original message; None if it cannot be read.

        RFC 3461 section 4.3: RET says what a failure returns. Other reports return the headers.
        """
        content, envelope = entry.message.content, entry.message.envelope
        complete = (
            failed
            and envelope.ret != "HDRS"
            and envelope.body != "BINARYMIME"
            and content.size <= self._settings.return_size
        )
        most = content.size if complete else min(content.size, _MAX_HEADER)
        octets = content.at_hand
        if octets is None:
            try:
                octets = await self._in_thread(_read, content, most)
            except OSError as wrong:
                self._log.error(
                    "{id}: its report goes without it: {reason}", id=entry.id, reason=str(wrong)
                )
                return None
        return Original(octets[:most], complete)

    def _tell(self, entry: Entry, verdict: Verdict, notice: Notice, report: str = "") -> None:
        self._hooks.tell(
            Stage.QUEUE,
            verdict,
            id=entry.id,
            action=notice.action,
            recipient=str(notice.recipient.address),
            report=report,
        )


def _read(content: Content, most: int) -> bytes:
    with content.open() as file:
        pieces = []
        while most > 0 and (piece := file.read(most)):
            pieces.append(piece)
            most -= len(piece)
        return b"".join(pieces)
