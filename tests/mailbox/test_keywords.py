"""dovecot-keywords: letters for keywords."""

from __future__ import annotations

import pytest
from mailbox_kit import Place

from mailframe.mailbox.keywords import NAME, KeywordFile, KeywordsFull
from mailframe.mailbox.lock import DotLock


def keywords(place: Place) -> KeywordFile:
    found = KeywordFile(place.maildir)
    found.read()
    return found


def add(place: Place, *words: str) -> None:
    with DotLock(place.path / "dovecot-uidlist") as lock:
        keywords(place).add(words, lock)


def test_keywords_get_letters(place: Place) -> None:
    """The lowest that are free; a keyword that is there keeps its letter, whatever its case."""
    assert keywords(place).all == []
    add(place, "$Forwarded", "Junk", "Junk")
    assert place.text(NAME) == "0 $Forwarded\n1 Junk\n"
    add(place, "JUNK", "NonJunk")
    found = keywords(place)
    assert [found.letter(word) for word in ("$forwarded", "Junk", "nonjunk")] == ["a", "b", "c"]
    assert found.keyword("c") == "NonJunk" and found.keyword("z") is None
    assert found.letter("other") is None and not found.full


def test_lines_of_others_are_kept(place: Place) -> None:
    """Holes are filled; numbers above 25, doubles and nonsense have no letter and stay."""
    place.write("0 A\n2 C\n2 D\n5 a\n30 Far\nnonsense\n7 torn", NAME)
    assert keywords(place).all == ["A", "C"]
    add(place, "B", "E")
    assert place.text(NAME) == "0 A\n2 C\n2 D\n5 a\n30 Far\nnonsense\n1 B\n3 E\n"
    assert keywords(place).all == ["A", "B", "C", "E"]


def test_there_are_26(place: Place) -> None:
    """One more is refused, and nothing changes."""
    add(place, *(f"k{number}" for number in range(25)))
    text = place.text(NAME)
    with pytest.raises(KeywordsFull):
        add(place, "one", "two")
    assert place.text(NAME) == text
    add(place, "one", "K3")
    assert keywords(place).full and keywords(place).letter("one") == "z"


@pytest.mark.parametrize("word", ["", "a b", "a\nb", "\\Seen", 'a"', "a(", "é", "x" * 201, "a*"])
def test_what_is_no_atom_is_refused(place: Place, word: str) -> None:
    """Nothing can put a line of its own into the file."""
    with pytest.raises(ValueError, match="keyword"):
        add(place, "fine", word)
    assert keywords(place).all == []
