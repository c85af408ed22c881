"""Behind a real HAProxy, and with a client that says XCLIENT: who is seen, and who is believed."""

from __future__ import annotations

import smtplib
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_servers import Host, Process, free_port, wait_for
from mailframe.testing.certificates import make_authority

pytestmark = pytest.mark.live

TOML = """
hostname = "mx.ours.example"
state = "state"
[tls]
certificates = "certificates"
[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
proxy = ["127.0.0.0/8"]
[[listen]]
name = "submissions"
endpoint = "tcp:0:interface=127.0.0.1"
tls = "implicit"
proxy = ["127.0.0.0/8"]
[[listen]]
name = "inner"
endpoint = "tcp:0:interface=127.0.0.1"
xclient = ["127.0.0.1"]
[[listen]]
name = "plain"
endpoint = "tcp:0:interface=127.0.0.1"
proxy = ["192.0.2.1"]
xclient = ["192.0.2.1"]
[[relay]]
plugin = "inbound"
domains = ["ours.example"]
[[route]]
plugin = "mailboxes"
domains = ["ours.example"]
file = "mailboxes"
[queue]
plugin = "sqlite"
[deliver.maildir]
plugin = "maildir"
path = "{folder}/mail/{{domain}}/{{user}}/Maildir"
"""

HAPROXY = """
defaults
    mode tcp
    timeout connect 5s
    timeout client 30s
    timeout server 30s
listen mx
    bind 127.0.0.1:{mx}
    source 127.0.0.9
    server ours 127.0.0.1:{to_mx} send-proxy
listen mx2
    bind 127.0.0.1:{mx2}
    server ours 127.0.0.1:{to_mx} send-proxy-v2
listen submissions
    bind 127.0.0.1:{tls}
    server ours 127.0.0.1:{to_tls} send-proxy-v2
"""

MESSAGE = "Subject: hi\r\n\r\nhello\r\n"


@pytest.fixture
def host(tmp_path: Path, need) -> Iterator[Host]:
    need("haproxy", "swaks")
    authority = make_authority()
    authority.issue("mx.ours.example").write_live(tmp_path / "host" / "certificates")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    with Host(tmp_path / "host", TOML.format(folder=tmp_path), mailboxes="bob\n") as host:
        yield host


def newest(folder: Path) -> str:
    """The message that arrives in bob's Maildir, which is emptied."""
    new = folder / "mail" / "ours.example" / "bob" / "Maildir" / "new"
    wait_for(lambda: new.is_dir() and any(new.iterdir()), name="mail in the Maildir")
    [path] = new.iterdir()
    text = path.read_text()
    path.unlink()
    return text


def swaks(port: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["swaks", "--server", "127.0.0.1", "--port", str(port), "--from", "a@c.example",
               "--to", "bob@ours.example", "--helo", "c.example", *words]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_behind_haproxy(host: Host, tmp_path: Path) -> None:
    """Both versions, and in front of TLS from the first octet; the client's address is seen."""
    mx, mx2, tls = free_port(), free_port(), free_port()
    config = tmp_path / "haproxy.cfg"
    to_mx, to_tls = host.port("mx"), host.port("submissions")
    config.write_text(HAPROXY.format(mx=mx, mx2=mx2, tls=tls, to_mx=to_mx, to_tls=to_tls))
    proxy = Process(tmp_path / "haproxy", ["haproxy", "-db", "-f", config])
    proxy.start()
    try:
        wait_for(lambda: _connects(mx) and _connects(tls), name="haproxy")
        for port in (mx, mx2):
            with smtplib.SMTP(
                "127.0.0.1", port, timeout=30, source_address=("127.0.0.5", 0)
            ) as smtp:
                smtp.sendmail("a@c.example", ["bob@ours.example"], MESSAGE)
            assert "([127.0.0.5])" in newest(tmp_path)
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        context.check_hostname = False
        with smtplib.SMTP_SSL(
            "127.0.0.1", tls, timeout=30, source_address=("127.0.0.5", 0), context=context
        ) as smtp:
            smtp.sendmail("a@c.example", ["bob@ours.example"], MESSAGE)
        text = newest(tmp_path)
        assert "([127.0.0.5])" in text and "ESMTPS" in text
    finally:
        proxy.stop()


def _connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_swaks_as_the_proxy(host: Host, tmp_path: Path) -> None:
    """Who may is believed; from anybody else a header is refused and never believed."""
    header = ("--proxy-version", "1", "--proxy-family", "TCP4", "--proxy-source", "198.51.100.7",
              "--proxy-source-port", "40000", "--proxy-dest", "192.0.2.25",
              "--proxy-dest-port", "25")  # fmt: skip
    said = swaks(host.port("mx"), *header)
    assert said.returncode == 0, said.stdout
    assert "([198.51.100.7])" in newest(tmp_path)
    version_2 = (*header[2:], "--proxy-version", "2", "--proxy-protocol", "STREAM",
                 "--proxy-command", "PROXY", "--proxy-family", "AF_INET")  # fmt: skip
    said = swaks(host.port("mx"), *version_2)
    assert said.returncode == 0, said.stdout
    assert "([198.51.100.7])" in newest(tmp_path)
    said = swaks(host.port("plain"), *header)
    assert "500 5.5.1" in said.stdout and "198.51.100.7" not in said.stdout.split("500 5.5.1")[1]


def test_swaks_says_xclient(host: Host, tmp_path: Path) -> None:
    """Taken from who is listed; not offered to others, and 550 if they say it nonetheless."""
    words = ("--xclient-addr", "198.51.100.7", "--xclient-name", "client.example")
    said = swaks(host.port("inner"), *words)
    assert said.returncode == 0, said.stdout
    assert "(client.example [198.51.100.7])" in newest(tmp_path)
    assert "did not advertise XCLIENT" in swaks(host.port("plain"), *words).stderr
    with smtplib.SMTP("127.0.0.1", host.port("plain"), timeout=30) as smtp:
        assert smtp.docmd("XCLIENT", "ADDR=198.51.100.7") == (
            550, b"5.7.0 Insufficient authorization for XCLIENT",
        )  # fmt: skip
