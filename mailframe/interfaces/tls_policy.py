"""`[[tls_policy]]`: what a destination demands of TLS."""

from __future__ import annotations

from zope.interface import Interface

from ..eventual import Eventual
from ..message import TlsDemand
from ..smtp.reply import Reply


class ITlsPolicy(Interface):
    """`[[tls_policy]]`: how well must the connection with this exchange be secured?

    All policies are asked before an exchange is dialled, and again before an idle connection is
    reused. So answers that need DNS or HTTP should be cached. The strictest answer counts, but the
    route's own `tls` is the least. If no policy has an opinion, the route's `tls` counts.
    """

    def demand(domain: str, exchange: str) -> Eventual[TlsDemand | Reply | None]:
        """A TlsDemand, a negative Reply if the exchange must not be used at all, or None.

        `domain` is the next hop: the recipient's domain, or the host that a route names. `exchange`
        is the name of the host to dial, which is the domain itself if it has no MX. Both are in
        lower case and in ASCII. If a route leads to an address, `domain` is the literal
        ("[192.0.2.1]") and `exchange` the bare address. After a Reply the other exchanges are
        tried. A fault defers the recipients, unless one of those takes them.
        """
