"""`[[tls_policy]]`: what TLS a destination demands of us."""

from __future__ import annotations

from zope.interface import Interface

from ..eventual import Eventual
from ..message import TlsDemand
from ..smtp.reply import Reply


class ITlsPolicy(Interface):
    """`[[tls_policy]]`: how well must the connection with this exchange be secured?

    All are asked, before an exchange is dialled and before a connection that rests is used
    again; the strictest answer counts, and never one that is weaker than the route's own `tls`. If
    nobody speaks, the route's counts. So answers that need DNS or HTTP should be remembered.
    """

    def demand(domain: str, exchange: str) -> Eventual[TlsDemand | Reply | None]:
        """A TlsDemand, a negative Reply if the exchange must not be used at all, or None.

        `domain` is the next hop: the recipient's domain, or the host that a route names; `exchange`
        is the name of the host to dial, the domain itself if it has no MX. Both are in
        lower case and in ASCII. Of a route to an address, the domain is the literal ("[192.0.2.1]")
        and the exchange the bare address. After a Reply the other exchanges are tried; a fault
        defers the recipients unless one of those takes them.
        """
