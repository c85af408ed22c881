"""The limits and users of the servers that are fuzzed, and small questions about octets."""

from __future__ import annotations

import base64
import binascii
import re

LINE, AUTH_LINE = 2048, 12288  # octets of a command line, of an AUTH line
MESSAGE_SIZE, HEADER_SIZE, HEADER_LINES, HOPS = 200_000, 20_000, 300, 10
ERRORS, COMMANDS, RECIPIENTS = 20, 60, 20
OURS = b"example.org"
USERS = {b"alice": b"secret"}


DROPPED = (b"bcc", b"content-length", b"resent-bcc", b"return-path")


def as_compared(path: bytes) -> bytes:
    """The domain in lower case; the local part's case is kept (RFC 5321 section 2.4).

    Dots at odd places want quotes, and the one at the domain's end is no part of it.
    """
    local, _, domain = path.rpartition(b"@")
    if b"" in local.split(b"."):
        local = b'"' + local + b'"'
    return local + b"@" + domain.lower().removesuffix(b".")


def kept(content: bytes) -> bytes:
    """The content as it is stored: an empty line ends the header section, some fields are gone."""
    lines = [line for line in re.split(rb"(?<=\r\n)", content) if line]
    section: list[bytes] = []
    top, dropped = True, False
    for number, line in enumerate(lines):
        field = re.match(rb"([!-9;-~]{1,998})[ \t]{0,998}:", line)
        if field is not None:
            top, dropped = False, field[1].lower() in DROPPED
        elif top and re.match(rb">*From ", line):
            continue
        elif top or line[:1] not in b" \t":
            end = b"" if line.startswith(b"\r\n") else b"\r\n"
            return b"".join((*section, end, *lines[number:]))
        if not dropped:
            section.append(line)
    return b"".join(section)


def is_text(line: bytes) -> bool:
    """Whether a command line is UTF-8 without control characters."""
    try:
        text = line.decode("utf-8").rstrip(" \t")
    except UnicodeDecodeError:
        return False
    return not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", text)


def decoded(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def good_plain(text: bytes) -> bool:
    parts = (decoded(text) or b"").split(b"\0")
    return len(parts) == 3 and parts[0] in (b"", parts[1]) and USERS.get(parts[1]) == parts[2]


def too_much(content: bytes) -> bool:
    """Whether a limit of size, header or hops has been reached."""
    head = (b"\r\n" + kept(content)).partition(b"\r\n\r\n")[0] + b"\r\n"
    hops = len(re.findall(rb"\r\nreceived[ \t]*:", head, re.I))
    return (
        len(content) > MESSAGE_SIZE
        or len(head) > HEADER_SIZE - 4
        or head.count(b"\r\n") >= HEADER_LINES
        or hops > HOPS
    )
