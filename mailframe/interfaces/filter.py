"""`[[filter]]`: hooks that are asked at each step of a session."""

from __future__ import annotations

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Client, Content, Envelope, Finding, Recipient
from ..smtp.reply import Reply


class IFilter(Interface):
    """`[[filter]]`: asked at connect, hello, sender, recipient and content.

    All filters are asked, in order. A negative Reply refuses the command, and the filters after it
    are not asked. A Finding adds signals and header fields, and the asking goes on. A positive
    Reply and None mean no opinion. Subclass `mailframe.plugin.Filter` to write only the methods
    that you need.
    """

    def connected(client: Client) -> Eventual[Reply | Finding | None]:
        """Before the greeting. A refusal is sent instead of it, and the connection is closed."""

    def hello(client: Client) -> Eventual[Reply | Finding | None]:
        """At HELO, EHLO or LHLO; `client.hello` is set."""

    def sender(envelope: Envelope) -> Eventual[Reply | Finding | None]:
        """At MAIL; `envelope.sender` is set and there are no recipients."""

    def recipient(envelope: Envelope, recipient: Recipient) -> Eventual[Reply | Finding | None]:
        """At RCPT, after relay and route have accepted this recipient."""

    def content(envelope: Envelope, content: Content) -> Eventual[Reply | Finding | None]:
        """At the end of the content, before it is made durable.

        `content` is what will be stored. Opening a large one blocks, so do it in a thread.
        """
