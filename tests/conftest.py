"""What every test may ask for: the programs that it needs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailframe.hooks.observers import Audience
from mailframe.message.vocabulary import complaint, verdict_text

LIVE = Path(__file__).parent / "live"
# Debian keeps daemons where an ordinary user's PATH does not look.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


@pytest.fixture(scope="session")
def need() -> Callable[..., None]:
    """`need("nsd", "postfix", root=True)`: the test runs only where these are.

    `node_modules` names what tests/live/package.json installs. Where something is missing
    the test is skipped with a word on how to get it; in CI (the environment's CI) it fails.
    """

    def need(*programs: str, root: bool = False, node_modules: tuple[str, ...] = ()) -> None:
        missing = [program for program in programs if shutil.which(program, path=_PATH) is None]
        missing += [
            f"npm's {name}" for name in node_modules if not (LIVE / "node_modules" / name).is_dir()
        ]
        if root and os.geteuid() != 0:
            missing.append("root's rights")
        if not missing:
            return
        words = f"{', '.join(missing)} missing; .ci/run --install-only installs what Debian has"
        if os.environ.get("CI", "").lower() in {"true", "1"}:
            pytest.fail(words)
        pytest.skip(words)

    return need


@pytest.fixture(autouse=True)
def _vocabulary(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whatever the host tells during any test is in its vocabulary, with the facts it names."""
    wrong: list[str] = []
    told = Audience.tell

    def tell(self: Audience, stage: Any, verdict: Any, **facts: Any) -> None:
        own = ("plugin", "id", "session", "milliseconds")
        named = [name for name in facts if name not in own]
        wrong.append(complaint(stage, verdict_text(verdict), named))
        told(self, stage, verdict, **facts)

    monkeypatch.setattr(Audience, "tell", tell)
    yield
    assert not any(wrong), sorted(set(wrong) - {""})
