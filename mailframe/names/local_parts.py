"""Reads users and addresses as operators write them, and compares local parts."""

from __future__ import annotations

import unicodedata

from ..smtp.address import Mailbox


def folded(local: str, case_sensitive: bool = False) -> str:
    """A local part in the form in which this host compares it: composed (NFC), in lower case.

    RFC 5321 section 2.4 leaves the case to the host that owns the mailbox.
    """
    local = unicodedata.normalize("NFC", local)
    return local if case_sensitive else local.lower()


def parse_user(text: str) -> Mailbox:
    """ "alice@example.org", or "alice" with the domain "". Raises AddressError."""
    is_bare = text.endswith('"') or "@" not in text
    if is_bare:
        return Mailbox(Mailbox.parse(f"{text}@localhost").local, "")
    return Mailbox.parse(text)
