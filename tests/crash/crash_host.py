"""The host that is crashed, and a world around it: clients, a next hop, a book."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from crash_book import Book
from crash_senders import Sender
from crash_sink import Sink

from live_servers import Host, answers, free_port, wait_for

TOML = """
hostname = "mx.ours.example"
state = "state"
[[listen]]
name = "mx"
endpoint = "tcp:{port}:interface=127.0.0.1"
limits = {{ connections_per_client = 100 }}
[[relay]]
plugin = "networks"
networks = ["127.0.0.1"]
[[route]]
plugin = "mailboxes"
domains = ["ours.example"]
file = "mailboxes"
deliver = "maildir"
[[route]]
plugin = "smarthost"
host = "127.0.0.1"
port = {next_hop}
tls = "never"
[queue]
plugin = "sqlite"
{queue}
[retry]
waits = [1, 1, 2]
jitter = 0
[deliver.maildir]
plugin = "maildir"
path = "mail/{{domain}}/{{user}}/Maildir"
[deliver.smtp]
plugin = "smtp"
private = true
back_off = 1
"""

Say = Callable[[str], None]


class World:
    """Enter it to have a host running with `clients` who send to `domain`.

    `relay` sends it on to a next hop whose mood is `always` (crash_sink.MOODS; "": unreliable).
    Leaving kills everything.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 1,
        clients: int = 6,
        relay: bool = False,
        always: str = "take",
        queue: str = "",
        env: dict[str, str] | None = None,
    ) -> None:
        self.book = Book()
        self.sink = Sink(self.book, seed, always)
        self.port = free_port()
        toml = TOML.format(port=self.port, next_hop=self.sink.port, queue=queue)
        boxes = [f"box{client}\nother{client}\n" for client in range(clients)]
        self.host = Host(folder, toml, mailboxes="".join(["sender\n", *boxes]))
        self.host.process._env.update(env or {})
        domain = "far.example" if relay else "ours.example"
        self.senders = [
            Sender(self.book, self.port, seed, client, domain) for client in range(clients)
        ]
        self._stack = ExitStack()

    def __enter__(self) -> World:
        self._stack.enter_context(self.sink)
        self.start()
        for sender in self.senders:
            sender.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for sender in self.senders:
            sender.give_up()
        if self.host.process.process is not None and self.host.process.process.poll() is None:
            self.kill()
        self._stack.close()

    def start(self, seconds: float = 20.0) -> None:
        """Start the host and wait until it answers. AssertionError where it does not."""
        self.host.process.start()
        process = self.host.process.process
        assert process is not None
        wait_for(lambda: answers(self.port) or process.poll() is not None, seconds, "the host")
        assert process.poll() is None, self.host.process.said()[-2000:]

    def kill(self) -> None:
        """SIGKILL for the whole process group."""
        process = self.host.process.process
        assert process is not None
        self.book.kills.append(time.time())
        self.host.process.kill(signal.SIGKILL)
        process.wait()

    def alive(self) -> bool:
        """Whether the host runs; it is a fault where it does not."""
        process = self.host.process.process
        if process is not None and process.poll() is None:
            return True
        self.book.fault(f"the host has ended: {self.host.process.said()[-500:]}")
        return False

    def accepts(self, count: int, seconds: float = 30.0) -> None:
        """Wait until so many messages more are accepted; a fault where they are not."""
        wanted = len(self.book.accepted) + count
        try:
            wait_for(lambda: len(self.book.accepted) >= wanted, seconds, "mail to be accepted")
        except AssertionError as wrong:
            self.book.fault(str(wrong))

    def refuses(self, count: int, *replies: str, seconds: float = 30.0) -> None:
        """Wait until so many of these replies more were given; a fault where they are not."""

        def given() -> int:
            return sum(self.book.replies[reply] for reply in replies)

        wanted = given() + count
        try:
            wait_for(lambda: given() >= wanted, seconds, f"{count} times {' or '.join(replies)}")
        except AssertionError as wrong:
            self.book.fault(f"{wrong}; given were {dict(self.book.replies)}")

    def harvest(self) -> int:
        return self.book.harvest(self.host.folder / "mail")

    def asked(self, *words: str) -> list[Any]:
        """The JSON objects that `mailframe queue …` prints."""
        lines = self.host.command("queue", *words, "--json").splitlines()
        return [json.loads(line) for line in lines]

    def summary(self) -> tuple[dict[str, int], list[str]]:
        """The queue's counts, and what was set aside as damaged."""
        rows = self.asked("summary")
        counts: dict[str, int] = next(row["counts"] for row in rows if "counts" in row)
        return counts, [row["corrupt"] for row in rows if "corrupt" in row]

    def finish(self, seconds: float = 90.0) -> None:
        """Let the clients end, and the queue empty itself with a next hop that takes all."""
        self.sink.always = "take"
        for sender in self.senders:
            sender.finish()
        end = time.monotonic() + seconds
        for sender in self.senders:
            sender.join(max(0.1, min(30, end - time.monotonic())))
            if sender.is_alive():
                self.book.fault(f"{sender.name} did not get its last message accepted")
        self.empty(end - time.monotonic())

    def empty(self, seconds: float) -> None:
        """Wait for the queue to empty itself; what is left is a fault."""
        end = time.monotonic() + seconds
        # What is paused for a dead next hop is tried at once.
        self.host.command("queue", "retry", "--all", check=False)
        while True:
            self.harvest()
            waiting = self.summary()[0]["messages"]
            if not waiting:
                self.harvest()
                return
            if time.monotonic() > end:
                self.book.fault(f"{waiting} messages stay in the queue")
                return
            time.sleep(0.3)

    def leftovers(self) -> None:
        """Stop it in order and start it again: nothing may be left in its folders."""
        self.host.stop()
        self.start()
        counts = self.summary()[0]
        if any(counts.values()):
            self.book.fault(f"after a restart the queue has {counts}")
            return
        bodies = sorted(path.name for path in (self.host.state / "queue" / "bodies").iterdir())
        if bodies:
            self.book.fault(f"{len(bodies)} bodies belong to no message: {bodies[:3]}")
        self.harvest()
