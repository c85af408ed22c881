"""Reads and writes the parameters of MAIL and RCPT, and the xtext in which they are spelled.

RFC 1870 SIZE, RFC 6152 and RFC 3030 BODY, RFC 6531 SMTPUTF8, RFC 4954 AUTH, RFC 3461 RET, ENVID,
NOTIFY and ORCPT, RFC 6533 section 3 for ORCPT's utf-8 addresses.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from .address import Mailbox
from .command import Mail, Rcpt
from .reply import UNKNOWN_PARAMETER, Reply

MAX_ENVID = 100  # characters of xtext, RFC 3461 section 4
MAX_ORCPT = 500  # characters, RFC 3461 section 4

#: keyword -> the command's field, and what reads the value (None: no "="); ValueError refuses.
Known: TypeAlias = Mapping[str, tuple[str, Callable[[str | None], Any]]]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")
_SIZE = re.compile(r"[0-9]{1,20}")
_XTEXT = re.compile(r"(?:[!-*,-<>-~\u0080-\U0010ffff]|\+[0-9A-Fa-f]{2})*")
_XTEXT_HEX = re.compile(rb"\+([0-9A-Fa-f]{2})")
_XTEXT_UNSAFE = re.compile(rb"[^!-*,-<>-~]")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*/?^_`{|}~-]+")
_UNITEXT = re.compile(
    r"(?:[!-*,-<>-\[\]-~\u0080-\U0010ffff]|\\x\{[0-9A-Fa-f]{2,6}\}|\+[0-9A-Fa-f]{2})+"
)
_UNITEXT_HEX = re.compile(rb"\\x\{([0-9A-Fa-f]{2,6})\}|\+([0-9A-Fa-f]{2})")
_UNITEXT_UNSAFE = re.compile(r"[^!-*,-<>-\[\]-~]")
# Most texts look like this; their xtext is the text itself.
_PLAIN_ORCPT = re.compile(rf"rfc822;[!-*,-<>-~]{{1,{MAX_ORCPT - len('rfc822;')}}}")
_NOTIFY = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})


def read_parameters(text: str, known: Known) -> dict[str, Any] | Reply:
    """The fields that `text` ("SIZE=1000 BODY=8BITMIME") sets, or the reply that refuses it.

    555 for an unknown keyword, 501 for a bad value and for a keyword that is given twice (RFC 5321
    section 4.1.1.11).
    """
    fields: dict[str, Any] = {}
    for word in text.split(" "):
        if not word:
            continue
        keyword, equals, value = word.partition("=")
        if not _KEYWORD.fullmatch(keyword):
            return Reply(501, "A parameter is a keyword, or keyword=value", "5.5.4")
        keyword = keyword.upper()
        if keyword not in known:
            return UNKNOWN_PARAMETER
        field, read = known[keyword]
        if field in fields:
            return Reply(501, f"Parameter {keyword} is given twice", "5.5.4")
        try:
            fields[field] = read(value if equals else None)
        except ValueError:
            return Reply(501, f"Parameter {keyword} has a wrong value", "5.5.4")
    return fields


def mail_parameters(command: Mail) -> Iterator[str]:
    """The parameters of this command, each "KEYWORD" or "KEYWORD=value".

    Raises ValueError if a value cannot be written.
    """
    if command.size is not None:
        if command.size < 0:
            raise ValueError("SIZE counts octets")
        yield f"SIZE={command.size}"
    if command.body != "7BIT":
        yield f"BODY={command.body}"
    if command.smtputf8:
        yield "SMTPUTF8"
    if command.ret is not None:
        yield f"RET={command.ret}"
    if command.envid is not None:
        yield f"ENVID={_readable(_envid, xtext_encode(command.envid))}"
    if command.auth is not None:
        yield f"AUTH={_readable(_auth, xtext_encode(command.auth))}"


def rcpt_parameters(command: Rcpt) -> Iterator[str]:
    """The parameters of this command. ValueError if a value cannot be written."""
    if command.notify is not None:
        yield f"NOTIFY={_readable(_notify, ','.join(sorted(command.notify)))}"
    if command.orcpt is not None and _PLAIN_ORCPT.fullmatch(command.orcpt):
        yield f"ORCPT={command.orcpt}"
    elif command.orcpt is not None:
        kind, _, address = command.orcpt.partition(";")
        encode = unitext_encode if kind.lower() == "utf-8" else xtext_encode
        yield f"ORCPT={_readable(_orcpt, f'{kind};{encode(address)}')}"


def _readable(read: Callable[[str | None], Any], value: str) -> str:
    """`value`, after a check that our own reader accepts it."""
    read(value)
    return value


def xtext_encode(text: str) -> str:
    """`text` in xtext: +HH for each octet that must be encoded (RFC 3461 section 4)."""
    octets = text.encode("utf-8")
    return _XTEXT_UNSAFE.sub(lambda octet: b"+%02X" % octet.group()[0], octets).decode("ascii")


def xtext_decode(text: str) -> str:
    """The text of xtext. Raises ValueError if it is no xtext, or not UTF-8."""
    if not _XTEXT.fullmatch(text):
        raise ValueError("not xtext (RFC 3461 section 4)")
    if "+" not in text:
        return text
    return _XTEXT_HEX.sub(lambda code: bytes.fromhex(code[1].decode()), text.encode()).decode()


def unitext_encode(text: str) -> str:
    r"""`text` in utf-8-addr-xtext: \x{HEX} where it must be encoded (RFC 6533 section 3)."""
    text.encode("utf-8")  # ValueError for a surrogate
    return _UNITEXT_UNSAFE.sub(lambda character: f"\\x{{{ord(character[0]):02X}}}", text)


def unitext_decode(text: str) -> str:
    """The text of utf-8-addr-xtext or utf-8-addr-unitext; also with +HH, which some programs write.

    Raises ValueError if it is neither.
    """
    if not _UNITEXT.fullmatch(text):
        raise ValueError("not a utf-8 address (RFC 6533 section 3)")

    def octets(code: re.Match[bytes]) -> bytes:
        return chr(int(code[1], 16)).encode() if code[1] else bytes.fromhex(code[2].decode())

    return _UNITEXT_HEX.sub(octets, text.encode()).decode()


def _without_controls(text: str) -> str:
    if _CONTROL.search(text):
        raise ValueError("a control character")
    return text


def _present(value: str | None) -> str:
    if not value:
        raise ValueError("no value")
    return value


def _size(value: str | None) -> int:
    if value is None or not _SIZE.fullmatch(value):
        raise ValueError("not a number of octets")
    return int(value)


def _flag(value: str | None) -> bool:
    if value is not None:
        raise ValueError("takes no value")
    return True


def _one_of(*words: str) -> Callable[[str | None], str]:
    def read(value: str | None) -> str:
        word = _present(value).upper()
        if word not in words:
            raise ValueError("none of the words")
        return word

    return read


def _envid(value: str | None) -> str:
    if len(_present(value)) > MAX_ENVID:
        raise ValueError("too long")
    envid = _without_controls(xtext_decode(_present(value)))
    if not envid.isascii():
        raise ValueError("not printable ASCII")
    return envid


def _auth(value: str | None) -> str:
    identity = _without_controls(xtext_decode(_present(value)))
    if identity != "<>":
        Mailbox.parse(identity)
    return identity


def _notify(value: str | None) -> frozenset[str]:
    words = frozenset(_present(value).upper().split(","))
    if not words <= _NOTIFY or ("NEVER" in words and len(words) > 1):
        raise ValueError("NEVER alone, or of SUCCESS, FAILURE, DELAY")
    return words


def _orcpt(value: str | None) -> str:
    kind, semicolon, address = _present(value).partition(";")
    if not semicolon or not _ADDRESS_TYPE.fullmatch(kind) or len(_present(value)) > MAX_ORCPT:
        raise ValueError("not an address type, a semicolon and an address")
    if kind.lower() == "utf-8":
        return f"{kind};{_without_controls(unitext_decode(address))}"
    address = _without_controls(xtext_decode(_present(address)))
    if not address.isascii():
        raise ValueError("not printable ASCII")
    return f"{kind};{address}"


MAIL_PARAMETERS: Known = {
    "SIZE": ("size", _size),
    "BODY": ("body", _one_of("7BIT", "8BITMIME", "BINARYMIME")),
    "SMTPUTF8": ("smtputf8", _flag),
    "RET": ("ret", _one_of("FULL", "HDRS")),
    "ENVID": ("envid", _envid),
    "AUTH": ("auth", _auth),
}
RCPT_PARAMETERS: Known = {"NOTIFY": ("notify", _notify), "ORCPT": ("orcpt", _orcpt)}
