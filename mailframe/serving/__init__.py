"""FLOOR 10: the way in for protocols that plugins bring (`[[serve]]`): the host's half of it.

`listener` is one `[[listen]]` of such a protocol, `entrance` what its connections ask of it;
`connection` stands between Twisted and the plugin's protocol, in one of the phases of `phase`;
`transport` is what that protocol writes to.
"""

from .connection import ServedConnection
from .listener import ServedListener, served_protocols

__all__ = ["ServedConnection", "ServedListener", "served_protocols"]
