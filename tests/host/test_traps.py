"""What the log says of what is right and yet a trap."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from mailframe.host.descriptors import raise_limit, too_few
from mailframe.host.traps import LOOK_EVERY, CertificateWatch
from mailframe.settings import HostSettings, Limits, Listener, TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.wire.certificates import Certificates


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """What is warned of."""
    said: list[str] = []

    def hear(event: Any) -> None:
        if event["log_level"].name == "warn":
            said.append(event["trap"])

    globalLogPublisher.addObserver(hear)
    yield said
    globalLogPublisher.removeObserver(hear)


def test_certificates_are_looked_at_every_day(tmp_path: Path, warned: list[str]) -> None:
    """One that was not renewed is named while there is time, and again until it is."""
    live = tmp_path / "live"
    make_authority().issue("mx.example.org", days=30).write_live(live)
    certificates = Certificates(TlsSettings(live), "mx.example.org")
    clock = Clock()
    began = time.time()
    watch = CertificateWatch(certificates, clock, lambda: began + clock.seconds())
    watch.startService()
    assert warned == []
    for day in range(1, 32):
        clock.advance(LOOK_EVERY)
        assert len(warned) == max(0, day - 15)
    assert "expires on" in warned[0] and "expired on" in warned[-1]
    watch.stopService()
    (live / "mx.example.org/privkey.pem").unlink()
    (live / "mx.example.org/fullchain.pem").unlink()
    watch.look()
    assert "no folder with" in warned[-1]


def test_as_many_files_as_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit becomes the hard one; clients of all listeners fit into that, or not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    few = (Listener("a", "tcp:0"), Listener("b", "tcp:0", limits=Limits(connections=300)))
    settings = HostSettings("h.example", Path("/"), few, Limits(connections=500))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 1000))
    assert too_few(settings) == ""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1000, 999))
    assert too_few(settings).startswith("all listeners together take 800 connections")
