"""FLOOR 5: the interfaces of all hooks.

They say what a plugin provides, when it is asked, what its answers mean, and what is true
afterwards. If a return type is `Eventual[X]`, the method may return an X, a coroutine of X (write
it as `async def`) or a Deferred of X. A plain X is quickest.

For all hooks, None means "no opinion". A `Reply` is the decision, in the words that the client
reads. An exception or a timeout is the plugin's fault: it is logged with a reference, the client
reads a 4xx with that reference, and nothing is permitted.

`[[auth]]` plugins provide `twisted.cred.checkers.ICredentialsChecker` for
`IUsernamePassword` (`requestAvatarId` returns the user's name, bytes or str, or fails with
UnauthorizedLogin), or an interface of `auth`. The first plugin that says yes decides.
`[[serve]]` plugins provide IServedProtocol, or
`twisted.application.service.IService`, or both.
"""

from .auth import ICertificateChecker, IStoredKeys, ITokenChecker, IUserStore
from .deliver import IBatchingAgent, IDeliveryAgent, IForeseeingAgent, IPausingAgent
from .departure import IDeparture
from .filter import IFilter
from .inspect import IInspected
from .observe import IObserver, ITrace
from .queue import IDraft, IQueueStore, IShardedStore, LeaseLost
from .relay import ILocalDomains, IRelayPolicy
from .resolver import IResolver
from .route import IListedMailboxes, IRouter
from .serve import IServedConnection, IServedProtocol
from .tls_policy import ITlsPolicy

__all__ = [
    "IBatchingAgent",
    "ICertificateChecker",
    "IDeliveryAgent",
    "IDeparture",
    "IDraft",
    "IFilter",
    "IForeseeingAgent",
    "IInspected",
    "IListedMailboxes",
    "ILocalDomains",
    "IObserver",
    "IPausingAgent",
    "IQueueStore",
    "IRelayPolicy",
    "IResolver",
    "IRouter",
    "IServedConnection",
    "IServedProtocol",
    "IShardedStore",
    "IStoredKeys",
    "ITlsPolicy",
    "ITokenChecker",
    "ITrace",
    "IUserStore",
    "LeaseLost",
]
