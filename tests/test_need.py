"""A missing program is a skip on a desk and a failure in CI."""

from __future__ import annotations

from collections.abc import Callable

import pytest


def test_in_ci_a_missing_program_is_a_failure(
    need: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test of ours is skipped there for want of a server."""
    monkeypatch.setenv("CI", "true")
    need("sh")
    with pytest.raises(pytest.fail.Exception, match="no-such-program, npm's nothing missing"):
        need("sh", "no-such-program", node_modules=("nothing",))


def test_elsewhere_it_is_a_skip(need: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """With a word on what installs it."""
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match=r"\.ci/run --install-only"):
        need("no-such-program")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(pytest.skip.Exception, match="root's rights"):
        need("sh", root=True)
