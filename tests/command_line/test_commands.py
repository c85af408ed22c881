"""The command as a whole: finding the configuration, and ending with a number and a line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from small_host import command, configure

from mailframe.command_line import commands
from mailframe.command_line.commands import Commands

MAILFRAME = Path(sys.executable).with_name("mailframe")


def test_help_names_the_subcommands() -> None:
    """--help shows each with a line; -h is the same."""
    said = CliRunner().invoke(commands.main, ["-h"])
    assert said.exit_code == 0
    for name in ("check", "queue", "trace", "user"):
        assert f"\n  {name} " in said.stdout


@pytest.mark.parametrize("words", [["dance"], ["queue", "--fast"], ["trace"], ["--colour", "x"]])
def test_usage_is_64(words: list[str]) -> None:
    """What cannot be typed so is EX_USAGE."""
    assert CliRunner().invoke(commands.main, words).exit_code == 64


def test_the_configuration_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """-c, then MAILFRAME_CONFIG, then ./mailframe.toml, then /etc; else a line and status 1."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MAILFRAME_CONFIG", raising=False)
    monkeypatch.setattr(commands, "DEFAULTS", (Path("mailframe.toml"), tmp_path / "etc.toml"))
    run = CliRunner().invoke
    said = run(commands.main, ["check"])
    assert (said.exit_code, said.stdout) == (1, "")
    assert "no configuration" in said.stderr

    (tmp_path / "etc").mkdir()
    configure(tmp_path / "etc").rename(tmp_path / "etc.toml")
    (tmp_path / "users").touch()
    assert f"{tmp_path}/etc.toml: correct" in run(commands.main, ["check"]).stdout
    configure(tmp_path)
    assert f"{tmp_path}/mailframe.toml: correct" in run(commands.main, ["check"]).stdout
    other = configure(tmp_path / "etc")
    said = run(commands.main, ["check"], env={"MAILFRAME_CONFIG": str(other)})
    assert f"{other}: correct" in said.stdout
    assert f"{other}: correct" in run(commands.main, ["check", "-c", str(other)]).stdout
    said = run(commands.main, ["-c", "etc/none.toml", "check"])
    assert said.exit_code == 1
    assert "none.toml" in said.stderr


@click.group(cls=Commands)
def failing() -> None:
    """A command whose subcommands fail."""


@pytest.mark.parametrize(
    "words",
    [
        ["check", "-c", "none.toml"],
        ["queue", "-c", "none.toml", "list"],
        ["queue", "list", "-c", "none.toml"],
        ["user", "test", "--config", "none.toml", "bob"],
        ["trace", "-c", "none.toml", "x@example.org"],
    ],
)
def test_the_configuration_behind_the_subcommand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """-c is taken wherever it is typed."""
    monkeypatch.chdir(tmp_path)
    said = CliRunner().invoke(commands.main, words, input="secret\n")
    assert said.exit_code == 1 and "none.toml" in said.stderr


@pytest.mark.parametrize(
    ("wrong", "status", "words"),
    [
        (PermissionError(13, "Permission denied", "/x"), 77, "/x: not allowed"),
        (KeyboardInterrupt(), 130, "broken off"),
        (click.Abort(), 130, "broken off"),
        (ZeroDivisionError("by zero"), 70, "internal error: ZeroDivisionError: by zero"),
    ],
)
def test_failures_are_a_line_and_a_number(
    monkeypatch: pytest.MonkeyPatch, wrong: BaseException, status: int, words: str
) -> None:
    """Whatever a subcommand raises."""

    @click.command()
    def fail() -> None:
        raise wrong

    monkeypatch.setattr(Commands, "get_command", lambda *_: fail)
    said = CliRunner().invoke(failing, ["fail"])
    assert said.exit_code == status
    assert words in said.stderr
    assert "Traceback" not in said.stderr


def test_a_traceback_on_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """MAILFRAME_TRACEBACK=1 lets a fault of ours through."""

    @click.command()
    def fail() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Commands, "get_command", lambda *_: fail)
    said = CliRunner().invoke(failing, ["fail"], env={"MAILFRAME_TRACEBACK": "1"})
    assert isinstance(said.exception, ZeroDivisionError)


def test_a_reader_that_has_enough(tmp_path: Path) -> None:
    """`mailframe … | head -0` ends silently, as if by SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    file = configure(tmp_path)
    done = subprocess.run(
        [MAILFRAME, "-c", file, "check"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


def test_as_a_module(tmp_path: Path) -> None:
    """`python -m mailframe.command_line` is the same command."""
    file = configure(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "mailframe.command_line", "-c", file, "check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == command(file, "check").stdout
