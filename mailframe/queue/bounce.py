"""The reports to senders (RFC 3464) as octets. Pure: values in, octets out.

A report is a multipart/report with a text for people, the delivery status for programs, and the
original message or its header section. If the original came with SMTPUTF8, so does the report
(RFC 6533). The original's octets are included unchanged or not at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..message import Recipient
from ..mime import header
from ..mime.date import date_time
from ..mime.encoding import base64_lines, quoted_printable
from ..mime.write import MAX_LINE, fold_words
from ..smtp.address import Mailbox
from ..smtp.reply import Reply

Action = Literal["failed", "delayed", "delivered", "relayed", "expanded"]

_MAX_TEXT = 2000  # characters kept of a remote host's words

_SUBJECTS: dict[Action, str] = {
    "failed": "Undelivered mail returned to sender",
    "delayed": "Delayed mail, still being tried",
    "delivered": "Successful delivery",
    "relayed": "Successful delivery, relayed to a host that sends no reports",
    "expanded": "Successful delivery, to several mailboxes",
}
_OPENINGS: dict[Action, str] = {
    "failed": "Your message could not be delivered to the recipients below. It will not be\n"
    "tried again.",
    "delayed": "Your message has not been delivered yet to the recipients below. You need\n"
    "not send it again: it will be tried until {until}.",
    "delivered": "Your message was delivered to the recipients below.",
    "relayed": "Your message was passed on to a host that sends no reports of its own; there\n"
    "will be no further report about the recipients below.",
    "expanded": "Your message was delivered to the recipients below, each of whom stands for\n"
    "several mailboxes.",
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]+")
_STARTS_LINE = re.compile(rb"(?<!\r)\n|\r(?!\n)|\x00")


@dataclass(frozen=True, slots=True)
class Notice:
    """The result for one recipient, for the report.

    `status` is an enhanced status code if the reply's own does not fit ("4.4.7" for a message that
    is too old). `remote` is the host that replied, "" for ourselves.
    """

    action: Action
    recipient: Recipient
    reply: Reply
    remote: str = ""
    status: str | None = None

    @property
    def code(self) -> str:
        """The enhanced status code."""
        if self.status is not None:
            return self.status
        return self.reply.status or f"{self.reply.code // 100}.0.0"


@dataclass(frozen=True, slots=True)
class Original:
    """The original message as returned: all its octets, or only its header section."""

    octets: bytes
    complete: bool


@dataclass(frozen=True, slots=True)
class Report:
    """One report. Times are seconds since the epoch.

    `until` is when a delayed message will be given up. `utf8` is True if the reader takes SMTPUTF8.
    `original` is None if it could not be read.
    """

    notices: Sequence[Notice]
    hostname: str
    sender: Mailbox
    to: Mailbox
    id: str
    now: float
    arrived: float
    until: float
    envid: str | None = None
    original: Original | None = None
    utf8: bool = False


def build(report: Report) -> bytes:
    """The whole message. Lines end with CRLF."""
    parts = [_text_part(report), _status_part(report)]
    if report.original is not None:
        parts.append(_original_part(report.original, report.utf8))
    boundary = f"=_{report.id}"
    # The original may quote an earlier report of ours.
    while any(boundary.encode() in octets for octets in parts):
        boundary += "="
    head = _head(report)
    head.append(
        ("Content-Type", f'multipart/report; report-type="delivery-status"; boundary="{boundary}"')
    )
    if not all(part.isascii() for part in parts):
        head.append(("Content-Transfer-Encoding", "8bit"))
    fields = b"".join(_field(*field, report.utf8) for field in head)
    line = b"--" + boundary.encode()
    body = b"".join(line + b"\r\n" + part + b"\r\n" for part in parts)
    opening = b"This is a delivery report in several parts (RFC 3464).\r\n\r\n"
    return fields + b"\r\n" + opening + body + line + b"--\r\n"


def _head(report: Report) -> list[tuple[str, str]]:
    return [
        ("Date", _date(report.now)),
        ("From", f"Mail Delivery System <{report.sender}>"),
        ("To", _shown(report.to, report.utf8)),
        ("Subject", _SUBJECTS[report.notices[0].action]),
        ("Message-ID", f"<{report.id}@{report.hostname}>"),
        # RFC 3834 section 5: programs must not answer this.
        ("Auto-Submitted", "auto-replied"),
        ("MIME-Version", "1.0"),
    ]


def _date(when: float) -> str:
    return date_time(int(when))


def _shown(address: Mailbox, utf8: bool) -> str:
    """The address for a header field, which without SMTPUTF8 cannot contain a non-ASCII one."""
    return str(address) if utf8 or address.is_ascii else "undisclosed-recipients:;"


def _text_part(report: Report) -> bytes:
    lines = [f"This is the mail system at {report.hostname}.", ""]
    by_action: dict[Action, list[Notice]] = {}
    for notice in report.notices:
        by_action.setdefault(notice.action, []).append(notice)
    for action, notices in by_action.items():
        lines += [_OPENINGS[action].format(until=_date(report.until)), ""]
        for notice in notices:
            recipient = notice.recipient
            lines.append(f"<{recipient.original}>")
            if recipient.came_from and recipient.original != recipient.address:
                lines[-1] += f" (that is <{recipient.address}>)"
            if notice.status == "4.4.7":
                lines.append("    It was tried for too long.")
            who = f"{notice.remote} said: " if notice.remote else ""
            lines += [f"    {who}{_clean(str(notice.reply))}", ""]
    text = "\n".join(lines).removesuffix("\n").replace("\n", "\r\n").encode("utf-8", "replace")
    return (
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted_printable(text)
    )


def _status_part(report: Report) -> bytes:
    kind = b"message/global-delivery-status" if report.utf8 else b"message/delivery-status"
    blocks = [_message_fields(report)]
    blocks += [_recipient_fields(notice, report) for notice in report.notices]
    octets = b"\r\n".join(b"".join(_field(*field, report.utf8) for field in b) for b in blocks)
    encoding = b"" if octets.isascii() else b"Content-Transfer-Encoding: 8bit\r\n"
    return b"Content-Type: " + kind + b"\r\n" + encoding + b"\r\n" + octets.removesuffix(b"\r\n")


def _message_fields(report: Report) -> list[tuple[str, str]]:
    fields = [("Original-Envelope-Id", report.envid)] if report.envid else []
    return [
        *fields,
        ("Reporting-MTA", f"dns; {report.hostname}"),
        ("Arrival-Date", _date(report.arrived)),
    ]


def _recipient_fields(notice: Notice, report: Report) -> list[tuple[str, str]]:
    recipient = notice.recipient
    fields = []
    if recipient.orcpt:
        kind, _, address = recipient.orcpt.partition(";")
        fields.append(("Original-Recipient", f"{kind};{_address_text(address, report.utf8)}"))
    fields += [
        ("Final-Recipient", _typed(recipient.address, report.utf8)),
        ("Action", notice.action),
        ("Status", notice.code),
    ]
    if notice.remote:
        fields.append(("Remote-MTA", f"dns; {notice.remote}"))
        fields.append(("Diagnostic-Code", f"smtp; {notice.reply}"))
    elif notice.action in ("failed", "delayed"):
        fields.append(("Diagnostic-Code", f"x-mailframe; {notice.reply}"))
    fields.append(("Last-Attempt-Date", _date(report.now)))
    if notice.action == "delayed":
        fields.append(("Will-Retry-Until", _date(report.until)))
    return fields


def _typed(address: Mailbox, utf8: bool) -> str:
    if address.is_ascii:
        return f"rfc822;{address}"
    return f"utf-8;{_address_text(str(address), utf8)}"


def _address_text(address: str, utf8: bool) -> str:
    """RFC 6533 section 3: unchanged in a global report, else in ASCII with \\x{...}."""
    if utf8 or address.isascii():
        return address
    return "".join(
        rf"\x{{{ord(letter):X}}}" if ord(letter) > 126 or letter == "\\" else letter
        for letter in address
    )


def _clean(text: str) -> str:
    """The text as one short line, so that a stranger's words cannot add fields."""
    text = _UNPRINTABLE.sub(" ", text)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + " ..."


