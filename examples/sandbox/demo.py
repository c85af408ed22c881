"""`make demo`: a mail host on loopback, a second host as the rest of the world, and mail.

    python examples/sandbox/demo.py [--once]

It starts both hosts and a name server, sends five messages, shows the decisions about each as
they are made, and keeps running until Ctrl-C. With `--once` it ends after the messages, and its
exit status is 0 if each message ended as it should.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import ports
from ports import PORTS

from mailframe.testing.certificates import make_authority

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
FILES = TOP / ".demo"
CONFIG = HERE / "mailframe.toml"
WORLD = HERE / "world" / "mailframe.toml"
PROGRAMS = Path(sys.executable).parent
USER, PASSWORD = "alice@sandbox.example", "wonderland"
PATIENCE = 60.0  # seconds within which a message must end as it should


@dataclass(frozen=True)
class Scene:
    """One message: its sender, its recipient, how it is sent, and how it should end."""

    title: str
    sender: str
    recipient: str
    submitted: bool
    end: str  # the last verdict about it; "refused" if RCPT should be refused


SCENES = (
    Scene(
        "1. A stranger writes to Bob: delivered to his Maildir",
        "carol@world.example", "bob@sandbox.example", False, "delivered",
    ),
    Scene(
        "2. Alice logs in and writes to Dave: relayed by MX",
        USER, "dave@world.example", True, "passed on",
    ),
    Scene(
        "3. A stranger wants to send to a third party: refused, this is no open relay",
        "mallory@world.example", "victim@elsewhere.example", False, "refused",
    ),
    Scene(
        "4. Alice writes to Carol, whose host says: come again. Deferred, then delivered",
        USER, "carol@world.example", True, "passed on",
    ),
    Scene(
        "5. Alice writes to nobody at the world's host: bounced, the report is in her Maildir",
        USER, "nobody@world.example", True, "failed",
    ),
)  # fmt: skip


def say(text: str = "") -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def prepare() -> None:
    """Make new certificates and a user, and an empty folder for the mail, all under .demo."""
    shutil.rmtree(FILES, ignore_errors=True)
    FILES.mkdir()
    make_authority().issue("mx.sandbox.example").write_live(FILES / "certificates")
    subprocess.run(
        [PROGRAMS / "mailframe", "-c", CONFIG, "user", "add", USER, "--stdin"],
        input=PASSWORD + "\n", text=True, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


@contextmanager
def running(name: str, ports: tuple[int, ...], *words: str | Path) -> Iterator[None]:
    """A server process until the block ends; returns once its ports answer."""
    log = FILES / f"{name}.out"
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, cwd=TOP, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        for port in ports:
            wait_until(lambda port=port: answers(port) or process.poll() is not None)  # type: ignore[misc]
        if process.poll() is not None:
            raise SystemExit(f"{name} did not start:\n{log.read_text(errors='replace')}")
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answers(port: int) -> bool:
    """True if something listens on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


def wait_until(true: Callable[[], object]) -> bool:
    """True if `true()` became true within PATIENCE."""
    end = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def send(scene: Scene) -> str | None:
    """Send the message; its id in the queue, or None if RCPT was refused."""
    host, port = ("127.0.0.1", PORTS["submission" if scene.submitted else "the host's MX"])
    with smtplib.SMTP(host, port, timeout=20) as client:
        client.ehlo("demo.example")
        if scene.submitted:
            client.starttls(context=ssl._create_unverified_context())
            client.login(USER, PASSWORD)
        client.mail(scene.sender)
        code, words = client.rcpt(scene.recipient)
        say(f"   RCPT TO:<{scene.recipient}>")
        say(f"   {code} {words.decode()}")
        if code >= 400:
            return None
        header = f"From: <{scene.sender}>\r\nTo: <{scene.recipient}>\r\nSubject: {scene.title}"
        code, words = client.data(f"{header}\r\n\r\nHello!\r\n")
        say(f"   {code} {words.decode()}")
        return words.decode().split()[-1]


def follow(message: str, end: str) -> bool:
    """Print the decisions about the message as they are made; True once `end` is among them."""
    seen = 0
    finish = time.monotonic() + PATIENCE
    while time.monotonic() < finish:
        done = subprocess.run(
            [PROGRAMS / "mailframe", "-c", CONFIG, "trace", message, "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        events = [json.loads(line) for line in done.stdout.splitlines()]
        for event in events[seen:]:
            say(f"   {event['stage']:9} {event['plugin'] or '-':20} {event['verdict']}")
        seen = len(events)
        if any(event["stage"] == "deliver" and end in event["verdict"] for event in events):
            return True
        time.sleep(0.5)
    return False


def play(scene: Scene) -> bool:
    """Send one message and follow it; True if it ended as it should."""
    say(f"\n{scene.title}")
    message = send(scene)
    if message is None:
        return scene.end == "refused"
    return follow(message, scene.end)


def maildir(address: str) -> Path:
    """The folder of new mail for this address."""
    user, _, domain = address.partition("@")
    return FILES / "mail" / domain / user / "Maildir" / "new"


def report_arrived() -> bool:
    """True if Alice has the bounce of message 5."""
    folder = maildir(USER)
    mails = list(folder.iterdir()) if folder.exists() else []
    return any(b"multipart/report" in mail.read_bytes() for mail in mails)


TRY = """
All five messages became what they should. Both hosts stay up; Ctrl-C ends them. To try:

  swaks --server 127.0.0.1:2587 --tls --auth-user {user} --auth-password {password} \\
        --from {user} --to dave@world.example
  {mailframe} trace {user}
  {mailframe} queue list
  {mailframe} check
  {mailframe} user add bob@sandbox.example
  ls {files}/mail/*/*/Maildir/new
  tail -f {files}/host.log

The composition is {config}; change it and start the demo again.
"""


def main() -> int:
    """Run the demo; the exit status, 0 if every message ended as it should."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the messages")
    once = parser.parse_args().once
    if unavailable := ports.main():
        return unavailable
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    prepare()
    twistd = PROGRAMS / "twistd"
    with ExitStack() as stack:
        say("Starting a name server, the rest of the world, and the host …")
        enter = stack.enter_context
        enter(running("names", (PORTS["DNS"],), sys.executable, HERE / "names.py"))
        enter(running("world", (2526,), twistd, "-n", "--pidfile=", "mailframe", "-c", WORLD))
        enter(running("host", (2525, 2587), twistd, "-n", "--pidfile=", "mailframe", "-c", CONFIG))
        failed = [scene.title for scene in SCENES if not play(scene)]
        if not wait_until(report_arrived):
            failed.append("the report of message 5")
        for title in failed:
            say(f"NOT AS IT SHOULD BE: {title}; see {FILES}/*.out")
        if failed or once:
            return 1 if failed else 0
        mailframe = f"{os.path.relpath(PROGRAMS)}/mailframe -c {os.path.relpath(CONFIG)}"
        say(TRY.format(user=USER, password=PASSWORD, mailframe=mailframe,
                       files=os.path.relpath(FILES), config=os.path.relpath(CONFIG)))  # fmt: skip
        try:
            signal.pause()
        except KeyboardInterrupt:
            say("\nStopping …")
    return 0


if __name__ == "__main__":
    sys.exit(main())
