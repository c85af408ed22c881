"""A contract for durable queue stores: killed, or given EIO, at every write, sync and rename.

    class TestMyStore(FailingDiskContract, TestCase):       # unittest.TestCase
        store = "my_module:my_store"     # def my_store(folder: Path, reactor) -> IQueueStore

Each run is a process of its own under strace(1). strace kills it at its N-th call of one kind, or
makes that call fail. Then another process lists what is left. The store must keep these promises:

- A message that was committed and not finished is there, complete, with the recipients that were
  recorded last.
- A message that was finished is gone.
- No message is there in part, and none that was aborted. A message whose commit failed is not there
  after the store was closed properly. (If the process dies during a commit, the message may remain,
  because no caller was told anything.)
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..message import Entry, Pending
from .queue_drafts import BODY, HEADERS, NOW, soon
from .values import envelope, recipient

if TYPE_CHECKING:
    from unittest import TestCase as _Base
else:
    _Base = object

CALLS = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "rename", "unlink", "fallocate")
_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_PATH = re.compile(r"^(?:\d+)?[<\"]([^>\"]*)[>\"]")
SIZES = (10, 3000, 400_000, 50, 2_000_000, 100_000)  # octets of the messages M0, M1, …


def _body(number: int) -> bytes:
    return (BODY * (SIZES[number] // len(BODY) + 1))[: SIZES[number]]


def _print(what: str, id: str) -> None:
    os.write(1, f"{what} {id}\n".encode())


async def work(store: Any) -> None:
    """Commit six messages, finish M0 and M2, defer M1, abort a draft; print what is promised."""
    entries: dict[str, Entry] = {}
    for number in range(len(SIZES)):
        id = f"M{number}"
        try:
            entries[id] = await _put(store, number)
        except OSError:
            _print("failed", id)
            continue
        _print("committed", id)
    for id in ("M0", "M1", "M2"):
        if id not in entries:
            continue
        left = [Pending(recipient(), NOW + 60, 7)] if id == "M1" else []
        _print("changing", id)
        try:
            await soon(store.record(id, left))
        except OSError:
            continue
        _print("deferred" if left else "finished", id)
    try:
        draft = store.begin(envelope("a@b.example", "bob@example.org", id="A"))
        await soon(draft.write(b"x" * 600_000))
    except OSError:
        return
    draft.abort()


async def _put(store: Any, number: int) -> Entry:
    around = envelope("alice@client.example", "bob@example.org", id=f"M{number}")
    draft = store.begin(around)
    body = _body(number)
    try:
        for start in range(0, len(body), 1 << 16):
            await soon(draft.write(body[start : start + (1 << 16)]))
        entry: Entry = await soon(draft.commit(around, HEADERS, NOW + 300 if number < 3 else None))
    except OSError:
        draft.abort()
        raise
    return entry


async def look(store: Any) -> None:
    """Print what is in the store, one JSON object in a line."""
    from twisted.internet.threads import deferToThread

    for entry in await soon(store.find()):

        def digest(entry: Entry = entry) -> str:
            with entry.message.content.open() as file:
                return hashlib.sha256(file.read()).hexdigest()

        sum = await deferToThread(digest)
        row = {"id": entry.id, "sum": sum, "tries": [each.attempts for each in entry.pending]}
        os.write(1, json.dumps(row).encode() + b"\n")


class FailingDiskContract(_Base):
    """Mix it into a unittest.TestCase.

    For each kind of call on each file, `points` of the calls are tried, evenly spread. Of all of
    these, one in `one_in` is run, for a shorter test.
    """

    store = ""
    points = 12
    one_in = 1

    def setUp(self) -> None:
        """Skip the tests if strace is missing."""
        if shutil.which("strace") is None:
            self.skipTest("strace is missing")
        self.base = Path(tempfile.mkdtemp())
        self.folder = self.base / "store"
        self.addCleanup(shutil.rmtree, self.base, ignore_errors=True)

    def test_all_goes_well(self) -> None:
        """With a disk that works, the work is done.

        Otherwise the other tests would show nothing.
        """
        said, there = self._after("", "")
        self.assertEqual(
            said,
            [f"committed M{number}" for number in range(len(SIZES))]
            + ["changing M0", "finished M0", "changing M1", "deferred M1"]
            + ["changing M2", "finished M2"],
        )
        self.assertEqual(sorted(there), ["M1", "M3", "M4", "M5"])
        self._judge(said, there, in_order=True)

    def test_killed_at_every_call(self) -> None:
        """The promises hold at whatever call the process is killed."""
        for call, path, number in self._all_points():
            with self.subTest(call=call, path=path, number=number):
                said, there = self._after(path, f"inject={call}:signal=KILL:when={number}")
                self._judge(said, there, in_order=False)

    def test_every_call_fails(self) -> None:
        """The promises hold whatever call fails, alone or with all later ones of its kind."""
        for call, path, number in self._all_points():
            for when in (f"{number}", f"{number}+"):
                with self.subTest(call=call, path=path, when=when):
                    said, there = self._after(path, f"inject={call}:error=EIO:when={when}")
                    self._judge(said, there, in_order=when == f"{number}")

    def _all_points(self) -> list[tuple[str, str, int]]:
        """Calls that change something in the folder: kind, path, and which call of these it is."""
        output = self.base / "calls"
        self._run("work", self.folder, ["-y", "-s0", "-o", str(output)])
        shutil.rmtree(self.folder)
        counts: Counter[tuple[str, str]] = Counter()
        for line in output.read_text(errors="replace").splitlines():
            found = _CALL.match(line)
            place = _PATH.search(found[2]) if found else None
            if found and place and place[1].startswith(f"{self.folder}/"):
                counts[found[1], place[1]] += 1
        points: list[tuple[str, str, int]] = []
        for (call, path), most in sorted(counts.items()):
            step = max(1, -(-most // self.points))
            points += [(call, path, number) for number in range(1, most + 1, step)]
        return points[:: self.one_in]

    def _after(self, path: str, inject: str) -> tuple[list[str], dict[str, Any]]:
        """What a run with this fault was promised, and what is there afterwards."""
        words = ["-o", "/dev/null", "-P", path, "-e", inject] if path else ["-o", "/dev/null"]
        said = self._run("work", self.folder, words).splitlines()
        rows = [json.loads(line) for line in self._run("look", self.folder, None).splitlines()]
        shutil.rmtree(self.folder)
        return said, {row["id"]: row for row in rows}

    def _run(self, verb: str, folder: Path, strace: list[str] | None) -> str:
        folder.mkdir(exist_ok=True)
        words = [sys.executable, "-m", __name__, verb, self.store, str(folder)]
        if strace is not None:
            words = ["strace", "-f", "-qq", "-e", f"trace={','.join(CALLS)}", *strace, *words]
        path = os.pathsep.join(each for each in sys.path if each)
        done = subprocess.run(
            words, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        if strace is None:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def _judge(self, said: list[str], there: dict[str, Any], in_order: bool) -> None:
        facts = {tuple(line.split(" ")) for line in said}
        for id, row in there.items():
            self.assertIn(id[0], "M", f"{id} was aborted and is there: {said}")
            expected = hashlib.sha256(HEADERS + _body(int(id[1:]))).hexdigest()
            self.assertEqual(row["sum"], expected, f"{id} is not whole: {said}")
            if ("deferred", id) in facts:
                self.assertEqual(row["tries"], [7], f"{id} has other recipients: {said}")
            if in_order:
                self.assertNotIn(("failed", id), facts, f"{id} failed and is there: {said}")
            self.assertNotIn(("finished", id), facts, f"{id} is finished and is there: {said}")
        for fact, id in facts:
            if fact == "committed" and id not in there:
                ended = id in ("M0", "M2") and ("changing", id) in facts
                self.assertTrue(ended, f"{id} is lost: {said}")


async def _main(reactor: Any, verb: str, name: str, folder: str) -> None:
    module, _, function = name.partition(":")
    store = getattr(importlib.import_module(module), function)(Path(folder), reactor)
    await (work if verb == "work" else look)(store)
    await soon(store.close())


if __name__ == "__main__":
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    react(
        lambda reactor, *words: Deferred.fromCoroutine(_main(reactor, *words)),
        sys.argv[1:],
    )
