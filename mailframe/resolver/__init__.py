"""FLOOR 7: DNS look-ups: MX, A and AAAA, TXT, TLSA, PTR.

`wire` has questions and responses as octets. `exchange` asks one server one question by UDP and
TCP; `servers` asks several within a time limit. `cache` remembers answers. `local` reads /etc/hosts
and /etc/resolv.conf. `lookup` is the Resolver. Its answers are values of `mailframe.names.records`.
"""

from ..names.records import Answer, MxRecord, TlsaRecord, Unresolvable
from .lookup import Resolver

__all__ = ["Answer", "MxRecord", "Resolver", "TlsaRecord", "Unresolvable"]
