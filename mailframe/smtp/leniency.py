"""Reads commands that clients do not write as RFC 5321 says.

Clients still send what most hosts have accepted for decades. Only lines that the grammar refused
are read here, so that correct commands cost nothing more. RFC 5321 section 4.1.4: the name in EHLO
is no reason to refuse mail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .address import AddressError
from .command import Command, Ehlo, Helo, Lhlo, Mail, Rcpt
from .grammar import BAD_OCTETS, POSTMASTER, is_postmaster, read_path
from .parameters import MAIL_PARAMETERS, RCPT_PARAMETERS, Known, read_parameters
from .reply import Reply

MAX_HELLO = 255  # characters of a name that are kept

_LINE = re.compile(rb"(MAIL|RCPT|HELO|EHLO|LHLO)[ \t]+(.*)", re.IGNORECASE | re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")  # a tab is white space here
_QUOTED = r'"[^"\\]*+(?:\\.[^"\\]*+)*"'
# The brackets may be missing, and there may be blanks inside them.
_PATH = re.compile(
    rf'(?:<((?:[^<>"]++|{_QUOTED})*)>|((?:[^<>"\s]++|{_QUOTED})+))(?:[ \t]+(.+))?', re.ASCII
)
_BLANKS = re.compile(r"[ \t]*([@.,:])[ \t]*")
_PREFIXES: Mapping[str, str] = {"MAIL": "FROM:", "RCPT": "TO:"}
_HELLOS: Mapping[str, type[Helo | Ehlo | Lhlo]] = {"HELO": Helo, "EHLO": Ehlo, "LHLO": Lhlo}


def read_leniently(line: bytes, refused: Reply) -> Command | Reply:
    """The command that a line (without its CRLF) means, or a refusal if it is not a command.

    `refused` is the refusal of the grammar, which is returned if the line cannot be understood.
    Accepts blanks and tabs around the path and its parts, a path without brackets, addresses as
    `Mailbox.parse` reads them, anything in AUTH=, and any name in HELO, EHLO and LHLO.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        return refused
    verb = match[1].decode("ascii").upper()
    is_hello = verb in _HELLOS
    try:
        # A name in another encoding is kept with replacement characters.
        text = match[2].decode("utf-8", "replace" if is_hello else "strict").strip(" \t")
    except UnicodeDecodeError:
        return BAD_OCTETS
    if _CONTROL.search(text):
        return BAD_OCTETS
    if is_hello:
        name = text.replace("\t", " ")[:MAX_HELLO]
        return _HELLOS[verb](name) if name else refused
    prefix = _PREFIXES[verb]
    if text[: len(prefix)].upper() != prefix:
        return refused
    path = _PATH.fullmatch(text[len(prefix) :].lstrip(" \t"))
    if path is None:
        return refused
    parameters = (path[3] or "").replace("\t", " ")
    spelled = path[2] if path[1] is None else path[1].strip(" \t")
    if '"' not in spelled:
        spelled = _BLANKS.sub(r"\1", spelled)
    return _mail(spelled, parameters) if verb == "MAIL" else _rcpt(spelled, parameters)


def _mail(spelled: str, text: str) -> Mail | Reply:
    try:
        sender = read_path(spelled, strict=False) if spelled else None
    except AddressError as wrong:
        return Reply(501, f"Bad sender address: {wrong}", "5.1.7")
    parameters = read_parameters(text, _MAIL_PARAMETERS)
    return parameters if isinstance(parameters, Reply) else Mail(sender, **parameters)


def _rcpt(spelled: str, text: str) -> Rcpt | Reply:
    try:
        recipient = POSTMASTER if is_postmaster(spelled) else read_path(spelled, strict=False)
    except AddressError as wrong:
        return Reply(501, f"Bad recipient address: {wrong}", "5.1.3")
    parameters = read_parameters(text, RCPT_PARAMETERS)
    return parameters if isinstance(parameters, Reply) else Rcpt(recipient, **parameters)


def _submitter(value: str | None) -> str:
    try:
        identity: str = MAIL_PARAMETERS["AUTH"][1](value)
    except AddressError:
        # RFC 4954 section 5: "<>" means that it is not known who submitted the message.
        return "<>"
    return identity


_MAIL_PARAMETERS: Known = {**MAIL_PARAMETERS, "AUTH": ("auth", _submitter)}
