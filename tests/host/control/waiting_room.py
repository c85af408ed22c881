"""A queue store in memory for tests that only look and change: the operator's half of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailframe.message import Client, Content, Entry, Envelope, Message, Pending, Recipient
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply

NOW = 1_790_000_000.0


def entry(number: int, sender: str = "alice@a.example", to: str = "bob@b.example") -> Entry:
    """A message that waits: "M0001" and so on, tried once, due a minute from NOW."""
    recipient = Recipient(Mailbox.parse(to), came_from=(Mailbox.parse("alias@b.example"),))
    envelope = Envelope(
        f"M{number:04}",
        Client("192.0.2.1", hello="client.example", listener="mx"),
        Mailbox.parse(sender) if sender else None,
        (recipient,),
        signals={"spf": "pass"},
    )
    content = Content(b"Received: by us\r\n", b"Subject: %d\r\n\r\nHi\r\n" % number, 18)
    waits = Pending(recipient, NOW + 60, 1, Reply(451, "Not now", "4.3.0"), "mx.b.example")
    return Entry(Message(envelope.id, envelope, content), (waits,), NOW - 3600)


class WaitingRoom:
    """Messages by id, in order."""

    def __init__(self, *entries: Entry) -> None:
        self.entries = {each.id: each for each in entries}
        self.damaged: list[str] = []

    def find(
        self, after: str = "", limit: int = 100, address: str = "", hold: bool | None = None
    ) -> Sequence[Entry]:
        kept = [
            each
            for id, each in sorted(self.entries.items())
            if id > after and (hold is None or each.hold == hold) and _about(each, address)
        ]
        return kept[:limit]

    async def get(self, id: str) -> Entry | None:
        return self.entries.get(id)

    def counts(self) -> dict[str, int]:
        held = sum(each.hold for each in self.entries.values())
        return {"messages": len(self.entries), "held": held}

    def next_due(self) -> float | None:
        return min((each.pending[0].due for each in self.entries.values()), default=None)

    def corrupt(self) -> Sequence[str]:
        return self.damaged

    def change(self, ids: Sequence[str], verb: str, now: float) -> Sequence[str]:
        if verb not in {"hold", "release", "retry", "delete"}:
            raise ValueError(f"unknown verb {verb!r}")
        changed = [id for id in ids if id in self.entries and not self.entries[id].leased]
        for id in changed:
            if verb == "delete":
                del self.entries[id]
            elif verb == "retry":
                each = self.entries[id]
                due = tuple(replace(pending, due=now) for pending in each.pending)
                self.entries[id] = replace(each, pending=due)
            else:
                self.entries[id] = replace(self.entries[id], hold=verb == "hold")
        return changed


def _about(each: Entry, address: str) -> bool:
    sender = each.message.envelope.sender
    known = [str(pending.recipient.address) for pending in each.pending]
    known += [str(sender)] if sender else []
    return not address or any(one == address or one.endswith(address) for one in known)
