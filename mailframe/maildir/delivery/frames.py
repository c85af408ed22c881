"""What a host and its delivery process write to each other over two pipes.

    rules    length | JSON object                                   to the process, once
    round    length | JSON [[size, [addressee, ...]], ...] | octets  to the process
    answer   length | JSON [[null or fault, ...], ...]               from it, one for each round;
                                                                     [] when it has the rules

`length` and the JSON text are a frame (`wire.frames`). The text of a round is followed by the
octets of its messages, `size` of each. A fault is [errno, text, file name], or [kind, text].
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ...message import Content
from ...wire.frames import Read, frame, read_frame
from ..owner import NoSuchOwner
from ..quota import OverQuota
from .deliverer import Addressee, BeenHere, Results, Rules, Task

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


class Trouble(Exception):
    """Something went wrong in the other process; the text is from that process."""


_KINDS: Mapping[str, type[Exception]] = {
    "BeenHere": BeenHere,
    "OverQuota": OverQuota,
    "NoSuchOwner": NoSuchOwner,
}


def rules_frame(rules: Rules) -> bytes:
    """The first frame."""
    return _frame(asdict(rules))


def read_rules(read: Read) -> Rules:
    """Read the first frame."""
    return Rules(**_read_json(read))


def round_frame(tasks: Sequence[Task]) -> bytes:
    """Tasks to be delivered together. TypeError if one cannot be given to another process."""
    words = []
    pieces = [b""]
    for content, addressees, line_ends in tasks:
        if not isinstance(content.body, bytes) or line_ends is not None:
            raise TypeError("the content is not at hand, or has line ends of its own")
        words.append((len(content.prefix) + len(content.body), addressees))
        pieces += (content.prefix, content.body)
    pieces[0] = _frame(words)
    return b"".join(pieces)


def read_round(read: Read) -> list[Task]:
    """The tasks of the next round. EOFError if no other comes."""
    return [
        Task(Content(b"", read(size), size), [_addressee(each) for each in addressees])
        for size, addressees in _read_json(read)
    ]


def _addressee(words: list[Any]) -> Addressee:
    """An addressee from JSON, its lists turned into tuples again, so that it can be a key."""
    values: list[Any] = [tuple(each) if isinstance(each, list) else each for each in words]
    return Addressee(*values)


def answer_frame(results: Sequence[Results]) -> bytes:
    """The frame with the results of a round."""
    return _frame([[failed and _fault(failed) for failed in each] for each in results])


def read_answer(text: bytes) -> list[Results]:
    """The results of a round, from the JSON text. ValueError or TypeError if it is no answer."""
    return [[fault and _exception(*fault) for fault in faults] for faults in json.loads(text)]


def _fault(failed: Exception) -> list[Any]:
    if isinstance(failed, OSError) and failed.errno is not None:
        name = None if failed.filename is None else str(failed.filename)
        return [failed.errno, failed.strerror or "", name]
    if isinstance(failed, BeenHere | OverQuota | NoSuchOwner):
        return [type(failed).__name__, str(failed)]
    return ["", f"{type(failed).__name__}: {failed}"]


def _exception(kind: int | str, text: str, name: str | None = None) -> Exception:
    if isinstance(kind, int):
        return OSError(kind, text, name)
    return _KINDS.get(kind, Trouble)(text)


def _frame(value: Any) -> bytes:
    return frame(_encode(value).encode("ascii"))


def _read_json(read: Read) -> Any:
    return json.loads(read_frame(read))
