"""Limits how much of the window each agent may hold, so that none takes all of it."""

from __future__ import annotations

from collections.abc import Collection


class Shares:
    """Counts the messages that each agent holds: those it works on, and those that wait for it.

    `window` is how many messages are worked on at once. If there are several agents, a quarter of
    the window is reserved for them in equal parts, and the rest is common to all. A message counts
    once for each of its agents, however many parcels of it they have.
    """

    def __init__(self, window: int, agents: Collection[str]) -> None:
        several = len(agents) > 1
        #: How many messages are reserved for each agent.
        self.kept = max(1, window // (4 * len(agents))) if several else 0
        self._common = window - self.kept * len(agents)  # what is free of the common part
        self._held: dict[str, dict[str, int]] = {}  # by agent: parcels by message

    def free(self, agent: str) -> int:
        """How many more messages this agent may hold."""
        own = self.kept - len(self._held.get(agent, ()))
        common = self._common
        return (own if own > 0 else 0) + (common if common > 0 else 0)

    def holds(self, agent: str, message: str) -> bool:
        """True if the agent has a parcel of this message already."""
        return message in self._held.get(agent, ())

    def enter(self, agent: str, message: str) -> None:
        """The agent has one more parcel of this message."""
        held = self._held.get(agent)
        if held is None:
            held = self._held[agent] = {}
        parcels = held.get(message, 0)
        if not parcels and len(held) >= self.kept:
            self._common -= 1
        held[message] = parcels + 1

    def leave(self, agent: str, message: str) -> None:
        """The agent has one parcel of this message less."""
        held = self._held[agent]
        if held[message] > 1:
            held[message] -= 1
            return
        del held[message]
        if len(held) >= self.kept:
            self._common += 1
