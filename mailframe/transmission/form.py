"""The form of a message that a server can take: as it came, re-encoded, or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple, Protocol

from ..message import Content, Message, Recipient
from ..mime.entity_checks import CannotConvert, IsSigned, NeedsUnicode
from ..mime.lines import LineScan
from ..mime.seven_bit import MAX_CONVERTED, Tolerance, is_signed, re_encoded, with_ascii_head
from ..names.domains import to_ascii
from ..smtp.address import Mailbox
from ..smtp.command import Body
from ..smtp.extensions import Extensions
from ..smtp.reply import Reply
from .broken_lines import MAX_HEADER, with_broken_lines
from .content import BLOCK, InThread

UNICODE_HEADERS = Reply(
    550, "The message's header is in UTF-8, which the next host does not take", "5.6.9"
)
_SEVEN_BIT = Tolerance()

_NONE: Mapping[Recipient, Mailbox] = MappingProxyType({})


class Form(NamedTuple):
    """The content to send, its BODY parameter, and if it is sent by BDAT and is ASCII.

    `senders` are the reverse-paths of those recipients whose copies get a different one.
    """

    content: Content
    body: Body
    in_chunks: bool = False
    ascii: bool = False
    senders: Mapping[Recipient, Mailbox] = _NONE


class KeptHere(NamedTuple):
    """The message must not leave for any host; `reply` says why."""

    reply: Reply


class MessageForms(Protocol):
    """The message as a transaction sees it."""

    @property
    def message(self) -> Message:
        """The message as it is stored."""

    @property
    def in_thread(self) -> InThread:
        """Runs what blocks."""

    async def form(self, extensions: Extensions) -> Form | KeptHere | Reply:
        """The form that a server can take; see Forms."""


class Forms:
    """The forms of one message. The results of looking through its content are kept.

    `any_line` means that the servers take lines of any length. `final` means that they are mail
    stores, which are given header fields in UTF-8 as they are, with or without SMTPUTF8.
    """

    def __init__(
        self, message: Message, in_thread: InThread, *, any_line: bool = False, final: bool = False
    ) -> None:
        self.message = message
        self.in_thread = in_thread
        self._any_line = any_line
        self._final = final
        self._scanned: LineScan | None = None
        self._made: dict[Tolerance, Content | CannotConvert] = {}

    async def form(self, extensions: Extensions) -> Form | Reply:
        """The form for this server, or a reply if it can take none (RFC 6152, 3030, 6531).

        Raises OSError if the store cannot be read.
        """
        envelope, content = self.message.envelope, self.message.content
        scan = await self._scan()
        eight_bit = "8BITMIME" in extensions
        takes_all = "BINARYMIME" in extensions and "CHUNKING" in extensions
        in_ascii = (
            not scan.ascii
            and envelope.smtputf8
            and "SMTPUTF8" not in extensions
            and not (self._final and eight_bit)
        )
        if envelope.body == "BINARYMIME":
            if takes_all and not in_ascii:
                return Form(content, "BINARYMIME", in_chunks=True, ascii=scan.ascii)
            return await self._re_encoded(_SEVEN_BIT)
        if not scan.ascii and not eight_bit:
            return await self._re_encoded(_SEVEN_BIT)
        if in_ascii:
            return await self._re_encoded(Tolerance(eight_bit=True))
        if not scan.long or self._any_line:
            return _as_it_is(content, envelope.body, eight_bit, scan.ascii)
        if takes_all:
            # RFC 3030 section 3: it has no limit for lines, so the content stays as it is.
            return Form(content, "BINARYMIME", in_chunks=True, ascii=scan.ascii)
        return await self._with_short_lines(Tolerance(eight_bit, unicode=True), scan.ascii)

    async def _scan(self) -> LineScan:
        """Properties of the octets. This takes 0.3 ns an octet, so small ones need no thread."""
        if self._scanned is None:
            octets = self.message.content.at_hand
            if octets is not None and len(octets) <= BLOCK:
                self._scanned = LineScan.of(octets)
            else:
                self._scanned = await self.in_thread(_scan, self.message.content)
        return self._scanned

    async def _re_encoded(self, tolerance: Tolerance) -> Form | Reply:
        made = await self._converted(tolerance)
        if isinstance(made, Content):
            return _converted_form(made)
        if isinstance(made, NeedsUnicode) or tolerance.eight_bit:
            return UNICODE_HEADERS
        text = "The next host takes only 7-bit text, and the message cannot be re-encoded"
        return Reply(554, f"{text}: {made}", "5.6.3")

    async def _with_short_lines(self, tolerance: Tolerance, is_ascii: bool) -> Form:
        """Re-encode it. If that is impossible, break its lines, unless a signature covers them."""
        content, envelope = self.message.content, self.message.envelope
        made = await self._converted(tolerance)
        if isinstance(made, Content):
            return _converted_form(made)
        if not isinstance(made, IsSigned):
            # A bounce would not help the sender more. Postfix breaks every long line.
            content = await self.in_thread(with_broken_lines, content)
        return _as_it_is(content, envelope.body, tolerance.eight_bit, is_ascii)

    async def _converted(self, tolerance: Tolerance) -> Content | CannotConvert:
        if tolerance not in self._made:
            self._made[tolerance] = await self.in_thread(
                _converted, self.message.content, tolerance
            )
        return self._made[tolerance]


def _as_it_is(content: Content, said: Body, eight_bit: bool, is_ascii: bool) -> Form:
    """The content unchanged, with the true BODY, whatever the client declared."""
    body: Body = "8BITMIME" if eight_bit and not (is_ascii and said == "7BIT") else "7BIT"
    return Form(content, body, ascii=is_ascii)


def _converted_form(content: Content) -> Form:
    is_ascii = isinstance(content.body, bytes) and content.body.isascii()
    return Form(content, "7BIT" if is_ascii else "8BITMIME", ascii=is_ascii)


def _scan(content: Content) -> LineScan:
    scan = LineScan()
    with content.open() as file:
        while block := file.read(BLOCK):
            scan.feed(block)
    scan.finish()
    return scan


def _converted(content: Content, tolerance: Tolerance) -> Content | CannotConvert:
    """The content re-encoded, or why that is impossible. Blocks."""
    if content.size > MAX_CONVERTED:
        section = content.header_section(MAX_HEADER).octets
        if is_signed(section):
            return IsSigned("it is signed or encrypted, and too large")
        if tolerance.eight_bit and not tolerance.unicode and section.isascii():
            return content  # the header that hosts read does not need SMTPUTF8
        return CannotConvert("it is too large")
    with content.open() as file:
        octets = file.read()
    try:
        converted = re_encoded(octets, tolerance, to_ascii)
    except CannotConvert as failed:
        if not tolerance.eight_bit or tolerance.unicode or isinstance(failed, NeedsUnicode):
            return failed
        try:
            # Broken or signed parts are left to the readers, because hosts read only the header.
            converted = with_ascii_head(octets, to_ascii)
        except NeedsUnicode as failed_again:
            return failed_again
    return Content(b"", converted, len(converted))
