"""Every step of docs/tutorial.md, as somebody would type it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from live_servers import free_port, wait_for

pytestmark = pytest.mark.live

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_RUN = '#!/bin/sh\nexec "{python}" -c "{code}" "$@"\n'
_COMMANDS = {
    "mailframe": "from mailframe.command_line import main; main()",
    "twistd": "import sys; from twisted.scripts.twistd import run; sys.argv[0] = 'twistd'; run()",
}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A virtualenv in which mailframe is installed already, and nothing of the tutorial's is."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True, timeout=120)
    python = venv / "bin" / "python"
    [packages] = venv.glob("lib/python*/site-packages")
    ours = ("site-packages", "mailframe", "mailframe_plugins")
    here = [
        path
        for path in sys.path
        if Path(path).name in ours or any(Path(path, each).is_dir() for each in ours[1:])
    ]
    (packages / "here.pth").write_text("\n".join(here) + "\n")
    for name, code in _COMMANDS.items():
        script = venv / "bin" / name
        script.write_text(_RUN.format(python=python, code=code))
        script.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "tutorial"
    place.mkdir()
    yield place
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        os.kill(int((place / "twistd.pid").read_text()), signal.SIGKILL)


def test_the_tutorial(folder: Path, environment: dict[str, str]) -> None:
    """Files are written, commands are run, and print what the page says."""
    port = str(free_port())
    blocks = [(kind, text.replace("2525", port)) for kind, text in BLOCK.findall(PAGE.read_text())]
    assert [kind for kind, _ in blocks].count("sh") >= 7
    said = ""
    for kind, text in blocks:
        if kind == "sh":
            _until_free(folder)
            said = _run(text, folder, environment)
        elif kind == "text":
            for line in text.splitlines():
                assert line in said, f"{line!r} is not in what was printed:\n{said}"
        else:
            name = text.partition("\n")[0].removeprefix("# ")
            (folder / name).write_text(text)


def _run(commands: str, folder: Path, environment: dict[str, str]) -> str:
    """What these print. A daemon is waited for until it listens."""
    waits = f"twistd mailframe -c mailframe.toml; for i in $(seq 200); do {_IS_THERE}; done"
    script = commands.replace("twistd mailframe -c mailframe.toml", waits)
    done = subprocess.run(
        ["bash", "-ec", script], cwd=folder, env=environment, text=True, timeout=240, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout


_IS_THERE = "test -e state/ports && break; sleep 0.05"


def _until_free(folder: Path) -> None:
    """A host that was told to stop needs a moment."""
    if (folder / "twistd.pid").exists() and (folder / "state" / "ports").exists():
        return
    wait_for(lambda: not (folder / "twistd.pid").exists(), name="the host's end")
