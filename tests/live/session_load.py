"""Many short sessions, each a connection of its own that brings one message, all counted.

python tests/live/session_load.py HOST PORT CONNECTIONS [AT_ONCE [SECONDS_OF_A_SESSION]]
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field

PATIENCE = 60.0  # seconds for one reply


@dataclass
class Load:
    """Brings `count` messages, `at_once` sessions at a time.

    A session takes up to `linger` seconds, most of it between two commands. `accepted` are
    the numbers of messages that got 250; `troubles` says what went wrong how often: a
    connection refused, a session broken, a reply other than the expected one.
    """

    host: str
    port: int
    count: int
    at_once: int = 50
    linger: float = 0.0
    recipient: str = "alice@example.org"
    accepted: set[int] = field(default_factory=set)
    troubles: Counter[str] = field(default_factory=Counter)
    stopped: bool = False

    def start(self) -> threading.Thread:
        """Begin, in a thread."""
        thread = threading.Thread(target=self.run)
        thread.start()
        return thread

    def run(self) -> None:
        """All of it."""
        asyncio.run(self._run())

    async def _run(self) -> None:
        numbers = iter(range(self.count))
        await asyncio.gather(*(self._sessions(numbers) for _ in range(self.at_once)))

    async def _sessions(self, numbers: object) -> None:
        for number in numbers:  # type: ignore[attr-defined]
            if self.stopped:
                return
            try:
                await asyncio.wait_for(self._session(number), PATIENCE)
            except (OSError, EOFError, AssertionError, TimeoutError) as wrong:
                self.troubles[f"{type(wrong).__name__}: {wrong}"] += 1

    async def _session(self, number: int) -> None:
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            pauses = [random.random() for _ in range(5)]
            total = sum(pauses) / random.random() or 1.0
            commands = (
                ("", "220"),
                ("EHLO client.example", "250"),
                ("MAIL FROM:<b@client.example>", "250"),
                (f"RCPT TO:<{self.recipient}>", "250"),
                ("DATA", "354"),
                (f"Subject: n{number}\r\n\r\nHello\r\n.", "250"),
            )
            for place, (command, expected) in enumerate(commands):
                if command:
                    await asyncio.sleep(self.linger * pauses[place - 1] / total)
                    writer.write(f"{command}\r\n".encode())
                reply = await self._reply(reader, command.split("\r\n")[0] or "connect")
                assert reply.startswith(expected), f"{command[:12]!r}: {reply.strip()}"
            self.accepted.add(number)
            writer.write(b"QUIT\r\n")
            await self._reply(reader, "QUIT")
        finally:
            writer.close()

    async def _reply(self, reader: asyncio.StreamReader, after: str) -> str:
        while True:
            line = await reader.readline()
            if not line:
                raise EOFError(f"closed after {after[:12]!r}")
            if line[3:4] != b"-":
                return line.decode()


def main() -> None:
    host, port, count, *more = sys.argv[1:]
    at_once, linger = [*more, "50", "0"][0], [*more[1:], "0"][0]
    load = Load(host, int(port), int(count), int(at_once), float(linger))
    load.run()
    print(json.dumps({"accepted": len(load.accepted), "troubles": load.troubles}))


if __name__ == "__main__":
    main()
