"""Plays one plan against a port, with the model listening in: the oracle of one session."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fuzz_model import Awaits, Model
from fuzz_plan import Plan
from fuzz_replies import Broken, ReplyReader
from fuzz_wire import Wire

PATIENCE = 15.0  # seconds for a reply that is owed; the machine may be busy
IDLE = 4.0  # seconds: the server's command and data timeout in these runs


@dataclass
class Session:
    """One session. `transcript` has what was sent (C), heard (S) and done (T)."""

    plan: Plan
    ports: dict[str, int]
    cadata: str
    model: Model = field(init=False)
    transcript: list[tuple[str, bytes]] = field(default_factory=list)
    port: int = 0
    slowest: float = 0.0  # seconds that the server let us wait for a reply

    def run(self) -> None:
        """Raises Broken."""
        implicit = self.plan.listener == "smtps"
        self.model = Model(lmtp=self.plan.listener == "lmtp", secure=implicit)
        self.reader = ReplyReader()
        self.wire = Wire(self.ports[self.plan.listener], self.cadata)
        self.port = self.wire.port
        aborted = False
        try:
            if implicit and not self.wire.start_tls():
                raise Broken("no TLS at the implicit listener")
            for what, octets in self.plan.steps:
                if self.wire.ended or self.model.awaits is Awaits.END:
                    break
                aborted = what == "abort"
                _STEPS[what](self, octets)
            if not aborted:
                self._end()
        finally:
            self.wire.close(aborted)

    def _send(self, octets: bytes) -> None:
        self.transcript.append(("C", octets))
        self.model.sent(octets)
        self.wire.write(octets)
        self._hear(0.0)

    def _wait(self, octets: bytes = b"") -> None:
        """Until nothing is owed."""
        since = time.monotonic()
        while self.model.awaits is Awaits.REPLY or self.wire.unsent:
            heard = self._hear(0.05)
            now = time.monotonic()
            if heard:
                self.slowest = max(self.slowest, now - since)
                since = now
            if self.wire.ended:
                return
            if now - since > PATIENCE:
                raise Broken(f"no reply within {PATIENCE} s")

    def _tls(self, octets: bytes) -> None:
        if self.model.awaits is not Awaits.TLS:
            return
        self.transcript.append(("T", b"handshake"))
        if self.wire.start_tls():
            self.model.secured()
        elif not self.model.injected:
            raise Broken("the TLS handshake failed")

    def _stall(self, octets: bytes) -> None:
        """Say nothing more: the server must close."""
        until = time.monotonic() + IDLE + PATIENCE
        while not self.wire.ended:
            self._hear(0.2)
            if time.monotonic() > until:
                raise Broken(f"an idle client was not closed after {IDLE} s")

    def _quit(self, octets: bytes) -> None:
        self._send(b"QUIT\r\n")

    def _hear(self, seconds: float) -> bytes:
        octets = self.wire.turn(seconds)
        if octets and self.model.awaits is not Awaits.TLS:
            self.transcript.append(("S", octets))
            for reply in self.reader.feed(octets):
                self.model.heard(reply)
        return octets

    def _end(self) -> None:
        """Whatever is owed must come, and after the last word the end."""
        self._wait()
        until = time.monotonic() + PATIENCE
        while self.model.awaits is Awaits.END and not self.wire.ended:
            self._hear(0.05)
            if time.monotonic() > until:
                raise Broken("the server said its last word and does not close")
        if not self.wire.ended or self.model.awaits is Awaits.END:
            return
        if self.reader.midway and not self.wire.reset:
            raise Broken("the server closed amid a reply")
        if not self.model.may_hang_up:
            raise Broken(f"the server hung up; the client awaited {self.model.awaits.value}")

    def shown(self) -> str:
        """The transcript for people."""
        lines = [f"--- listener {self.plan.listener}"]
        for who, octets in self.transcript:
            text = octets if len(octets) <= 400 else octets[:300] + b" ... " + octets[-80:]
            lines.append(f"{who} {len(octets):6} {text!r}")
        return "\n".join(lines)


def _do_nothing(session: Session, octets: bytes) -> None:
    """abort: the close does it."""


_STEPS: dict[str, Callable[[Session, bytes], None]] = {
    "send": Session._send,
    "wait": Session._wait,
    "tls": Session._tls,
    "stall": Session._stall,
    "quit": Session._quit,
    "abort": _do_nothing,
}
