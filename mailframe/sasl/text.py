"""Names and passwords as texts: their length, and SASLprep (RFC 4013)."""

from __future__ import annotations

import stringprep
import unicodedata
from unicodedata import ucd_3_2_0

MAX_NAME = 255  # octets of a name or a password, RFC 4616 section 2

_PROHIBITED = (  # RFC 4013 section 2.3
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def text_of(octets: bytes) -> str | None:
    """The text in 1 to 255 octets of UTF-8 without NUL; None for anything else."""
    if not 0 < len(octets) <= MAX_NAME or b"\0" in octets:
        return None
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return None


def is_text(text: str | None) -> bool:
    """True if it can be sent as a name or a password, so that `text_of` reads it back."""
    if text is None:
        return False
    return text_of(text.encode("utf-8", "surrogatepass")) is not None


def saslprep(text: str, *, stored: bool) -> str:
    """The one spelling of a name or a password (RFC 4013); it may be empty.

    `stored` refuses code points that Unicode 3.2 does not have, as RFC 5802 section 2.2 asks for
    passwords. Names are queries and may contain them. Raises ValueError for prohibited text.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    for character in prepared:
        if any(prohibits(character) for prohibits in _PROHIBITED):
            raise ValueError(f"U+{ord(character):04X} is prohibited by SASLprep")
        if stored and stringprep.in_table_a1(character):
            raise ValueError(f"U+{ord(character):04X} is unknown to SASLprep")
    _check_direction(prepared)
    return prepared


def is_name(text: str) -> bool:
    """True if it can be a user's name: SASLprep allows it, and there are no blanks around it.

    "alice\\r" and "alice " are not names. A checker that strips names would take them for alice's.
    """
    try:
        prepared = saslprep(text, stored=False)
    except ValueError:
        return False
    return bool(prepared) and prepared.strip() == prepared and text.strip() == text


def _check_direction(text: str) -> None:
    """RFC 3454 section 6: right-to-left text begins and ends with right-to-left characters.

    It must not contain left-to-right ones.
    """
    leftward = [stringprep.in_table_d1(character) for character in text]
    if not any(leftward):
        return
    mixed = any(stringprep.in_table_d2(character) for character in text)
    if mixed or not (leftward[0] and leftward[-1]):
        raise ValueError("text from right to left is mixed with text from left to right")


def normal_name(name: str) -> str:
    """The one spelling of a user's name in a list. ValueError for a text that cannot be one."""
    name = unicodedata.normalize("NFC", name).lower()
    if not name or len(name.encode()) > MAX_NAME:
        raise ValueError(f"a user's name has 1 to {MAX_NAME} octets")
    if name.startswith("#") or not name.isprintable() or any(c.isspace() for c in name):
        raise ValueError("a user's name holds no spaces and no control characters, nor # first")
    return name


def normal_password(password: str) -> bytes:
    """The octets to hash of a password, in form NFC. ValueError for what cannot be one."""
    octets = unicodedata.normalize("NFC", password).encode()
    if not 0 < len(octets) <= MAX_NAME:
        raise ValueError(f"a password has 1 to {MAX_NAME} octets")
    if any(unicodedata.category(character) == "Cc" for character in password):
        raise ValueError("a password holds no line breaks and no control characters")
    return octets
