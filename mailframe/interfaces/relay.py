"""`[[relay]]`: who may send to whom through us."""

from __future__ import annotations

from collections.abc import Iterable

from zope.interface import Interface

from ..eventual import Eventual
from ..message import Envelope, Recipient
from ..smtp.reply import Reply


class IRelayPolicy(Interface):
    """`[[relay]]`: may this client send to this recipient through us?

    Asked once per RCPT, in the order of the configuration; the first opinion decides. When
    nobody speaks the answer is 550 5.7.1: relaying is closed until a plugin opens it, and
    no other hook can open it.
    """

    def judge(envelope: Envelope, recipient: Recipient) -> Eventual[Reply | None]:
        """A positive Reply (`RECIPIENT_OK`) opens, a negative one refuses, None passes on.

        `envelope.recipients` holds those accepted before this one. Anything else than a
        Reply or None is a fault, and a fault never opens.
        """


class ILocalDomains(IRelayPolicy):
    """A relay policy that opens to everybody for domains whose mail ends here."""

    def domains() -> Iterable[str]:
        """Those that can be named; without the ones that a pattern stands for."""
