"""Real servers for the live tests: twistd with mailframe, nsd, Postfix, Dovecot, each on loopback.

Every server gets a folder and a free port of its own and is a context manager; leaving it
stops the whole process group.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

TWISTD = Path(sys.executable).with_name("twistd")
MAILFRAME = Path(sys.executable).with_name("mailframe")


# Below those that the system takes for connections: one of those may be taken a moment later.
_PORTS = range(10_000, 32_000)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody uses now, neither by TCP nor by UDP."""
    for port in random.sample(_PORTS, 100):
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind(("127.0.0.1", port))
            udp.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port among a hundred")


def wait_for(what: Callable[[], Any], seconds: float = 20.0, name: str = "") -> Any:
    """The first true answer of `what`; AssertionError after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s in vain for {name or what}")
        time.sleep(0.05)


def answers(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def let_daemons_reach(folder: Path) -> None:
    """Daemons that run as users of their own must be able to walk down to their folders."""
    for place in [folder, *folder.parents]:
        if place != place.parent and place.stat().st_uid == os.geteuid():
            place.chmod(place.stat().st_mode | 0o011)


class Process:
    """One server process in a group of its own, its output in a file."""

    def __init__(
        self, folder: Path, argv: Sequence[str | Path], env: dict[str, str] | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder / "output"
        self._argv = [str(word) for word in argv]
        self._env = {**os.environ, **(env or {})}
        self._folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                self._argv, cwd=self._folder, env=self._env, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def kill(self, number: int) -> None:
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20.0) -> int:
        """Ends the group; the exit status of its first process."""
        assert self.process is not None
        self.kill(number)
        try:
            return self.process.wait(seconds)
        finally:
            self.kill(signal.SIGKILL)

    def said(self) -> str:
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    @contextlib.contextmanager
    def running(self, ready: Callable[[], Any]) -> Iterator[None]:
        self.start()
        assert self.process is not None
        try:
            process = self.process
            wait_for(lambda: ready() or process.poll() is not None, name=self._argv[0])
            assert process.poll() is None, self.said()
            yield
        finally:
            if self.process.poll() is None:
                self.stop()


class Host:
    """A mailframe host: its configuration, its twistd, its commands."""

    def __init__(self, folder: Path, toml: str, **files: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "mailframe.toml"
        self.config.write_text(toml)
        for name, text in files.items():
            (folder / name).write_text(text)
        self.state = folder / "state"
        self.process = Process(folder, [TWISTD, "-n", "--pidfile=", "mailframe", "-c", self.config])

    def run_from(self, tree: Path) -> None:
        """Let the host be that of another checkout."""
        path = os.pathsep.join(map(str, (tree, tree / "plugins")))
        argv = [TWISTD, "-n", "--pidfile=", "mailframe", "-c", self.config]
        self.process = Process(self.folder, argv, {"PYTHONPATH": path})

    def ports(self) -> dict[str, int]:
        """The port of each listener by its name, once the host is ready."""
        known = self.state / "ports"
        if not known.exists():
            return {}
        return {name: place[1] for name, place in json.loads(known.read_text()).items()}

    def port(self, name: str = "mx") -> int:
        return self.ports()[name]

    def start(self) -> None:
        (self.state / "ports").unlink(missing_ok=True)
        self.process.start()
        process = self.process.process
        assert process is not None
        wait_for(lambda: self.ports() or process.poll() is not None, name="the host")
        assert process.poll() is None, self.process.said()

    def stop(self, number: int = signal.SIGTERM) -> int:
        return self.process.stop(number)

    def __enter__(self) -> Host:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        process = self.process.process
        if process is not None and process.poll() is None:
            self.stop()

    def command(self, *words: str, stdin: str = "", check: bool = True) -> str:
        """What `mailframe WORDS` prints."""
        done = subprocess.run(
            [MAILFRAME, "-c", self.config, *words], input=stdin, capture_output=True,
            text=True, timeout=60, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done.stdout + ("" if check else done.stderr)

    def mail(self, address: str) -> list[bytes]:
        """The messages in the Maildir of `user@domain` under FOLDER/mail, oldest first."""
        user, _, domain = address.partition("@")
        new = self.folder / "mail" / domain / user / "Maildir" / "new"
        files = sorted(new.iterdir(), key=lambda file: file.stat().st_mtime) if new.exists() else []
        return [file.read_bytes() for file in files]

    def wait_for_mail(self, address: str, count: int = 1, seconds: float = 20.0) -> list[bytes]:
        return wait_for(  # type: ignore[no-any-return]
            lambda: len(self.mail(address)) >= count and self.mail(address),
            seconds,
            f"mail for {address}; the host said {self.process.said()[-4000:]}",
        )


@contextlib.contextmanager
def nsd(folder: Path, zones: dict[str, str]) -> Iterator[int]:
    """NLnet's name server with these zones (name -> records); gives its port."""
    port = free_port()
    folder.mkdir(parents=True)
    lines = [
        "server:", f"  ip-address: 127.0.0.1@{port}", '  username: ""', '  chroot: ""',
        f'  zonesdir: "{folder}"', f'  database: "{folder}/nsd.db"', f'  pidfile: "{folder}/pid"',
        f'  zonelistfile: "{folder}/zone.list"', f'  xfrdfile: "{folder}/xfrd.state"',
        f'  xfrdir: "{folder}"', "  server-count: 1", "remote-control:", "  control-enable: no",
    ]  # fmt: skip
    for name, records in zones.items():
        soa = f"@ SOA ns.{name}. hostmaster.{name}. 1 60 60 60 60"
        head = f"$ORIGIN {name}.\n$TTL 60\n{soa}\n@ NS ns\n"
        (folder / f"{name}.zone").write_text(head + "ns A 127.0.0.1\n" + records + "\n")
        lines += ["zone:", f'  name: "{name}"', f'  zonefile: "{name}.zone"']
    (folder / "nsd.conf").write_text("\n".join(lines) + "\n")
    server = Process(
        folder, [shutil.which("nsd") or "/usr/sbin/nsd", "-d", "-c", folder / "nsd.conf"]
    )
    with server.running(lambda: answers(port)):
        yield port


