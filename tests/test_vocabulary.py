"""Every event that the host tells is in the vocabulary, and the vocabulary is on its page."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from mailframe import registry
from mailframe.message import Status
from mailframe.message.vocabulary import (
    FACTS,
    VOCABULARY,
    Stage,
    StageName,
    Verdict,
    complaint,
    row_of,
)
from mailframe.testing.hooks import Remembered, compose_hooks

HOUSE = Path(__file__).parents[1]
WRITER = HOUSE / "docs" / "write_events.py"


def test_the_page_is_up_to_date() -> None:
    """`python docs/write_events.py --check` finds nothing to write."""
    done = subprocess.run(
        [sys.executable, WRITER, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_table_is_sound() -> None:
    """One row for each kind, each fact explained and used, each word used."""
    kinds = [(row.stage, row.verdict) for row in VOCABULARY]
    assert len(kinds) == len(set(kinds))
    assert {fact for row in VOCABULARY for fact in row.facts} == set(FACTS)
    assert {row.verdict for row in VOCABULARY} - {None} == set(Verdict)
    assert {row.stage for row in VOCABULARY} == set(Stage)


def test_a_setting_can_name_each_stage() -> None:
    """And no other."""
    assert get_args(StageName) == tuple(Stage)


def test_a_fault_of_each_stage_can_be_told() -> None:
    """Every stage whose plugins are asked questions."""
    for stage in set(registry.STAGES) - {"queue", "observe", "serve"}:
        assert row_of(stage, "fault") is not None, stage


def test_every_outcome_can_be_told() -> None:
    """But that of a recipient who stands for others, which no agent gives."""
    for status in set(Status) - {Status.EXPANDED}:
        assert row_of("deliver", status.value) is not None, status


@pytest.mark.parametrize(
    ("stage", "verdict", "facts", "wrong"),
    [
        ("relay", "550 5.7.1 Relaying denied", ("client", "recipient"), ""),
        ("relay", "denied", (), "no 'denied' is told at 'relay'"),
        ("queue", "250 2.0.0 OK", (), "no '250 2.0.0 OK' is told at 'queue'"),
        ("nowhere", "found", (), "no 'found' is told at 'nowhere'"),
        ("queue", "finished", ("colour",), "'queue': 'finished' has no facts ['colour']"),
        ("deliver", "delivered", ("peer", "reply"), ""),
    ],
)
def test_what_is_wrong_with_an_event(
    stage: str, verdict: str, facts: tuple[str, ...], wrong: str
) -> None:
    """A word, a reply where there is none, or a fact that the table does not have."""
    assert complaint(stage, verdict, facts) == wrong


def test_the_words_are_texts() -> None:
    """Observers that compare, hash or print them need not know of the enumeration."""
    assert Stage.QUEUE in frozenset({"queue"}) and "queue" in {Stage.QUEUE: 1}
    assert f"{Verdict.LEASE_LOST}" == "lease lost" == str(Verdict.LEASE_LOST)


def test_a_plugin_tells_verdicts_of_its_own() -> None:
    """But none that is the host's."""
    seen = Remembered()
    hooks = compose_hooks(observers=[seen])
    hooks.tell_of("filter", "greylisted", "grey", {"id": "M1", "triples": 3})
    [event] = seen.events
    assert (event.stage, event.verdict, event.plugin) == ("filter", "greylisted", "grey")
    assert (event.id, event.session, event.facts) == ("M1", "", {"triples": 3})
    for stage, verdict in (("filter", "found"), ("relay", "250 2.1.5 OK"), ("session", "tls")):
        with pytest.raises(ValueError, match="is told by the host alone"):
            hooks.tell_of(stage, verdict, "grey", {})


def test_nobody_spells_a_word_of_the_table() -> None:
    """`tell` and its kin are given members of the enumerations, so a type checker sees them."""
    spelled = []
    for file in sorted((HOUSE / "mailframe").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                first = node.args[0] if node.args else None
                tells = node.func.attr in ("tell", "_tell", "decided")
                if tells and isinstance(first, ast.Constant) and first.value is not None:
                    spelled.append(f"{file.relative_to(HOUSE)}:{node.lineno}")
    assert not spelled, spelled
