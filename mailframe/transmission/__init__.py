"""FLOOR 10: the way out over SMTP and LMTP.

From the top: `courier` brings a message to a next hop, asking `exchanges` which hosts and
addresses (`routable`: and which never), taking connections from the `pool`, which `session`
opens (greeting, EHLO, `tls`, AUTH). On a `connection` (its writes: `prompt`) a `transaction`
says what `commands` spells, and sends the `forms`, re-encoded by `mime.seven_bit` if it must be,
as `content`.
"""

from ..wire.client_tls import ClientTls
from .courier import Courier
from .exchanges import Exchanges
from .opener import Opener
from .pool import Pool
from .times import Timeouts

__all__ = ["ClientTls", "Courier", "Exchanges", "Opener", "Pool", "Timeouts"]
