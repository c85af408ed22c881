"""The examples of an observer and of a checker, in hosts that run."""

from __future__ import annotations

import re
import shutil
import smtplib
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from live_servers import Host, wait_for
from mailframe.testing.certificates import make_authority

pytestmark = pytest.mark.live

EXAMPLES = Path(__file__).parents[2] / "examples"


def host_of(name: str, tmp_path: Path) -> Host:
    """The example's host on free ports, in a copy of its folder."""
    folder = tmp_path / name
    shutil.copytree(EXAMPLES / name, folder)
    toml = (folder / "mailframe.toml").read_text("utf-8")
    return Host(folder, re.sub(r"tcp:\d+", "tcp:0", toml))


def test_metrics_are_written_for_prometheus(tmp_path: Path) -> None:
    """While the host runs, and once more when it stops; nothing fails meanwhile."""
    host = host_of("metrics", tmp_path)
    host.config.write_text(host.config.read_text().replace('"15s"', "0.1"))
    file = host.folder / "mailframe.0.prom"
    with host:
        with smtplib.SMTP("127.0.0.1", host.port()) as client:
            client.sendmail("a@client.example", "alice@example.org", "Subject: x\r\n\r\nhello\r\n")
        delivered = 'stage="deliver",plugin="maildir",verdict="delivered",worker="0"} 1'
        wait_for(lambda: file.exists() and delivered in file.read_text(), name="the counter")
        wait_for(lambda: 'mailframe_queue{what="messages",worker="0"} 0' in file.read_text())
        file.unlink()
    assert delivered in file.read_text()
    assert "not written" not in host.process.said() and "Traceback" not in host.process.said()


def test_users_of_an_application_log_in(tmp_path: Path) -> None:
    """With the right password and no other; a database that is gone refuses for a while only."""
    host = host_of("own_users", tmp_path)
    make_authority().issue("mail.example.org").write_live(host.folder / "certificates")
    subprocess.run(
        [sys.executable, "own_users.py", "users.sqlite", "alice@example.org"],
        cwd=host.folder, input="wonderland\n", text=True, start_new_session=True, check=True,
    )  # fmt: skip
    with host, smtplib.SMTP("127.0.0.1", host.port("submission"), timeout=20) as client:
        client.starttls(context=ssl._create_unverified_context())
        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
            client.login("alice@example.org", "looking-glass")
        (host.folder / "users.sqlite").rename(host.folder / "elsewhere")
        with pytest.raises(smtplib.SMTPAuthenticationError, match="454"):
            client.login("alice@example.org", "wonderland")
        (host.folder / "elsewhere").rename(host.folder / "users.sqlite")
        assert client.login("alice@example.org", "wonderland")[0] == 235
        assert client.mail("alice@example.org")[0] == 250
        assert client.rcpt("bob@elsewhere.example")[0] == 250
