"""FLOOR 10: sending mail over SMTP and LMTP.

From the top: `agent` groups the routes of a message by next hop, and `courier` makes one attempt
at a next hop. It asks `exchanges` for the hosts and addresses, and takes connections from the
`pool`, for which `opener` opens them (greeting, EHLO, TLS, and AUTH by `login`). On a `connection`
a `transaction` sends the commands that `commands` writes, and then the `content`. `form` chooses
the form of the message for the server, re-encoded if necessary (`broken_lines` if that is
impossible), and `leaving` applies what departure hooks change.
"""

from ..wire.client_tls import ClientTls
from .courier import Courier
from .exchanges import Exchanges
from .opener import Opener
from .pool import Pool
from .times import Timeouts

__all__ = ["ClientTls", "Courier", "Exchanges", "Opener", "Pool", "Timeouts"]
