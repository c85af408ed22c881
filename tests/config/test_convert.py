"""Values of the configuration: what each type takes, and what is said of what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from mailframe.config import describe
from mailframe.config.convert import Mistakes, convert
from mailframe.config.suggest import did_you_mean
from mailframe.config.units import shown
from mailframe.plugin import Duration, Secret, SettingError, Size, setting
from mailframe.smtp.address import Mailbox

HERE = Path("/etc/mailframe")


@dataclass(frozen=True)
class Inner:
    """A table within."""

    host: str = setting("where")
    weight: int = setting("how much", 1)


@dataclass(frozen=True)
class Everything:
    """A key of each type."""

    text: str = setting("a text", "x")
    number: int = setting("a number", 1)
    fraction: float = setting("a fraction", 0.5)
    flag: bool = setting("a flag", False)
    path: Path = setting("a path", Path("x"))
    wait: Duration = setting("a wait", Duration(5400.0))
    maybe: Duration | None = setting("a wait or none", Duration(86400.0))
    size: Size = setting("a size", Size(5 << 20))
    secret: Secret = setting("a secret", Secret(""))
    mailbox: Mailbox | None = setting("a mailbox", None)
    choice: Literal["red", "green", 3] = setting("a choice", "red")
    many: tuple[str, ...] = setting("texts", ())
    pair: tuple[str, int] = setting("two", ("a", 1))
    numbers: list[int] = setting("numbers", factory=list)
    names: frozenset[str] = setting("names", frozenset())
    some: Sequence[str] = setting("some", ())
    table: dict[str, Size] = setting("sizes by name", factory=lambda: {"a": Size(1024)})
    mapping: Mapping[str, str] = setting("texts by name", factory=dict)
    either: int | tuple[int, ...] = setting("one or several", 1)
    inner: Inner | None = setting("a table", None)
    inners: tuple[Inner, ...] = setting("tables", ())
    anything: Any = setting("anything", None)


@dataclass(frozen=True)
class Even:
    """A table that checks itself."""

    number: int = 2

    def __post_init__(self) -> None:
        if self.number < 0:
            raise ValueError("never negative")
        if self.number % 2:
            raise SettingError("number", "expected an even number")


@dataclass(frozen=True)
class Outer:
    """A table around it."""

    even: Even = field(default_factory=Even)


def read(**table: Any) -> Everything:
    return convert(table, Everything, HERE)


def mistakes(**table: Any) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(Mistakes) as raised:
        read(**table)
    return [(each.path, each.message) for each in raised.value.mistakes]


@pytest.mark.parametrize(
    ("key", "written", "meant"),
    [
        ("text", "", ""),
        ("number", -3, -3),
        ("fraction", 2, 2.0),
        ("flag", True, True),
        ("path", "users", HERE / "users"),
        ("path", "/var/x", Path("/var/x")),
        ("path", "../../no-such/./x/{user}", Path("/no-such/x/{user}")),
        ("path", Path("kept"), Path("kept")),
        ("wait", 90, 90.0),
        ("wait", 0.5, 0.5),
        ("wait", "90s", 90.0),
        ("wait", "1h30m", 5400.0),
        ("wait", "1.5h", 5400.0),
        ("wait", "250ms", 0.25),
        ("wait", "5d", 432000.0),
        ("wait", "1w", 604800.0),
        ("maybe", False, None),
        ("maybe", None, None),
        ("size", 512, 512),
        ("size", "512K", 512 << 10),
        ("size", "25M", 25 << 20),
        ("size", "2G", 2 << 30),
        ("size", "1T", 1 << 40),
        ("secret", "s3cret", "s3cret"),
        ("mailbox", "Bob@Example.org", Mailbox("Bob", "example.org")),
        ("mailbox", Mailbox("a", "b"), Mailbox("a", "b")),
        ("choice", "green", "green"),
        ("choice", 3, 3),
        ("many", ["a", "b"], ("a", "b")),
        ("many", ("a",), ("a",)),
        ("pair", ["a", 2], ("a", 2)),
        ("numbers", [1, 2], [1, 2]),
        ("names", ["a", "a"], frozenset({"a"})),
        ("some", ["a"], ("a",)),
        ("table", {"a": "1K"}, {"a": 1024}),
        ("mapping", {"a": "b"}, {"a": "b"}),
        ("either", 3, 3),
        ("either", [3, 4], (3, 4)),
        ("inner", {"host": "h"}, Inner("h")),
        ("inner", Inner("h", 2), Inner("h", 2)),
        ("inners", [{"host": "h"}, {"host": "i", "weight": 2}], (Inner("h"), Inner("i", 2))),
        ("anything", [1, "x"], [1, "x"]),
    ],
)
def test_what_is_written_is_what_is_meant(key: str, written: Any, meant: Any) -> None:
    """Each type in each of its spellings."""
    assert getattr(read(**{key: written}), key) == meant


@pytest.mark.parametrize(
    ("key", "written", "message"),
    [
        ("text", 3, "expected a text, got 3"),
        ("text", ["a"], "expected a text, got a list"),
        ("number", "3", 'expected a whole number, got "3"'),
        ("number", True, "expected a whole number, got true"),
        ("number", 1.5, "expected a whole number, got 1.5"),
        ("fraction", float("nan"), "expected a number, got nan"),
        ("fraction", False, "expected a number, got false"),
        ("flag", "yes", 'expected true or false, got "yes"'),
        ("flag", 1, "expected true or false, got 1"),
        ("path", "", 'expected a path, got ""'),
        ("path", "a\0b", 'expected a path, got "a\\x00b"'),
        ("path", "~nobody-of-this-name/x", "~nobody-of-this-name"),
        ("wait", "soon", 'got "soon"'),
        ("wait", "5", 'got "5"'),
        ("wait", "1h 30m", 'got "1h 30m"'),
        ("wait", -1, "got -1"),
        ("wait", float("inf"), "got inf"),
        ("wait", True, "got true"),
        ("size", "25MB", 'got "25MB"'),
        ("size", -1, "got -1"),
        ("size", 1.5, "got 1.5"),
        ("mailbox", "bob", "the local part"),
        ("mailbox", 3, 'expected a mailbox such as "bob@example.org", got 3'),
        ("choice", "gren", 'expected "red" or "green" or 3, got "gren"; did you mean "green"?'),
        ("choice", "blue", 'expected "red" or "green" or 3, got "blue"'),
        ("many", "a", 'expected a list, got "a"'),
        ("pair", ["a"], "expected a list of 2, got 1"),
        ("table", ["a"], "expected a table, got a list"),
        ("inner", "h", 'expected a table, got "h"'),
        ("either", "x", 'expected a whole number, got "x", or expected a list, got "x"'),
    ],
)
def test_what_is_wrong_is_said(key: str, written: Any, message: str) -> None:
    """What was expected and what was found, at its key."""
    ((path, said),) = mistakes(**{key: written})
    assert path == (key,)
    if key == "mailbox" and written == "bob":
        message = "expected a mailbox"
    assert message in said


def test_all_mistakes_come_at_once() -> None:
    """Wrong, unknown and missing keys, however deep, each with its path."""
    found = mistakes(
        numbr=3,
        many=["a", 1, 2],
        table={"a": "x"},
        inners=[{"weight": "x"}, 3, {"host": "h", "hst": "i"}],
        either=[1, "x"],
    )
    assert [path for path, _ in found] == [
        ("many", 1),
        ("many", 2),
        ("table", "a"),
        ("either", 1),
        ("inners", 0, "host"),
        ("inners", 0, "weight"),
        ("inners", 1),
        ("inners", 2, "hst"),
        ("numbr",),
    ]
    messages = dict(found)
    assert messages["numbr",] == 'unknown key; did you mean "number"?'
    assert messages["inners", 0, "host"] == "missing: where"


def test_a_secret_stays_out_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file, less its last line end, or from the environment."""
    (tmp_path / "key").write_text("hush\n")
    monkeypatch.setenv("MAILFRAME_TEST_KEY", "hush too")
    assert convert({"secret": {"file": "key"}}, Everything, tmp_path).secret == "hush"
    assert read(secret={"env": "MAILFRAME_TEST_KEY"}).secret == "hush too"


