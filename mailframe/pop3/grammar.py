"""Reads lines: RFC 1939 section 9 as a table. Lines come here without their end."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import TypeAlias

from .command import (
    Auth,
    Capa,
    Command,
    Dele,
    List,
    Mechanisms,
    Noop,
    Pass,
    Quit,
    Retr,
    Rset,
    Stat,
    Stls,
    Top,
    Uidl,
    User,
    Utf8,
)
from .reply import BAD_BASE64, BAD_OCTETS, NO_ARGUMENT, SYNTAX_ERROR, UNKNOWN_COMMAND, Reply, err

APOP_NOT_OFFERED = err("APOP is not offered: it needs passwords that are kept in the clear")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBER = re.compile(r"0*([1-9][0-9]{0,9})")
_TOP = re.compile(r"0*([1-9][0-9]{0,9}) +0*([0-9]{1,10})")
_AUTH = re.compile(r"([A-Za-z0-9_-]{1,20})(?: +([!-~]+))?")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")

_Reader: TypeAlias = Callable[[str], Command | Reply]


def parse_command(line: bytes) -> Command | Reply:
    """The command on this line, or the reply that refuses it.

    Commands are in any case, and blanks at the end do not count, except those of a password.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return BAD_OCTETS
    if not text.isprintable() and _CONTROL.search(text):
        return BAD_OCTETS
    verb, _, argument = text.partition(" ")
    verb = verb.upper() if verb.isascii() else ""
    if verb == "PASS":
        # RFC 1939 section 7: a blank may be a part of the password.
        return Pass(argument) if argument else SYNTAX_ERROR
    read = _READERS.get(verb)
    return UNKNOWN_COMMAND if read is None else read(argument.strip(" "))


def decode_base64(text: bytes) -> bytes | None:
    """The octets of base64; None if the text is no base64 (RFC 4648 section 4)."""
    return b64decode(text) if _BASE64.fullmatch(text) else None


def _read_alone(command: Command) -> _Reader:
    return lambda argument: NO_ARGUMENT if argument else command


def _read_number(kind: type[Retr] | type[Dele]) -> _Reader:
    def read(argument: str) -> Command | Reply:
        match = _NUMBER.fullmatch(argument)
        return SYNTAX_ERROR if match is None else kind(int(match[1]))

    return read


def _read_any_number(kind: type[List] | type[Uidl]) -> _Reader:
    def read(argument: str) -> Command | Reply:
        if not argument:
            return kind()
        match = _NUMBER.fullmatch(argument)
        return SYNTAX_ERROR if match is None else kind(int(match[1]))

    return read


def _read_top(argument: str) -> Command | Reply:
    match = _TOP.fullmatch(argument)
    return SYNTAX_ERROR if match is None else Top(int(match[1]), int(match[2]))


def _read_auth(argument: str) -> Command | Reply:
    if not argument:
        return Mechanisms()
    match = _AUTH.fullmatch(argument)
    if match is None:
        return SYNTAX_ERROR
    mechanism, initial = match[1].upper(), match[2]
    if initial is None:
        return Auth(mechanism)
    if initial == "=":
        return Auth(mechanism, b"")
    response = decode_base64(initial.encode("ascii"))
    return BAD_BASE64 if response is None else Auth(mechanism, response)


_READERS: Mapping[str, _Reader] = {
    "CAPA": _read_alone(Capa()),
    "STLS": _read_alone(Stls()),
    "UTF8": _read_alone(Utf8()),
    "USER": lambda argument: User(argument) if argument else SYNTAX_ERROR,
    "APOP": lambda argument: APOP_NOT_OFFERED,
    "AUTH": _read_auth,
    "STAT": _read_alone(Stat()),
    "LIST": _read_any_number(List),
    "UIDL": _read_any_number(Uidl),
    "RETR": _read_number(Retr),
    "TOP": _read_top,
    "DELE": _read_number(Dele),
    "RSET": _read_alone(Rset()),
    "NOOP": _read_alone(Noop()),
    "QUIT": _read_alone(Quit()),
}
