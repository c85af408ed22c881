"""Every key of a TOML text has its line."""

from __future__ import annotations

import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mailframe.config.toml_index import index

TEXT = '''\
a = 1 # a = 2
b.c = "x]#" # c
"q k"."é" = \'\'\'
multi ] = 3
\'\'\'
d = """
x = "q" \\" """
[[listen]]
name = "mx"
requires = [
  "tls", # why ]
  { x = 1, y.z = [2,
   3] },
]
[listen.limits]
errors = 3
[[listen]]
name='b'
limits = { errors = 4, "h.s" = "}" }
[[listen.sub]]
k = 2024-01-01 00:00:00
  [deliver . maildir]
path = ""
e = """"quoted""""
f = \'\'\'\'quoted\'\'\'\'
'''


def test_lines_are_those_of_the_text() -> None:
    """Tables, arrays of tables, dotted keys, inline tables, strings of several lines."""
    lines = index(TEXT)
    assert {
        ("a",): 1,
        ("b", "c"): 2,
        ("q k", "é"): 3,
        ("d",): 6,
        ("listen",): 8,
        ("listen", 0): 8,
        ("listen", 0, "name"): 9,
        ("listen", 0, "requires", 0): 11,
        ("listen", 0, "requires", 1, "y", "z", 1): 13,
        ("listen", 0, "limits"): 15,
        ("listen", 0, "limits", "errors"): 16,
        ("listen", 1): 17,
        ("listen", 1, "limits", "h.s"): 19,
        ("listen", 1, "sub", 0, "k"): 21,
        ("deliver", "maildir"): 22,
        ("deliver", "maildir", "path"): 23,
        ("deliver", "maildir", "f"): 25,
    }.items() <= lines.items()


def paths(value: Any, at: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    """Every path of a document."""
    here = {at} if at else set()
    if isinstance(value, dict):
        return here.union(*(paths(each, (*at, key)) for key, each in value.items()))
    if isinstance(value, list):
        return here.union(*(paths(each, (*at, number)) for number, each in enumerate(value)))
    return here


def test_nothing_is_left_out() -> None:
    """All that tomllib reads is in the index, and nothing else."""
    for text in (TEXT, TEXT.replace("\n", "\r\n"), ""):
        assert paths(tomllib.loads(text)) == set(index(text))


KEYS = st.sampled_from(["a", "b-c", '"d.e"', "'f]'", "x.y", "g . h"])
STRINGS = st.sampled_from(
    ['"]"', "'#'", '"\\""', '"""\n]\n"""', "'''\n\"'''", '""', '"a = 1"', '"""a\\""""', "''"]
)
SCALARS = st.sampled_from(["1", "true", "1.5", "1979-05-27T07:32:00Z", "07:32:00", "0x1F", "-inf"])
VALUES = st.recursive(
    STRINGS | SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda each: "[ # ]\n" + ", # ,\n".join(each) + "\n]")
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda each: "{ " + ", ".join(f"k{n} = {of}" for n, of in enumerate(each)) + " }"
        )
    ),
    max_leaves=6,
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.sampled_from(["[t]", "[[l]]", "[l.s]", "[[l.m]]", "[ u . v ]", "# [x]", "", '["q ]"]']),
)


@given(st.lists(LINES, max_size=8).map("\n".join))
def test_whatever_tomllib_reads_is_indexed_whole(text: str) -> None:
    """Any valid text: the same paths, each on a line that there is."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = index(text)
    assert paths(document) == set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
