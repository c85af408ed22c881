"""The examples of an observer and of a checker, and what operations.md shows, in hosts that run."""

from __future__ import annotations

import json
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


def test_gauges_are_read_as_the_page_shows(tmp_path: Path) -> None:
    """Its script prints the rows, and the page explains each of their keys."""
    page = (EXAMPLES.parent / "docs" / "operations.md").read_text("utf-8")
    [script] = re.findall(r"^```python\n(# gauges.py.*?)^```", page, re.MULTILINE | re.DOTALL)
    with host_of("metrics", tmp_path) as host:
        done = subprocess.run(
            [sys.executable, "-I", "-c", script, str(host.state / "control")],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["of"] for row in rows[:3]] == ["listeners", "logins", "queue"]
    assert rows[0]["most"] == 2000
    for key in {key for row in rows for key in row} - {"worker"}:
        assert f"`{key}`" in page, key


def test_a_queue_is_backed_up_and_restored_as_the_page_shows(tmp_path: Path) -> None:
    """While the host runs; the new one has the messages, large ones too."""
    toml = (EXAMPLES / "metrics" / "mailframe.toml").read_text("utf-8")
    toml = re.sub(r"tcp:\d+", "tcp:0", toml).partition("[[observe]]")[0]
    full = re.sub(r'plugin = "maildir"', 'plugin = "lmtp"', toml).partition("path = ")[0]
    full += 'host = "127.0.0.1"\nport = 1\n'  # nobody is there: mail waits
    old, new = (Host(tmp_path / name, full, mailboxes="alice\n") for name in ("old", "new"))
    large = "Subject: large\r\n\r\n" + "x" * 70 * 10_000 + "\r\n"
    backup, queue = tmp_path / "backup", new.folder / "state" / "queue"
    backup.mkdir()
    with old:
        for message in (
            "Subject: small\r\n\r\nhello\r\n",
            large.replace("x" * 70, "x" * 70 + "\r\n"),
        ):
            with smtplib.SMTP("127.0.0.1", old.port()) as client:
                client.sendmail("a@client.example", "alice@example.org", message)
        database = old.state / "queue" / "queue.db"
        subprocess.run(["sqlite3", database, f".backup {backup}/queue.db"], check=True)
        shutil.copytree(database.parent / "bodies", backup / "bodies")
    queue.mkdir(parents=True, mode=0o700)
    shutil.copy(backup / "queue.db", queue)
    shutil.copytree(backup / "bodies", queue / "bodies")
    listed = [json.loads(line) for line in new.command("queue", "list", "--json").splitlines()]
    assert len(listed) == 2 and max(row["size"] for row in listed) > 700_000
    assert "0  corrupt" in new.command("queue", "summary")
    content = new.command("queue", "show", listed[1]["id"], "--content")
    assert len(content) > 700_000
