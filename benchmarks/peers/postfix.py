"""Postfix as Debian builds it; it must be installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live_servers import Postfix, free_port

from .running import MESSAGE_SIZE, Running, certificate


@contextmanager
def postfix(folder: Path, task: str, sink: int, **more: str) -> Iterator[Running]:
    """Runs it with its defaults (at most a hundred processes of each kind), and with `more`."""
    main = {
        "virtual_mailbox_domains": "bench.example",
        "virtual_mailbox_maps": "static:box/",
        "smtpd_client_connection_count_limit": "0",
        "message_size_limit": str(MESSAGE_SIZE),
        "virtual_mailbox_limit": "0",
        **more,
    }
    if task == "relay":
        main |= {"virtual_mailbox_domains": "", "relay_domains": "bench.example"}
        main |= {"relayhost": f"[127.0.0.1]:{sink}"}
    elif task != "maildir":
        main["virtual_transport"] = "discard:"
    if task == "tls":
        folder.mkdir(parents=True)
        chain, key = certificate(folder)
        main |= {"smtpd_tls_security_level": "may"}
        main |= {"smtpd_tls_cert_file": str(chain), "smtpd_tls_key_file": str(key)}
    with Postfix(folder, free_port(), **main) as peer:
        pid = int((folder / "queue" / "pid" / "master.pid").read_text())
        yield Running(peer.port, pid, folder / "mail" / "box")


@contextmanager
def postfix_eager(folder: Path, task: str, sink: int) -> Iterator[Running]:
    """Runs it so that it does not slow clients down, even if mail comes faster than it leaves."""
    with postfix(folder, task, sink, in_flow_delay="0") as server:
        yield server
