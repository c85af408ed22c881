"""The demo's name server. It gives sandbox.example and world.example exchanges on loopback."""

from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred

from mailframe.testing.dns import DnsServer

ZONE = """
sandbox.example     MX 10 mx.sandbox.example
mx.sandbox.example  A  127.0.0.1
world.example       MX 10 mx.world.example
mx.world.example    A  127.0.0.1
"""


async def serve(reactor: Any) -> None:
    """Answer on UDP and TCP port 2553 until the process is ended."""
    DnsServer(ZONE).start(reactor, 2553)
    await task.deferLater(reactor, 10**9)


if __name__ == "__main__":
    task.react(lambda reactor: Deferred.fromCoroutine(serve(reactor)))
