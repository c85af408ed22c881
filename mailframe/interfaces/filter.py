"""`[[filter]]`: what speaks at each step of a session."""

from __future__ import annotations

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Client, Content, Envelope, Finding, Recipient
from ..smtp.reply import Reply


class IFilter(Interface):
    """`[[filter]]`: speaks at connect, hello, sender, recipient and content.

    All are asked, in order; a negative Reply refuses that command, and the asking stops
    there. A Finding adds signals and header fields and goes on. A positive Reply and None
    have no opinion. Subclass `mailframe.plugin.Filter` to write only what you need.
    """

    def connected(client: Client) -> Eventual[Reply | Finding | None]:
        """Before the greeting. A refusal takes its place and the connection closes."""

    def hello(client: Client) -> Eventual[Reply | Finding | None]:
        """At HELO, EHLO or LHLO; `client.hello` is set."""

    def sender(envelope: Envelope) -> Eventual[Reply | Finding | None]:
        """At MAIL; `envelope.sender` is set and there are no recipients."""

    def recipient(envelope: Envelope, recipient: Recipient) -> Eventual[Reply | Finding | None]:
        """At RCPT, after relay and route agreed to this recipient."""

    def content(envelope: Envelope, content: Content) -> Eventual[Reply | Finding | None]:
        """At the end of the content, before it is made durable.

        `content` is what will be stored; opening a large one blocks: do that in a thread.
        """