def _field(name: str, value: str, utf8: bool) -> bytes:
    """One field, folded at blanks so that no line is too long."""
    text = _clean(value)
    octets = text.encode("utf-8", "replace") if utf8 else text.encode("ascii", "backslashreplace")
    return fold_words(name.encode("ascii"), octets)


def _original_part(original: Original, utf8: bool) -> bytes:
    octets = original.octets
    if original.complete and _is_mail(octets):
        kind = b"message/rfc822"
        encoding = b"7bit"
        if not octets.isascii():
            kind = b"message/global" if utf8 else kind
            encoding = b"8bit"
        return (
            b"Content-Type: "
            + kind
            + b"\r\nContent-Transfer-Encoding: "
            + encoding
            + (b"\r\n\r\n" + octets)
        )
    # A line that is not a field, such as "From …" of an mbox file, would make the part invalid.
    section = b"".join(octets[f.start : f.end] for f in header.read(octets) if f.name)
    if section.isascii() and _is_mail(section):
        return b"Content-Type: text/rfc822-headers\r\n\r\n" + section
    if utf8 and _is_mail(section) and _is_utf8(section):
        return (
            b"Content-Type: message/global-headers\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n" + section
        )
    return (
        b"Content-Type: text/rfc822-headers\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64_lines(section)
    )


def _is_mail(octets: bytes) -> bool:
    """True if a MIME part can contain these unchanged: all lines end with CRLF, none too long."""
    if _STARTS_LINE.search(octets):
        return False
    return all(len(line) <= MAX_LINE for line in octets.split(b"\r\n"))


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