def test_a_link_on_the_way_up_is_followed(tmp_path: Path) -> None:
    """ ".." is the folder above the one that a link leads to; links further down stay links."""
    (tmp_path / "far" / "real").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "real")
    (tmp_path / "far" / "live").symlink_to(tmp_path)
    found = convert({"path": "../live/x"}, Everything, tmp_path / "link").path
    assert found == tmp_path.resolve() / "far" / "live" / "x"


def test_a_wrong_secret_is_not_shown(tmp_path: Path) -> None:
    """The message helps without repeating it."""
    for secret in (12345678, ["12345678"], {"fil": "12345678"}, {"file": 12345678}):
        ((_, said),) = mistakes(secret=secret)
        assert said.startswith("expected a text, or { file")
        assert "12345678" not in said
    assert "nothing-there cannot be read" in mistakes(secret={"file": "nothing-there"})[0][1]
    assert "no variable NOT_SET_HERE" in mistakes(secret={"env": "NOT_SET_HERE"})[0][1]
    (tmp_path / "binary").write_bytes(b"\xff")
    with pytest.raises(Mistakes, match="is not UTF-8"):
        convert({"secret": {"file": "binary"}}, Everything, tmp_path)


def test_settings_may_check_themselves() -> None:
    """A SettingError of __post_init__ names its key, another error its table."""

    for number, path, message in [
        (3, ("even", "number"), "expected an even number"),
        (-1, ("even",), "never negative"),
    ]:
        with pytest.raises(Mistakes) as raised:
            convert({"even": {"number": number}}, Outer, HERE)
        (each,) = raised.value.mistakes
        assert (each.path, each.message) == (path, message)