class Postfix:
    """A whole Postfix of its own, with a queue, a port and Maildirs under FOLDER/mail."""

    def __init__(self, folder: Path, port: int, **main: str) -> None:
        self.folder, self.port = folder, port
        self.main = main
        self._process: Process | None = None

    def _configure(self) -> None:
        folder = self.folder
        for name in ("etc", "queue", "data", "mail"):
            (folder / name).mkdir(parents=True)
        for name in ("data", "mail"):
            shutil.chown(folder / name, "postfix")
        let_daemons_reach(folder)
        settings = {
            "compatibility_level": "3.6", "queue_directory": f"{folder}/queue",
            "data_directory": f"{folder}/data", "mail_owner": "postfix",
            "setgid_group": "postdrop", "maillog_file": f"{folder}/log",
            "maillog_file_prefixes": "/", "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4", "mydestination": "", "local_recipient_maps": "",
            "alias_maps": "", "alias_database": "", "mynetworks": "127.0.0.0/8",
            "virtual_mailbox_base": f"{folder}/mail", "smtp_host_lookup": "native",
            "disable_dns_lookups": "yes", "virtual_uid_maps": "static:65534",
            "virtual_gid_maps": "static:65534", "smtputf8_enable": "yes", **self.main,
        }  # fmt: skip
        text = "".join(f"{key} = {value}\n" for key, value in settings.items())
        (folder / "etc" / "main.cf").write_text(text)
        (folder / "etc" / "master.cf").write_text(_MASTER.format(port=self.port))
        (folder / "mail").chmod(0o777)

    def start(self) -> None:
        self._configure()
        postfix = shutil.which("postfix") or "/usr/sbin/postfix"
        self._process = Process(self.folder, [postfix, "-c", self.folder / "etc", "start-fg"])
        self._process.start()
        process = self._process.process
        assert process is not None
        wait_for(lambda: answers(self.port) or process.poll() is not None, name="Postfix")
        assert process.poll() is None, self._process.said() + self.log()

    def log(self) -> str:
        log = self.folder / "log"
        return log.read_text(errors="replace") if log.exists() else ""

    def send(self, sender: str, recipients: Sequence[str], message: bytes) -> None:
        """Hands a message to Postfix's own sendmail."""
        done = subprocess.run(
            ["/usr/sbin/sendmail", "-C", self.folder / "etc", "-i", "-f", sender, *recipients],
            input=message, capture_output=True, timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def __enter__(self) -> Postfix:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        postfix = shutil.which("postfix") or "/usr/sbin/postfix"
        subprocess.run(
            [postfix, "-c", self.folder / "etc", "stop"],
            capture_output=True,
            timeout=30,
            check=False,
        )
        if self._process is not None:
            self._process.stop(signal.SIGKILL)


_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 1 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


class Dovecot:
    """Dovecot with LMTP and IMAP on loopback ports, one static user database."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lmtp, self.imap = free_port(), free_port()
        self.socket = folder / "lmtp.sock"
        self._process: Process | None = None

    def start(self) -> None:
        folder = self.folder
        (folder / "mail").mkdir(parents=True)
        (folder / "mail").chmod(0o777)
        let_daemons_reach(folder)
        (folder / "users").write_text("alice@dove.example:{PLAIN}secret:65534:65534::\n")
        (folder / "dovecot.conf").write_text(_DOVECOT.format(folder=folder, s=self))
        dovecot = shutil.which("dovecot") or "/usr/sbin/dovecot"
        self._process = Process(folder, [dovecot, "-F", "-c", folder / "dovecot.conf"])
        self._process.start()
        process = self._process.process
        assert process is not None
        wait_for(lambda: answers(self.lmtp) or process.poll() is not None, name="Dovecot")
        assert process.poll() is None, self._process.said()

    def __enter__(self) -> Dovecot:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._process is not None:
            self._process.stop()


_DOVECOT = """\
base_dir = {folder}/run
log_path = {folder}/log
protocols = lmtp imap
ssl = no
disable_plaintext_auth = no
listen = 127.0.0.1
mail_location = maildir:{folder}/mail/%d/%n/Maildir
first_valid_uid = 1
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {s.lmtp}
  }}
  unix_listener {folder}/lmtp.sock {{
    mode = 0666
  }}
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {s.imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@dove.example
}}
"""
