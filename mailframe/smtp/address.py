"""Mailbox and reverse-path as values (RFC 5321 section 4.1.2, RFC 6531 section 3.3).

The reverse-path `<>` is None everywhere in mailframe.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

MAX_LOCAL = 64  # octets, RFC 5321 section 4.5.3.1.1
MAX_DOMAIN = 255  # octets, section 4.5.3.1.2
MAX_PATH = 256  # octets with the angle brackets, section 4.5.3.1.3
MAX_MAILBOX = MAX_PATH  # octets as spelled; a mailbox in a path may need additional quotes

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-\u0080-\U0010ffff]"
_DOT_STRING = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*")
_QUOTED = re.compile(r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*"')
# RFC 5322 section 4.4 (obs-local-part), and dots anywhere, as mobile carriers have used them.
# Before CPython 3.11.5 a possessive group that fails halfway goes on from there (gh-106052), so
# only repetitions of single characters are possessive.
_WORD = rf"(?:{_ATEXT}++|{_QUOTED.pattern})"
_LOOSE = re.compile(rf"(\.*+(?:{_WORD}(?:\.++{_WORD})*\.*+)?)@(.*)", re.DOTALL)
_ALNUM = r"A-Za-z0-9\u0080-\U0010ffff"
_LABEL = rf"[{_ALNUM}](?:[{_ALNUM}\-]{{0,61}}[{_ALNUM}])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LOOSE_LABEL = rf"[{_ALNUM}_\-]{{1,63}}"
_LOOSE_DOMAIN = re.compile(rf"{_LOOSE_LABEL}(?:\.{_LOOSE_LABEL})*")
_LITERAL = re.compile(r"\[([!-Z^-~]{1,253})\]")
_UNESCAPE = re.compile(r"\\(.)")


class AddressError(ValueError):
    """The text is no mailbox; the message says why, in words for a 501 or 553."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox `local@domain`.

    `local` is without quotes and backslashes, in its own case. `domain` is in lower case. It may be
    an address literal with its brackets ("[192.0.2.1]", "[ipv6:2001:db8::1]"), and it is "" for the
    bare `<Postmaster>` of RFC 5321 section 4.1.1.3. Both may contain non-ASCII characters if
    SMTPUTF8 allowed them. Two spellings of one mailbox are equal values.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str, *, strict: bool = False) -> Mailbox:
        """The mailbox that `text` spells, without angle brackets. Raises AddressError.

        Local parts of more than 64 octets, dots in unusual places, underscores in a domain and one
        dot at its end are accepted, as by other hosts: RFC 5321 section 4.5.3.1 wants as few limits
        as possible. With `strict`, only what section 4.1.2 allows is accepted.
        """
        if strict:
            local, domain = _split(text)
            if len(local.encode("utf-8", "surrogatepass")) > MAX_LOCAL:
                raise AddressError(f"the local part is longer than {MAX_LOCAL} octets")
        else:
            local, domain = _split_loosely(text)
        if '"' in local:
            local = _QUOTED.sub(_unquoted, local)
        return cls(local, parse_domain(domain, strict=strict))

    @property
    def is_ascii(self) -> bool:
        """False if only SMTPUTF8 can carry it (RFC 6531)."""
        return self.local.isascii() and self.domain.isascii()

    @property
    def is_literal(self) -> bool:
        """True if the domain is an address literal (RFC 5321 section 4.1.3)."""
        return self.domain.startswith("[")

    def __str__(self) -> str:
        local = self.local
        if not _DOT_STRING.fullmatch(local):
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        return f"{local}@{self.domain}" if self.domain else local


def _split(text: str) -> tuple[str, str]:
    """The local part and the domain as spelled. AddressError if there are none."""
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise AddressError("the quoted local part does not end")
        local, rest = quoted.group(), text[quoted.end() :]
        if not rest.startswith("@"):
            raise AddressError("a quoted local part is followed by @ and a domain")
        return local, rest[1:]
    local, at, domain = text.partition("@")
    if not at:
        raise AddressError("a mailbox has a local part, an @ and a domain")
    if not _DOT_STRING.fullmatch(local):
        raise AddressError("the local part is not a dot-string or a quoted string")
    return local, domain


def _split_loosely(text: str) -> tuple[str, str]:
    """The local part and the domain, also in forms that occur although RFC 5321 forbids them."""
    if len(text.encode("utf-8", "surrogatepass")) > MAX_MAILBOX:
        raise AddressError(f"the address is longer than {MAX_MAILBOX} octets")
    match = _LOOSE.fullmatch(text)
    if match is None or not match[1]:
        _split(text)  # raises an error that says what is wrong
        raise AddressError("the local part is not made of words, quoted strings and dots")
    return match[1], match[2]


def _unquoted(quoted: re.Match[str]) -> str:
    return _UNESCAPE.sub(r"\1", quoted[0][1:-1])


def parse_domain(text: str, *, strict: bool = False) -> str:
    """The domain or address literal in lower case, without a dot at its end. Raises AddressError.

    RFC 5321 sections 2.3.5 and 4.1.3; labels have at most 63 octets. Underscores, and hyphens at
    the ends of labels, occur in DNS (RFC 2181 section 11) and are accepted. `strict` refuses them,
    and a dot at the end.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    if text.startswith("["):
        literal_address(text)
        return text.lower()
    if not strict:
        text = text.removesuffix(".")
    if not (_DOMAIN if strict else _LOOSE_DOMAIN).fullmatch(text):
        raise AddressError("the domain is not made of labels of letters, digits and hyphens")
    return text.lower()


def literal_address(domain: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IP address in an address literal such as "[192.0.2.1]" or "[IPv6:2001:db8::1]".

    Raises AddressError for anything else, also for general address literals: no tag but IPv6 has
    ever been registered (RFC 5321 section 4.1.3).
    """
    match = _LITERAL.fullmatch(domain)
    if match is None:
        raise AddressError("the address literal is not an address in brackets")
    inner = match.group(1)
    try:
        if inner[:5].lower() == "ipv6:":
            if "%" in inner:
                raise AddressError("an address literal has no zone")
            return ipaddress.IPv6Address(inner[5:])
        return ipaddress.IPv4Address(inner)
    except ipaddress.AddressValueError as wrong:
        raise AddressError("the address literal holds no IP address") from wrong
