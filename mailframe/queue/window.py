"""The messages that are worked on: a limited number of attempts at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ..eventual import Eventual, at_once, is_later
from ..message import Entry
from .attempt import Attempt
from .context import Context


class Window:
    """Runs up to `times.active` attempts; `ended(due)` is called after each.

    `due` is when the rest of the message is due next, None if there is no rest. `backlog` is True
    while more messages are due than there is room for.
    """

    _log = Logger()

    def __init__(self, context: Context, ended: Callable[[float | None], None]) -> None:
        self._context = context
        self._most = context.times.active
        self._on_end = ended
        self._active: dict[str, Attempt] = {}
        self._emptied: Deferred[None] | None = None  # fires when no attempt is active any more
        self.backlog = False

    @property
    def free(self) -> int:
        """How many more messages may be worked on."""
        return self._most - len(self._active)

    @property
    def attempts(self) -> dict[str, Attempt]:
        """The running attempts, by the message's id."""
        return dict(self._active)

    @property
    def has_room(self) -> bool:
        """True if a fresh message may be worked on. While older ones wait, half is for them."""
        most = self._most // 2 if self.backlog else self._most
        return len(self._active) < max(1, most)

    @property
    def wants_more(self) -> bool:
        """True if enough attempts have ended to claim messages for which there was no room."""
        return self.backlog and len(self._active) <= self._most * 3 // 4

    def state(self) -> dict[str, object]:
        """A row for IInspected: how many are worked on, of how many, and if more are due."""
        return {"active": len(self._active), "most": self._most, "backlog": self.backlog}

    def take(self, entry: Entry) -> None:
        """Try this message, which is leased to us. If it is already worked on, that goes on."""
        if entry.id in self._active:
            return
        attempt = Attempt(self._context, entry)
        self._active[entry.id] = attempt
        try:
            running: Eventual[float | None] = attempt.run()
            result = at_once(running)
        except Exception:  # noqa: BLE001
            self._log.failure("{id}: the attempt failed", id=entry.id)
            result = None
        if is_later(result):
            result.addCallbacks(
                self._ended, self._broke, callbackArgs=(entry.id,), errbackArgs=(entry.id,)
            )
        else:
            self._ended(result, entry.id)

    def _broke(self, failure: Any, id: str) -> None:
        # When its lease ends, it is claimed again.
        self._log.failure("{id}: the attempt failed", failure=failure, id=id)
        self._ended(None, id)

    def _ended(self, due: float | None, id: str) -> None:
        del self._active[id]
        if self._emptied is not None and not self._active:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)
        self._on_end(due)

    def lose(self, id: str, attempt: Attempt) -> None:
        """Another owner has this message. Does nothing if the attempt has ended."""
        if self._active.get(id) is attempt:
            attempt.lose()

    def cut_off(self) -> None:
        """Cancel all attempts, which then end soon."""
        self._log.info("{count} deliveries are cut off", count=len(self._active))
        for attempt in list(self._active.values()):
            attempt.cancel()

    def emptied(self) -> Deferred[None]:
        """Fires when no attempt is running any more."""
        if not self._active:
            return succeed(None)
        self._emptied = Deferred()
        return self._emptied
