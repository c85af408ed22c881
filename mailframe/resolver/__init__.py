"""FLOOR 7: DNS for all: MX, A and AAAA, TXT, TLSA, PTR.

`wire` questions and responses as octets, `exchange` one question to one server by UDP and TCP,
`servers` several of them within a time limit, `cache` what is remembered, `local` /etc/hosts and
/etc/resolv.conf, `lookup` the Resolver. What is given back is in `mailframe.names.records`.
"""

from ..names.records import Answer, MxRecord, TlsaRecord, Unresolvable
from .lookup import Resolver

__all__ = ["Answer", "MxRecord", "Resolver", "TlsaRecord", "Unresolvable"]
