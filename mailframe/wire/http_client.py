"""Asks web servers: certificates are verified, answers are limited, connections are reused."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredSemaphore
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import (
    Agent,
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
    ResponseDone,
)
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from .client_tls import read_authorities

MOST = 64 << 10  # octets of an answer


class HttpClient:
    """Sends requests, with a limit for how many at once; follows no redirects.

    `authorities` is a PEM file of the certificate authorities to trust, None for the platform's.
    OSError or ValueError if it cannot be used.
    """

    def __init__(self, reactor: Any, *, authorities: Path | None, connections: int) -> None:
        trust = {} if authorities is None else {"trustRoot": read_authorities(authorities)}
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = connections
        self._agent = Agent(
            reactor,
            BrowserLikePolicyForHTTPS(**trust),
            connectTimeout=10.0,
            pool=self._pool,
        )
        self._at_once = DeferredSemaphore(connections)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """The status of the answer and its body.

        Raises ValueError if the body is longer than MOST, and Twisted's exceptions for a server
        that cannot be reached or whose certificate is wrong. There is no time limit; the caller
        cancels.
        """
        await self._at_once.acquire()
        try:
            response: IResponse = await self._agent.request(
                b"POST",
                url.encode("ascii"),
                Headers({name: [value] for name, value in headers.items()}),
                FileBodyProducer(BytesIO(body)),
            )
            return response.code, await _body(response)
        finally:
            self._at_once.release()

    def close(self) -> Deferred[None]:
        """Close the idle connections."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed


def _body(response: IResponse) -> Deferred[bytes]:
    reading = _Body()
    response.deliverBody(reading)
    return reading.whole


class _Body(Protocol):
    """Collects an answer, and stops if it is too long or was cancelled."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._break_off())
        self._octets = b""

    def dataReceived(self, data: bytes) -> None:
        self._octets += data
        if len(self._octets) > MOST:
            self._fail(ValueError(f"the answer has more than {MOST} octets"))
            self._break_off()

    def _break_off(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()

    def _fail(self, why: Exception | Failure) -> None:
        if not self.whole.called:
            self.whole.errback(why)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.whole.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.whole.callback(self._octets)
        else:
            self._fail(reason)
