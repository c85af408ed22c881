"""A whole host inside a test: it runs on a free port and keeps the mail that it was sent.

    from mailframe.testing.host import host

    def test_a_welcome_is_sent():
        with host() as mail:
            register("bob@example.org", smtp=(mail.address, mail.port))
            [welcome] = mail.wait_for(1)
        assert welcome.recipients == ("bob@example.org",)
        assert welcome.subject == "Welcome"

The host is a twistd process of its own, so the tests themselves may use threads, asyncio or
Twisted.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from .sink import SentMail, sent_mail

#: A host that accepts all mail from this machine and keeps it in `sent`.
SINK = """\
hostname = "localhost"
state = "state"

[[listen]]
name = "smtp"
endpoint = "tcp:0:interface=127.0.0.1"

[[relay]]
plugin = "networks"
networks = ["127.0.0.0/8"]

[[route]]
plugin = "mailframe.testing.sink:Everybody"

[queue]
plugin = "memory"

[deliver.sink]
plugin = "mailframe.testing.sink:Remember"
"""
_TWISTD = "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()"
_LOOK = 0.02  # seconds between two looks at the other process


class HostFailed(AssertionError):
    """The host did not start, or something did not happen in time. The text includes its log."""


class RunningHost:
    """What a test can ask of a host; see `host`. `folder` is the folder of its configuration."""

    address = "127.0.0.1"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "mailframe.toml"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ports(self) -> dict[str, int]:
        """The port of each listener, by its name; {} before the host is ready."""
        file = self.folder / "state" / "ports"
        try:
            return {name: place[1] for name, place in json.loads(file.read_text()).items()}
        except FileNotFoundError:
            return {}

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return next(iter(self.ports.values()))

    @property
    def messages(self) -> list[SentMail]:
        """The messages delivered so far by `mailframe.testing.sink:Remember`, oldest first."""
        return sent_mail(self.folder / "sent")

    @property
    def log(self) -> str:
        """The host's log so far."""
        file = self.folder / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def wait_for(self, count: int, seconds: float = 10.0) -> list[SentMail]:
        """All messages, once there are so many. Raises HostFailed if that takes longer."""
        end = time.monotonic() + seconds
        while len(found := self.messages) < count:
            if time.monotonic() > end:
                raise HostFailed(
                    f"{len(found)} of {count} messages came in {seconds} s\n{self.log}"
                )
            time.sleep(_LOOK)
        return found

    def forget(self) -> None:
        """Remove all messages that were delivered so far."""
        shutil.rmtree(self.folder / "sent", ignore_errors=True)

    def start(self, seconds: float = 30.0) -> None:
        """Start it; returns when clients are accepted. Raises HostFailed."""
        words = [
            sys.executable,
            "-c",
            _TWISTD,
            "-n",
            "--pidfile=",
            "mailframe",
            "-c",
            str(self.config),
        ]
        # The plugins can import whatever the tests can.
        path = os.pathsep.join(each or os.getcwd() for each in sys.path)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                words,
                cwd=self.folder,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        end = time.monotonic() + seconds
        while not self.ports:
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise HostFailed(f"the host did not start\n{self.log}")
            time.sleep(_LOOK)

    def stop(self, seconds: float = 10.0) -> None:
        """Stop it; it is killed if it does not end in that time."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(FileNotFoundError):
            (self.folder / "state" / "ports").unlink()


@contextlib.contextmanager
def host(
    toml: str = SINK, *, folder: Path | None = None, files: Mapping[str, str] | None = None
) -> Iterator[RunningHost]:
    """A host with this configuration, in a folder of its own, until the block ends.

    `toml` may be your own. Its `state` must be "state", and its endpoints should be
    "tcp:0:interface=127.0.0.1". The test sees the messages of a `[deliver.NAME]` with `plugin =
    "mailframe.testing.sink:Remember"`. `files` are put beside the configuration, by name
    ("mailboxes", "my_plugin.py"). A given `folder` is kept afterwards. Raises HostFailed.
    """
    with contextlib.ExitStack() as stack:
        if folder is None:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="mailframe-")))
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {**(files or {}), "mailframe.toml": toml}.items():
            (folder / name).write_text(text, "utf-8")
        running = RunningHost(folder)
        running.start()
        stack.callback(running.stop)
        yield running
