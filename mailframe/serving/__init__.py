"""FLOOR 10: the host's part of the protocols that plugins bring (`[[serve]]`).

`listener` is one `[[listen]]` of such a protocol, `entrance` what its connections ask of it;
`connection` stands between Twisted and the plugin's protocol, in one of the phases of `phase`;
`transport` is what that protocol writes to.
"""

from .connection import ServedConnection
from .listener import ServedListener, served_protocols

__all__ = ["ServedConnection", "ServedListener", "served_protocols"]
