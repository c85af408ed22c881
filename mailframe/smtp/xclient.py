"""Reads and writes the attributes of XCLIENT (Postfix's XCLIENT_README)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from ipaddress import IPv6Address, ip_address

from .command import Xclient
from .parameters import xtext_decode, xtext_encode
from .reply import Reply

_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.])?")
_PORT = re.compile(r"[0-9]{1,5}")
_LONGEST = 255  # characters of a value
_IPV6 = "IPV6:"


def _host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError(text)
    return text


def _address(text: str) -> str:
    address = ip_address(text[len(_IPV6) :] if text.upper().startswith(_IPV6) else text)
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            raise ValueError(text)  # a zone has a meaning on one host only
        # One spelling of a client, whatever socket it used.
        address = address.ipv4_mapped or address
    return str(address)


def _port(text: str) -> str:
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError(text)
    return str(int(text))


def _protocol(text: str) -> str:
    if text.upper() not in ("SMTP", "ESMTP"):
        raise ValueError(text)
    return text.upper()


def _some(text: str) -> str:
    if not text:
        raise ValueError(text)
    return text


_READ: Mapping[str, Callable[[str], str]] = {
    "NAME": _host,
    "ADDR": _address,
    "PORT": _port,
    "PROTO": _protocol,
    "HELO": _some,
    "LOGIN": _some,
    "DESTADDR": _address,
    "DESTPORT": _port,
}
XCLIENT_ATTRIBUTES = tuple(_READ)


def read_xclient(argument: str) -> Xclient | Reply:
    """The command, or the 501 that refuses it; if an attribute is repeated, the last one counts."""
    attributes: dict[str, str | None] = {}
    for word in argument.split():
        name, sign, text = word.partition("=")
        read = _READ.get(name.upper())
        if not sign or read is None:
            return Reply(501, "Bad XCLIENT attribute", "5.5.4")
        try:
            value = xtext_decode(text)
            if len(value) > _LONGEST or _CONTROL.search(value):
                raise ValueError(value)
            attributes[name.upper()] = None if value.upper() in _UNKNOWN else read(value)
        except ValueError:
            return Reply(501, f"Bad value of XCLIENT {name.upper()}", "5.5.4")
    if not attributes:
        return Reply(501, "Syntax: XCLIENT attribute=value ...", "5.5.4")
    return Xclient(attributes)


def write_xclient(command: Xclient) -> str:
    """The command's line without its end.

    Raises ValueError for values that would not be read back.
    """
    words = []
    for name, value in command.attributes.items():
        text = "[UNAVAILABLE]" if value is None else value
        if value is not None and name in ("ADDR", "DESTADDR") and ":" in value:
            text = f"{_IPV6}{value}"
        words.append(f"{name}={xtext_encode(text)}")
    line = " ".join(words)
    if read_xclient(line) != command:
        raise ValueError(f"{dict(command.attributes)!r} cannot be written as XCLIENT")
    return f"XCLIENT {line}"
