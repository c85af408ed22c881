"""Asking DNS."""

from __future__ import annotations

from zope.interface import Interface

from ..eventual import Eventual
from ..names.records import Answer, MxRecord, TlsaRecord


class IResolver(Interface):
    """What is asked of DNS. `Site.resolver` is one.

    A name without records of that kind is an Answer without records. All methods raise, or fail
    with, `mailframe.names.records.Unresolvable` if the name does not exist or cannot
    (`temporary` is False), or if nobody would answer now (True). Names may be Unicode, in any
    case, with a trailing dot or without. What is remembered is given at once.
    """

    def mx(domain: str) -> Eventual[Answer[MxRecord]]:
        """The domain's exchanges in no order; the null MX (RFC 7505) is a record with host ""."""

    def addresses(host: str) -> Eventual[Answer[str]]:
        """The host's IPv6 and then IPv4 addresses as text; an IP address is its own answer.

        If one kind cannot be had now, the other is the answer if it has any.
        """

    def txt(name: str) -> Eventual[Answer[bytes]]:
        """The texts, the strings of each joined (RFC 7208 section 3.3)."""

    def tlsa(name: str) -> Eventual[Answer[TlsaRecord]]:
        """The TLSA records of a name such as "_25._tcp.mx.example.org" (RFC 7672)."""

    def ptr(address: str) -> Eventual[Answer[str]]:
        """The names that the reverse zone gives this IP address, an IPv4-mapped one as IPv4."""
