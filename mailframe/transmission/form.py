"""A message in the form that a server can take: as it came, re-encoded, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, BinaryIO, NamedTuple

from twisted.internet.defer import Deferred

from ..message import Content, Message, Recipient
from ..mime.seven_bit import CannotConvert, has_unicode_headers, to_seven_bit
from ..smtp.address import Mailbox
from ..smtp.command import Body
from ..smtp.extensions import Extensions
from ..smtp.reply import Reply
from .content import BLOCK, InThread

MAX_CONVERTED = 32 << 20  # octets; re-encoding needs the message in memory, three times over

UNICODE_HEADERS = Reply(
    550, "The message's header is in UTF-8, which the next host does not take", "5.6.9"
)

_NONE: Mapping[Recipient, Mailbox] = MappingProxyType({})


class Form(NamedTuple):
    """The content to send, its BODY parameter, and whether it goes by BDAT.

    `senders` are the reverse-paths of recipients whose copies get another than the rest.
    """

    content: Content
    body: Body
    in_chunks: bool = False
    senders: Mapping[Recipient, Mailbox] = _NONE


class KeptHere(NamedTuple):
    """The message does not leave, whichever host would take it; `reply` says why."""

    reply: Reply


class Forms:
    """One message on its way; what was found out of its content is not asked twice."""

    def __init__(self, message: Message, in_thread: InThread) -> None:
        self.message = message
        self.in_thread = in_thread
        self._is_ascii: bool | None = None
        self._has_unicode_headers: bool | None = None
        self._converted: Content | Reply | None = None

    async def form(self, extensions: Extensions) -> Form | KeptHere | Reply:
        """How this server takes it, or the reply that says why it cannot (RFC 6152, 3030, 6531).

        Raises OSError where the store cannot be read.
        """
        envelope, content = self.message.envelope, self.message.content
        if envelope.smtputf8 and "SMTPUTF8" not in extensions and await self._needs_unicode():
            return UNICODE_HEADERS
        if envelope.body == "BINARYMIME":
            if "BINARYMIME" in extensions and "CHUNKING" in extensions:
                return Form(content, "BINARYMIME", in_chunks=True)
            return await self._seven_bit()
        if envelope.body == "7BIT":
            return Form(content, "7BIT")
        if "8BITMIME" in extensions:
            return Form(content, "8BITMIME")
        return Form(content, "7BIT") if await self._only_ascii() else await self._seven_bit()

    async def _needs_unicode(self) -> bool:
        if self._has_unicode_headers is None:
            if await self._only_ascii():
                self._has_unicode_headers = False
            elif self.message.content.size > MAX_CONVERTED:
                self._has_unicode_headers = True  # it may; nobody will read all of it to see
            else:
                self._has_unicode_headers = await self._ask(has_unicode_headers)
        return self._has_unicode_headers

    async def _only_ascii(self) -> bool:
        if self._is_ascii is None:
            self._is_ascii = await self.in_thread(_read_with, self.message.content, _is_ascii)
        return self._is_ascii

    async def _seven_bit(self) -> Form | Reply:
        if self._converted is None:
            self._converted = await self._convert()
        if isinstance(self._converted, Reply):
            return self._converted
        return Form(self._converted, "7BIT")

    async def _convert(self) -> Content | Reply:
        text = "The next host takes only 7-bit text, and the message cannot be re-encoded"
        if self.message.content.size > MAX_CONVERTED:
            return Reply(554, f"{text}: it is too large", "5.6.3")
        try:
            octets = await self._ask(to_seven_bit)
        except CannotConvert as failed:
            return Reply(554, f"{text}: {failed}", "5.6.3")
        return Content(b"", octets, len(octets))

    def _ask(self, question: Callable[[bytes], Any]) -> Deferred[Any]:
        """The answer to a question about all octets, thought out in a thread."""
        return self.in_thread(_read_with, self.message.content, lambda f: question(f.read()))


def _read_with(content: Content, use: Callable[[BinaryIO], Any]) -> Any:
    with content.open() as file:
        return use(file)


def _is_ascii(file: BinaryIO) -> bool:
    while block := file.read(BLOCK):
        if not block.isascii():
            return False
    return True
