"""Translates a listener's endpoint from the form that operators write to that of Twisted.

Twisted splits an endpoint at its colons, so each colon of an IPv6 address needs a backslash, which
has to be doubled in TOML.
"""

from __future__ import annotations

import re
from ipaddress import ip_address

_ADDRESS_AND_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([0-9.]+)):([0-9]+)")
# The value ends at the next keyword, or at the end of the text.
_INTERFACE = re.compile(r"(?<=:interface=)\[?((?:[^\\:=\[\]]|:(?!\w+=))*)\]?(?=:\w+=|\Z)")


def as_twisted_reads_it(endpoint: str) -> str:
    """The endpoint's text for `serverFromString`.

    Accepts, besides all forms of Twisted, `[::]:587` and `192.0.2.1:587`, and plain IPv6 addresses
    after `interface=`, with or without brackets. Anything else is unchanged.
    """
    short = _ADDRESS_AND_PORT.fullmatch(endpoint)
    if short is not None:
        address = short[1] or short[2] or ""
        is_ipv6 = short[1] is not None
        if _is_address(address) and (":" in address) is is_ipv6:
            return f"tcp:{short[3]}:interface={_escaped(address)}"
        return endpoint
    return _INTERFACE.sub(
        lambda match: _escaped(match[1]) if _is_address(match[1]) else match[0], endpoint
    )


def _escaped(address: str) -> str:
    return address.replace(":", r"\:")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
