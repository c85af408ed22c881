"""FLOOR 10: the host's part of the protocols that plugins bring (`[[serve]]`).

`listener` is one `[[listen]]` of such a protocol, and `entrance` is what its connections need of
it. `connection` stands between Twisted and the plugin's protocol, and is in one of the phases of
`phase`. `transport` is what that protocol writes to. `login` logs its clients in.
"""

from .connection import ServedConnection
from .listener import ServedListener, served_protocols

__all__ = ["ServedConnection", "ServedListener", "served_protocols"]
