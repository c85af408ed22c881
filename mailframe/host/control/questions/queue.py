"""The queue, and changes to it: `find`, `get`, `content`, `change`, `summary`."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ....eventual import settled
from ....message import AuthResult, Entry, Pending
from ..question import PAGE, Ask, Question, Row, Rows, by_id, of_each
from ..subject import Refused, Subject

CHUNK = 48 << 10  # octets of a message's content in one row


async def _find(
    control: Subject, after: str = "", limit: int = 100, address: str = "", hold: bool | None = None
) -> Rows:
    page = min(int(limit), PAGE)
    for entry in await settled(control.queue.find(after, page, address, hold)):
        yield entry_row(entry)


async def _get(control: Subject, id: str) -> Rows:
    entry = await settled(control.queue.get(id))
    if entry is not None:
        yield entry_row(entry)


async def _content(control: Subject, id: str) -> Rows:
    entry = await settled(control.queue.get(id))
    if entry is None:
        return
    file = await control.in_thread(entry.message.content.open)
    try:
        while octets := await control.in_thread(file.read, CHUNK):
            yield {"octets": base64.b64encode(octets).decode("ascii")}
    finally:
        file.close()


async def _change(control: Subject, ids: list[str], verb: str) -> Rows:
    if len(ids) > PAGE:
        raise Refused(f"at most {PAGE} messages at once")
    changed = await settled(control.queue.change([str(id) for id in ids], verb, control.now()))
    about: dict[str, Row] = {}
    if changed and verb in {"retry", "release"}:
        about = await _look(control, changed)
    for id in changed:
        yield {"id": id, **about.get(id, {})}


async def _look(subject: Subject, ids: Sequence[str]) -> dict[str, Row]:
    """Have these messages tried. Returns what keeps some of them from it, as CHANGE says."""
    entries = [await settled(subject.queue.get(id)) for id in ids]
    domains = {
        entry.id: {pending.recipient.address.domain for pending in entry.pending}
        for entry in entries
        if entry is not None
    }
    failing = subject.look(frozenset[str]().union(*domains.values()))
    if failing is None:
        return {id: {"host": False} for id in ids}
    about: dict[str, Row] = {}
    for entry in entries:
        if entry is not None and entry.hold:
            about[entry.id] = {"hold": True}
        elif entry is not None and domains[entry.id] and domains[entry.id] <= failing.keys():
            about[entry.id] = {"after": failing[min(domains[entry.id])]}
    return about


async def _summary(control: Subject) -> Rows:
    queue = control.queue
    counts = await settled(queue.counts())
    next_due = await settled(queue.next_due())
    yield {"counts": counts, "next_due": next_due}
    for line in await settled(queue.corrupt()):
        yield {"corrupt": line}


def _summed(workers: Sequence[Ask], **fields: Any) -> Iterator[Row]:
    """The sums of all counts and the earliest due time, then the other rows."""
    counts: Counter[str] = Counter()
    due: list[float] = []
    others: list[Row] = []
    for row in of_each(workers, **fields):
        if "counts" in row:
            counts.update(row["counts"])
            due += [] if row["next_due"] is None else [row["next_due"]]
        else:
            others.append(row)
    yield {"counts": dict(counts), "next_due": min(due, default=None)}
    yield from others


def entry_row(entry: Entry) -> Row:
    """A queued message as JSON: addresses as text, times in seconds since the epoch."""
    envelope = entry.message.envelope
    return {
        "id": entry.id,
        "created": entry.created,
        "size": entry.message.content.size,
        "sender": "" if envelope.sender is None else str(envelope.sender),
        "hold": entry.hold,
        "held": envelope.held if entry.hold else "",
        "leased": entry.leased,
        "client": envelope.client.address,
        "hello": envelope.client.hello,
        "listener": envelope.client.listener,
        "user": envelope.client.user,
        "signals": dict(envelope.signals),
        "results": [_result_row(each) for each in envelope.results],
        "envid": envelope.envid,
        "recipients": [_pending_row(pending) for pending in entry.pending],
    }


def _result_row(result: AuthResult) -> Row:
    return {
        "method": result.method,
        "result": result.result,
        "reason": result.reason,
        "properties": dict(result.properties),
    }


def _pending_row(pending: Pending) -> Row:
    return {
        "address": str(pending.recipient.address),
        "original": str(pending.recipient.original),
        "due": pending.due,
        "attempts": pending.attempts,
        "last": None if pending.last is None else str(pending.last),
        "remote": pending.remote,
    }


#: One page of the messages after the id `after`, one row each (`entry_row`); see IQueueStore.find.
FIND = Question("find", _find, by_id)
#: The message `id`; no row if there is none.
GET = Question("get", _get)
#: The octets of the message `id` in base64, CHUNK of them in a row.
CONTENT = Question("content", _content)
#: Does `verb` (IQueueStore.change) with at most PAGE `ids`; one row for each that was changed.
#: After "retry" and "release" a row also says what keeps the message from being tried now:
#: `hold`; or `after`, a place that fails, which one message tries first; or `host` false.
CHANGE = Question("change", _change, of_each)
#: One row with the counts and the time when the next message is due, and one for each damaged one.
SUMMARY = Question("summary", _summary, _summed)
