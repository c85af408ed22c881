"""A small DNS zone written as text, for `mailframe.testing.dns`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import Any

from twisted.names import dns

from ..resolver.wire import TLSA, UDP_PAYLOAD

MAX_CHAIN = 8
_untyped: Any = dns  # its record classes have no types
_SOA_NAME = "zone.invalid"


def _text(words: list[str]) -> Any:
    octets = [word.encode() for word in words]
    return _untyped.Record_TXT(
        *(one[at : at + 255] for one in octets for at in range(0, len(one), 255))
    )


def _tlsa(words: list[str]) -> Any:
    return _untyped.UnknownRecord(bytes(map(int, words[:3])) + bytes.fromhex(words[3]))


_TYPES: Mapping[str, tuple[int, Callable[[list[str]], Any]]] = {
    "A": (dns.A, lambda words: _untyped.Record_A(words[0])),
    "AAAA": (dns.AAAA, lambda words: _untyped.Record_AAAA(words[0])),
    "MX": (dns.MX, lambda words: _untyped.Record_MX(int(words[0]), words[1].rstrip("."))),
    "CNAME": (dns.CNAME, lambda words: _untyped.Record_CNAME(words[0].rstrip("."))),
    "PTR": (dns.PTR, lambda words: _untyped.Record_PTR(words[0].rstrip("."))),
    "TXT": (dns.TXT, _text),
    "TLSA": (TLSA, _tlsa),
}
_MANNERS = frozenset({"SERVFAIL", "REFUSED", "SILENT", "TRUNCATED", "SIGNED", "EXISTS"})
_CODES = {"SERVFAIL": dns.ESERVER, "REFUSED": dns.EREFUSED}


class Zone:
    """Records and instructions, one in a line: NAME TYPE DATA…, comments after ";".

        example.org         MX    10 mx.example.org
        mx.example.org      A     192.0.2.1
        nomail.example      MX    0 .
        www.example.org     CNAME mx.example.org
        example.org         TXT   "v=spf1 mx -all"
        _25._tcp.mx.example.org TLSA 3 1 1 00ff
        broken.example      SERVFAIL

    Instructions stand in place of a type: SERVFAIL, REFUSED, SILENT (never answers), TRUNCATED
    (over UDP), SIGNED (the AD bit, for clients that ask for it), EXISTS (no records, but no
    NXDOMAIN). `SERVFAIL AAAA` is for that type alone. With `chains` False the server gives a CNAME
    without the records that it leads to. `ttl` is in seconds, also for the SOA of negative answers.
    ValueError for a line that cannot be read.
    """

    def __init__(self, text: str = "", ttl: int = 300, chains: bool = True) -> None:
        self.ttl = ttl
        self.chains = chains
        self._records: dict[tuple[str, int], list[Any]] = {}
        self._manners: dict[str, set[tuple[str, str]]] = {}
        self.add(text)

    def add(self, text: str) -> None:
        """Add lines."""
        for line in text.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=False)
            lexer.commenters, lexer.whitespace_split = ";", True
            words = list(lexer)
            if not words:
                continue
            if len(words) < 2:
                raise ValueError(f"{line!r}: a name and a type are wanted")
            self._add(words[0].lower().rstrip("."), words[1].upper(), words[2:])

    def _add(self, name: str, kind: str, words: list[str]) -> None:
        if kind in _MANNERS:
            self._manners.setdefault(name, set()).add((kind, words[0].upper() if words else ""))
        elif kind in _TYPES:
            number, make = _TYPES[kind]
            try:
                self._records.setdefault((name, number), []).append(make(words))
            except (IndexError, ValueError, OSError) as wrong:
                raise ValueError(f"{name} {kind}: {' '.join(words)!r} is not its data") from wrong
        else:
            raise ValueError(f"{name} {kind}: no such type here")

    def remove(self, name: str) -> None:
        """Forget everything about this name."""
        self._manners.pop(name, None)
        for key in [key for key in self._records if key[0] == name]:
            del self._records[key]

    def respond(self, query: dns.Message, udp: bool = False) -> dns.Message | None:
        """The response to a query; None for silence."""
        asked: Any = query.queries[0]
        name = asked.name.name.decode("ascii", "backslashreplace").lower()
        response = dns.Message(query.id, answer=1, recDes=query.recDes, recAv=1, maxSize=0)
        response.queries = [asked]
        kind = next((word for word, (type, _) in _TYPES.items() if type == asked.type), "")
        if self._has(name, "SILENT", kind):
            return None
        for manner, code in _CODES.items():
            if self._has(name, manner, kind):
                response.rCode = code
        if not response.rCode:
            self._fill(response, name, asked.type)
        wants_ad = query.authenticData
        response.authenticData = int(bool(wants_ad and self._has(name, "SIGNED", kind)))
        if any(record.type == dns.OPT for record in query.additional):
            opt = dns.RRHeader(b"", dns.OPT, UDP_PAYLOAD, 0, _untyped.UnknownRecord())
            response.additional.append(opt)
        if udp and (self._has(name, "TRUNCATED", kind) or len(response.toStr()) > _fits(query)):
            response.trunc = 1
            response.answers, response.authority = [], []
        return response

    def _has(self, name: str, manner: str, kind: str) -> bool:
        manners = self._manners.get(name, ())
        return (manner, "") in manners or (manner, kind) in manners

    def _fill(self, response: dns.Message, name: str, type: int) -> None:
        for _ in range(MAX_CHAIN if self.chains else 1):
            alias = self._records.get((name, dns.CNAME))
            if not alias or type == dns.CNAME:
                break
            response.answers.append(self._header(name, dns.CNAME, alias[0]))
            name = alias[0].name.name.decode("ascii")
        records = self._records.get((name, type), []) if self.chains or not response.answers else []
        response.answers += [self._header(name, type, record) for record in records]
        if records or (response.answers and not self.chains):
            return
        if not self._exists(name):
            response.rCode = dns.ENAME
        soa = _untyped.Record_SOA(_SOA_NAME, _SOA_NAME, 1, minimum=self.ttl)
        response.authority.append(self._header(_SOA_NAME, dns.SOA, soa))

    def _exists(self, name: str) -> bool:
        below = f".{name}"
        return any(
            known == name or known.endswith(below)
            for known in {*self._manners, *(key[0] for key in self._records)}
        )

    def _header(self, name: str, type: int, payload: Any) -> dns.RRHeader:
        return dns.RRHeader(name, type, dns.IN, self.ttl, payload)


def _fits(query: dns.Message) -> int:
    """The octets that the client accepts over UDP (RFC 6891 section 6.2.3)."""
    return next((record.cls for record in query.additional if record.type == dns.OPT), 512)
