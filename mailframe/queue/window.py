"""The messages that are worked on: a bounded number of attempts at a time."""

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

    `due` is when what is left of the message is due next, None for nothing. `backlog` is True
    while more is due than there is room for.
    """

    _log = Logger()

    def __init__(self, context: Context, ended: Callable[[float | None], None]) -> None:
        self._context = context
        self._most = context.times.active
        self._on_end = ended
        self._active: dict[str, Attempt] = {}
        self._emptied: Deferred[None] | None = None  # fires when none is active any more
        self.backlog = False

    @property
    def free(self) -> int:
        """How many more may be worked on."""
        return self._most - len(self._active)

    @property
    def attempts(self) -> dict[str, Attempt]:
        """What is worked on now, by the message's id."""
        return dict(self._active)

    @property
    def has_room(self) -> bool:
        """True if a fresh message may be worked on: while older ones wait they get one half."""
        most = self._most // 2 if self.backlog else self._most
        return len(self._active) < max(1, most)

    @property
    def wants_more(self) -> bool:
        """True if enough has ended to claim again of what there was no room for."""
        return self.backlog and len(self._active) <= self._most * 3 // 4

    def state(self) -> dict[str, object]:
        """A row for IInspected: how many are worked on, of how many, and whether more is due."""
        return {"active": len(self._active), "most": self._most, "backlog": self.backlog}

    def take(self, entry: Entry) -> None:
        """Try this message, leased to us; one that is worked on already goes on as it is."""
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
        # Its lease runs out, then it is claimed again.
        self._log.failure("{id}: the attempt failed", failure=failure, id=id)
        self._ended(None, id)

    def _ended(self, due: float | None, id: str) -> None:
        del self._active[id]
        if self._emptied is not None and not self._active:
            emptied, self._emptied = self._emptied, None
            emptied.callback(None)
        self._on_end(due)

    def lose(self, id: str, attempt: Attempt) -> None:
        """Somebody else has this message, if the attempt at it still goes on."""
        if self._active.get(id) is attempt:
            attempt.lose()

    def cut_off(self) -> None:
        """End all attempts soon."""
        self._log.info("{count} deliveries are cut off", count=len(self._active))
        for attempt in list(self._active.values()):
            attempt.cancel()

    def emptied(self) -> Deferred[None]:
        """Fires when nothing is worked on any more."""
        if not self._active:
            return succeed(None)
        self._emptied = Deferred()
        return self._emptied
