"""Asking DNS."""

from __future__ import annotations

from zope.interface import Interface

from ..eventual import Eventual
from ..names.records import Answer, MxRecord, TlsaRecord


class IResolver(Interface):
    """Asks DNS. `Site.resolver` provides it.

    If a name has no records of that kind, the Answer has no records. All methods raise, or fail
    with, `mailframe.names.records.Unresolvable`. Its `temporary` is False if the name does not
    exist or is not a valid name, and True if no server answers now. Names may be Unicode, in any
    case, with or without a trailing dot. Cached answers are returned at once, without a Deferred.
    """

    def mx(domain: str) -> Eventual[Answer[MxRecord]]:
        """The domain's exchanges, unordered. The null MX (RFC 7505) is a record with host ""."""

    def addresses(host: str) -> Eventual[Answer[str]]:
        """The host's IPv6 and then IPv4 addresses as text; for an IP address, the address itself.

        If the query for one kind fails, the answer has the addresses of the other kind, if any.
        """

    def txt(name: str) -> Eventual[Answer[bytes]]:
        """The TXT records, each with its strings joined (RFC 7208 section 3.3)."""

    def tlsa(name: str) -> Eventual[Answer[TlsaRecord]]:
        """The TLSA records of a name such as "_25._tcp.mx.example.org" (RFC 7672)."""

    def ptr(address: str) -> Eventual[Answer[str]]:
        """The names of this IP address in the reverse zone. An IPv4-mapped one is asked as IPv4."""
