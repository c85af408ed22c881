"""The workers of one host, asked as one."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_host import TOML, command, configure
from twisted.internet.defer import maybeDeferred

from mailframe.command_line.siblings import Siblings
from mailframe.host.control import Control
from mailframe.interfaces import IQueueStore
from mailframe.testing.hooks import result_of
from mailframe.testing.values import envelope, site
from mailframe_plugins.queue_memory import Memory, MemoryQueue, Settings, SharedMemoryQueue

NOW = 1_000_000.0


class Answers:
    """A worker with these answers; each must be read to its end before the next question."""

    def __init__(self, **answers: list[dict[str, Any]]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.busy = False

    def ask(self, question: str, **fields: Any) -> Iterator[dict[str, Any]]:
        assert not self.busy
        self.busy = True
        self.asked.append((question, fields))
        yield from self.answers.get(question, [])
        self.busy = False


def ids(*ids: str) -> list[dict[str, Any]]:
    return [{"id": id} for id in ids]


def test_find_is_one_list() -> None:
    """In the order of ids, cut to a page, whoever has them."""
    both = Siblings([Answers(find=ids("A", "D")), Answers(find=ids("B", "C", "E"))])
    assert list(both.ask("find", limit=4, after="")) == ids("A", "B", "C", "D")
    assert list(both.ask("find", limit=9)) == ids("A", "B", "C", "D", "E")


def test_the_one_who_has_it_answers() -> None:
    """Nobody is asked after that; no rows where nobody has it."""
    first, second = Answers(), Answers(get=ids("A"))
    third = Answers(get=ids("wrong"))
    assert list(Siblings([first, second, third]).ask("get", id="A")) == ids("A")
    assert third.asked == []
    assert list(Siblings([first]).ask("get", id="A")) == []


def test_changes_are_everybodys() -> None:
    """Each changes what it has."""
    both = Siblings([Answers(change=ids("A")), Answers(change=ids("B"))])
    assert list(both.ask("change", ids=["A", "B"], verb="hold")) == ids("A", "B")


class Hosted:
    """A worker of a host, asked in this process."""

    def __init__(self, store: IQueueStore) -> None:
        self.control = Control(
            store=store,
            trace=None,
            look=lambda domains: None,
            now=lambda: NOW,
            in_thread=maybeDeferred,
            hostname="mx.example.org",
            workers=2,
        )

    def ask(self, question: str, **fields: Any) -> Iterator[dict[str, Any]]:
        async def rows() -> list[dict[str, Any]]:
            return [row async for row in self.control.answer({"ask": question, **fields})]

        yield from result_of(rows())


def two_workers(stores: Sequence[IQueueStore]) -> Siblings:
    """As they are found by what the first one says of itself."""
    workers = [Hosted(store) for store in stores]
    (about,) = workers[0].ask("ping")
    return Siblings(workers, about["sharded"])


def put(store: IQueueStore, id: str) -> None:
    around = envelope("alice@client.example", "bob@example.org", id=id, received=NOW)
    store.begin(around).commit(around, b"")


def test_one_store_of_all_is_asked_once() -> None:
    """What two workers share is listed, counted and changed once."""
    memory = Memory(1 << 20)
    stores = [SharedMemoryQueue(Settings(), site(), memory) for _ in range(2)]
    put(stores[0], "M1")
    put(stores[1], "M2")
    both = two_workers(stores)
    assert [row["id"] for row in both.ask("find")] == ["M1", "M2"]
    assert [row["id"] for row in both.ask("get", id="M2")] == ["M2"]
    (summary,) = both.ask("summary")
    assert summary["counts"]["messages"] == 2
    assert list(both.ask("change", ids=["M1", "M2"], verb="hold")) == ids("M1", "M2")
    assert list(both.ask("get", id="M3")) == []


def test_stores_of_their_own_are_all_asked() -> None:
    """Each worker's part is listed, counted and changed."""
    stores = [MemoryQueue(Settings(), site(worker=number)) for number in range(2)]
    put(stores[0], "M1")
    put(stores[1], "M2")
    both = two_workers(stores)
    assert [row["id"] for row in both.ask("find")] == ["M1", "M2"]
    (summary,) = both.ask("summary")
    assert summary["counts"]["messages"] == 2
    assert list(both.ask("change", ids=["M1", "M2"], verb="hold")) == ids("M1", "M2")


def test_the_summary_is_a_sum() -> None:
    """Counts are added, the next due is the earliest, what is damaged is listed."""

    def said(count: int, due: float | None) -> list[dict[str, Any]]:
        return [{"counts": {"messages": count}, "next_due": due}, {"corrupt": f"{count}"}]

    both = Siblings([Answers(summary=said(3, None)), Answers(summary=said(4, 7.0))])
    assert list(both.ask("summary")) == [
        {"counts": {"messages": 7}, "next_due": 7.0}, {"corrupt": "3"}, {"corrupt": "4"},
    ]  # fmt: skip


def test_traces_are_told_once() -> None:
    """The last one asked knows what all have written; what only one knows is there too."""
    rows = [{"id": "M1", "time": time} for time in range(4)]
    shared = Siblings([Answers(trace=rows[:2]), Answers(trace=rows[:3])])
    assert list(shared.ask("trace", of="M1")) == rows[:3]
    own = Siblings([Answers(trace=rows[:2]), Answers(trace=rows[2:])])
    assert len(list(own.ask("trace", of="M1"))) == 4


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state folder of a host with three workers, as it is in its configuration."""
    configure(tmp_path, TOML.replace("state =", "workers = 3\nstate ="))
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def door(state: Path, name: str, workers: int, sharded: bool = True) -> socket.socket:
    """A worker's control socket: it has one message, of its own name."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(state / name))
    listening.listen()

    def serve() -> None:
        channel, _ = listening.accept()
        with channel, channel.makefile("rwb", buffering=0) as lines:
            for line in lines:
                rows = {
                    "ping": [{"workers": workers, "sharded": sharded}],
                    "get": [{"id": name}] if json.loads(line).get("id") == name else [],
                    "change": [{"id": name}],
                }[json.loads(line)["ask"]]
                answer = [*({"row": row} for row in rows), {"done": True}]
                lines.write("".join(json.dumps(each) + "\n" for each in answer).encode())

    threading.Thread(target=serve, daemon=True).start()
    return listening


def test_all_doors_are_tried(state: Path) -> None:
    """As many as there are workers now, whatever the configuration says by now."""
    doors = [door(state, "control", 2), door(state, "control.1", 2)]
    said = command(state.parent / "mailframe.toml", "queue", "hold", "control", "control.1")
    assert (said.exit_code, said.stdout) == (0, "2 on hold\n")
    for each in doors:
        each.close()


def test_one_door_of_a_shared_queue_is_enough(state: Path) -> None:
    """All are found, and the first one is asked for what all have."""
    doors = [door(state, "control", 2, False), door(state, "control.1", 2, False)]
    said = command(state.parent / "mailframe.toml", "queue", "hold", "control")
    assert (said.exit_code, said.stdout) == (0, "1 on hold\n")
    for each in doors:
        each.close()


def test_a_worker_that_is_missing(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited for, and then named: half an answer would be a wrong one."""
    monkeypatch.setattr("mailframe.command_line.session.RESTART", 0.3)
    doors = [door(state, "control.1", 3)]
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(state / "control.2"))
    said = command(state.parent / "mailframe.toml", "queue", "show", "M1", "--json")
    assert said.exit_code == 69
    assert "of 3 workers those do not answer: 0, 2" in said.stderr
    for each in (*doors, dead):
        each.close()