def test_settings_are_described_as_rows() -> None:
    """Key, type in words, default as TOML writes it, meaning."""
    rows = {row.key: (row.type, row.default) for row in describe(Everything)}
    assert rows == {
        "text": ("text", '"x"'),
        "number": ("number", "1"),
        "fraction": ("number", "0.5"),
        "flag": ("true or false", "false"),
        "path": ("path", '"x"'),
        "wait": ("duration", '"90m"'),
        "maybe": ("duration", '"1d"'),
        "size": ("size", '"5M"'),
        "secret": ("secret", '""'),
        "mailbox": ("mailbox", ""),
        "choice": ('"red" or "green" or "3"', '"red"'),
        "many": ("list of text", "[]"),
        "pair": ("list of text", '["a", 1]'),
        "numbers": ("list of number", "[]"),
        "names": ("list of text", "[]"),
        "some": ("list of text", "[]"),
        "table": ("table of size", '{ a = "1K" }'),
        "mapping": ("table of text", "{}"),
        "either": ("number or list of number", "1"),
        "inner": ("table", ""),
        "inner.host": ("text", None),
        "inner.weight": ("number", "1"),
        "inners": ("list of table", "[]"),
        "inners.host": ("text", None),
        "inners.weight": ("number", "1"),
        "anything": ("anything", ""),
    }
    assert describe(Inner)[0].meaning == "where"
    assert describe(dict) == ()


def test_the_nearest_right_word() -> None:
    """Near ones are proposed, few ones listed, many ones left alone."""
    assert did_you_mean("maildri", ["maildir", "smtp"]) == '; did you mean "maildir"?'
    assert did_you_mean("x", ["maildir", "smtp"]) == "; there is maildir, smtp"
    assert did_you_mean("x", map(str, range(100, 200))) == ""
    assert did_you_mean("x", []) == ""


def test_long_values_are_cut() -> None:
    """An error fits on a line."""
    assert shown("x" * 100) == '"' + "x" * 55 + "..."
    assert "\n" not in shown("a\nb")
