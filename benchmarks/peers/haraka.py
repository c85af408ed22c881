"""Haraka from npm, with a plugin that syncs each message (`haraka_store.js`).

For "relay", Haraka's own outbound queue is used, which syncs its files by itself.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from live_servers import Process, free_port

from .running import HOSTNAME, MESSAGE_SIZE, PEERS, Running, certificate, running


@contextmanager
def haraka(folder: Path, task: str, sink: int) -> Iterator[Running | None]:
    """Runs it in one process, which is its default."""
    package = PEERS / "haraka" / "node_modules" / "Haraka"
    program, shipped = package / "bin" / "haraka", package / "config" / "connection.ini"
    node = shutil.which("node")
    if node is None or not program.exists():
        yield None
        return
    port = free_port()
    for name in ("config", "plugins", "queue", "box/tmp", "box/new", "box/cur"):
        (folder / name).mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("haraka_store.js"), folder / "plugins")
    settings = {
        "me": HOSTNAME,
        "plugins": ("tls\n" if task == "tls" else "") + "haraka_store",
        "smtp.ini": f"listen=127.0.0.1:{port}\nnodes=0",
        "connection.ini": re.sub(r"(?m)^bytes=.*", f"bytes={MESSAGE_SIZE}", shipped.read_text()),
        "log.ini": "[main]\nlevel=notice",
        "haraka_store.ini": f"task={task}\nfolder={folder / 'box'}\nsink={sink}",
        "outbound.ini": "local_mx_ok=true",
    }
    if task == "tls":
        chain, key = certificate(folder)
        settings["tls.ini"] = f"[main]\nkey={key}\ncert={chain}"
    for name, text in settings.items():
        (folder / "config" / name).write_text(text + "\n")
    process = Process(folder, [node, program, "-c", folder])
    with running(process, port, folder / "box") as server:
        yield server
