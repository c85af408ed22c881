"""Domain names in one spelling, so that they can be compared.

U-labels and A-labels name the same domain (RFC 5890 section 2.3.2.1); mail compares A-labels.
"""

from __future__ import annotations

from functools import lru_cache

import idna


@lru_cache(maxsize=4096)
def to_ascii(domain: str) -> str:
    """The domain in lower-case A-labels, without a trailing dot; literals stay as they are.

    Raises ValueError if a U-label is no IDNA 2008 label (RFC 5891).
    """
    domain = domain.rstrip(".").lower() if not domain.startswith("[") else domain.lower()
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except idna.IDNAError as wrong:
        raise ValueError(f"{domain!r} is not an internationalized domain name") from wrong
