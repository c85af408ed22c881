"""The contract of served protocols: kept by the example, and it finds what breaks it."""

from __future__ import annotations

import importlib.util
import sys
import unittest
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from mailframe.interfaces import IServedProtocol
from mailframe.testing.serving import ServedProtocolContract
from mailframe.testing.values import site

EXAMPLE = Path(__file__).parents[2] / "examples" / "whoami" / "whoami.py"


def whoami() -> Any:
    spec = importlib.util.spec_from_file_location("whoami", EXAMPLE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class TestWhoami(ServedProtocolContract, SynchronousTestCase):
    conversation = b"WHOAMI\r\nSTARTTLS\r\nLOGIN bob secret\r\nno such word\r\nwhoami\r\n"

    def make(self) -> Any:
        return whoami().Whoami({}, site(reactor=self.clock))


@implementer(IServedProtocol)
class Brings:
    protocol = "brought"
    kind: Any = Protocol

    def __init__(self, clock: Any) -> None:
        self.clock = clock

    def session(self, connection: Any) -> Any:
        session = self.kind()
        session.clock = self.clock
        return session


class Chunks(Protocol):
    """Answers by how the octets were cut."""

    def dataReceived(self, data: bytes) -> None:
        self.transport.write(b"%d " % len(data))


class Raises(LineReceiver):
    """Expects text."""

    def lineReceived(self, line: bytes) -> None:
        line.decode("ascii")


class Lingers(Protocol):
    """Forgets a timer."""

    clock: Any

    def connectionMade(self) -> None:
        self.clock.callLater(1000, lambda: None)


class Stays(Protocol):
    """Does not go."""

    def stop(self) -> None:
        self.transport.write(b"no")


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Chunks, "test_any_cut_of_the_octets_is_the_same"),
        (Raises, "test_garbage_is_no_fault"),
        (Lingers, "test_a_client_may_go_at_any_time"),
        (Stays, "test_it_stops"),
    ],
)
def test_what_breaks_the_contract_is_found(kind: Any, test: str) -> None:
    """One fault each."""

    class Case(ServedProtocolContract, SynchronousTestCase):
        conversation = b"one\r\ntwo\r\n"

        def make(self) -> Any:
            plugin = Brings(self.clock)
            plugin.kind = kind
            return plugin

    result = unittest.TestResult()
    Case(test).run(result)
    assert len(result.failures) + len(result.errors) >= 1, result
