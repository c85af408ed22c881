"""Coverage-guided fuzzing of the language (mailframe.smtp) with atheris.

    .venv/bin/pip install -e '.[fuzz]'          # once; atheris is no dependency otherwise
    python tests/fuzz/guided.py grammar -max_total_time=120

Targets: grammar, reply, server, client. What follows the target's name goes to libFuzzer. The
corpus grows in build/fuzz/TARGET, sown from tests/conversations; a crash is written to
build/fuzz/ and is replayed by naming its file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "smtp")]

try:
    import atheris
except ImportError:
    sys.exit("atheris is missing: .venv/bin/pip install -e '.[fuzz]' (or pip install atheris)")

with atheris.instrument_imports(include=["mailframe.smtp"]):
    from mailframe.smtp import client, command, event, grammar, reply, server
    from mailframe.smtp import offer as offers

MOST = 1 << 17  # octets that a dialogue may keep of what it was given


def check_grammar(octets: bytes) -> None:
    """Any line gives a Command or a refusal; what is read is written and read back the same."""
    for line in octets.split(b"\r\n"):
        read = grammar.parse_command(line)
        if isinstance(read, reply.Reply):
            assert not read.positive, read
            continue
        try:
            written = grammar.write_command(read)
        except grammar.Unwritable:
            continue
        assert written.endswith(b"\r\n") and written.count(b"\n") == 1, written
        again = grammar.parse_command(written[:-2])
        assert again == read or len(written) > server.MAX_COMMAND_LINE, (line, read, again)


def check_reply(octets: bytes) -> None:
    """Any line gives a ReplyLine or a ValueError, and its text is fit for a Reply."""
    for line in octets.split(b"\n"):
        try:
            read = grammar.parse_reply_line(line)
        except ValueError:
            continue
        said = reply.Reply(read.code, read.text, read.status)
        wire = said.to_bytes()
        assert wire.endswith(b"\r\n") and max(map(len, wire.split(b"\r\n"))) <= 510, wire


def check_server(octets: bytes) -> None:
    """Any octets, cut anyhow: the same events; each is answered; nothing grows."""
    if len(octets) < 4:
        return
    kind, cut, octets = octets[0], octets[1], octets[2:]
    whole = _server_hears(kind, octets, 0)
    assert _server_hears(kind, octets, cut % 64 + 1) == whole


def _server_hears(kind: int, octets: bytes, cut: int) -> list[Any]:
    offer = offers.Offer(5000 * (kind & 1), bool(kind & 2), ("PLAIN",) if kind & 4 else ())
    dialogue = server.ServerDialogue("mx.example", offer, lmtp=bool(kind & 8))
    refuses = kind >> 4
    heard: list[Any] = []
    for at in range(0, len(octets), cut or len(octets)):
        dialogue.receive_data(octets[at : at + (cut or len(octets))])
        while (came := dialogue.next_event()) is not None:
            _join(heard, came)
            if not isinstance(came, command.Bdat | event.Content):
                said = dialogue.send(_answer(dialogue, came, len(heard), refuses))
                assert said.endswith(b"\r\n")
            if dialogue.state == "securing":
                return heard  # what follows in one piece is dropped, in two it is TLS
        assert dialogue.buffered < MOST
    return heard


def _join(heard: list[Any], came: Any) -> None:
    """Remember an event; pieces of content are one."""
    if isinstance(came, event.Content) and heard and isinstance(heard[-1], event.Content):
        came = event.Content(heard.pop().octets + came.octets)
    heard.append(came)


def _answer(dialogue: Any, came: Any, number: int, refuses: int) -> Any:
    """What a session might say: refusals by chance of the input, else yes."""
    refusal = getattr(came, "refusal", None) or getattr(came, "reply", None)
    if refusal is not None:
        return refusal
    if refuses and isinstance(came, command.Mail | command.Rcpt) and number % 16 == refuses:
        return reply.NO_SUCH_MAILBOX
    if isinstance(came, command.Helo | command.Ehlo | command.Lhlo):
        return dialogue.hello_reply(came)
    if isinstance(came, command.Auth) and came.initial is None:
        return reply.Reply(334, "")
    return _POSITIVE.get(type(came), reply.OK)


_POSITIVE = {
    command.Data: reply.GO_AHEAD,
    command.Quit: reply.BYE,
    command.StartTls: reply.READY_FOR_TLS,
    command.Auth: reply.AUTHENTICATED,
    event.AuthLine: reply.AUTHENTICATED,
}


def check_client(octets: bytes) -> None:
    """Any replies, cut anyhow: the same answers; each to what was asked; nothing grows."""
    if len(octets) < 3:
        return
    kind, cut, octets = octets[0], octets[1], octets[2:]
    whole = _client_hears(kind, octets, 0)
    assert _client_hears(kind, octets, cut % 64 + 1) == whole


def _client_hears(kind: int, octets: bytes, cut: int) -> list[Any]:
    dialogue = client.ClientDialogue(lmtp=bool(kind & 1))
    hello = command.Lhlo("me.example") if kind & 1 else command.Ehlo("me.example")
    box = grammar.parse_command(b"RCPT TO:<b@example.org>")
    assert isinstance(box, command.Rcpt)
    more = [command.StartTls()] if kind & 2 else [command.Auth("PLAIN"), event.AuthLine(b"x")]
    dialogue.send(hello, *more, command.Mail(None), box, box, command.Data())
    asked, heard, answers = dialogue.owed, [], 0
    for at in range(0, len(octets), cut or len(octets)):
        dialogue.receive_data(octets[at : at + (cut or len(octets))])
        while (came := dialogue.next_event()) is not None:
            heard.append(came)
            answers += isinstance(came, client.Answer)
    assert answers <= asked
    assert len(dialogue._buffer) <= client.MAX_LINE + 1
    return heard


TARGETS: dict[str, Callable[[bytes], None]] = {
    "grammar": check_grammar,
    "reply": check_reply,
    "server": check_server,
    "client": check_client,
}


def _seeds(target: str) -> Iterator[bytes]:
    """The client's octets of each conversation, or the server's for reply and client."""
    from test_conversations import read, unescape

    wanted = "S" if target in ("reply", "client") else "C"
    head = {"server": b"\x06\x07", "client": b"\x00\x07"}.get(target, b"")
    for path in sorted((ROOT / "tests" / "conversations").glob("*.smtp")):
        steps = [step for step in read(path)[1] if step[0][0] == wanted]
        yield head + b"".join(unescape(text) + b"\r\n" * (mark[1] != "|") for mark, text in steps)


def main() -> None:
    """libFuzzer takes over."""
    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: guided.py {'|'.join(TARGETS)} [libFuzzer's options]")
    target = sys.argv.pop(1)
    corpus = ROOT / "build" / "fuzz" / target
    if not corpus.is_dir():
        corpus.mkdir(parents=True)
        for number, octets in enumerate(_seeds(target)):
            (corpus / f"seed-{number:03}").write_bytes(octets)
    files = [word for word in sys.argv[1:] if not word.startswith("-")]
    crashes = f"-artifact_prefix={corpus.parent}/{target}-"
    argv = [sys.argv[0], crashes, "-timeout=10", "-rss_limit_mb=1024", *sys.argv[1:]]
    atheris.Setup(argv if files else [*argv, str(corpus)], TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
