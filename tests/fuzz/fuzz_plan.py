"""What one session says: a list of steps out of a seed, valid here and mangled there."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

Step = tuple[str, bytes]

ENDS = (
    b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n", b"\r\n\0.\r\n",
    b"\r\n.\0\r\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n", b"\n\n.\r\n", b"\r\n..\r\n", b"\r\n. \r\n",
)  # fmt: skip
ODD_LINES = (
    b"", b" ", b"\t", b"\0", b"HELP", b"HELP me", b"VRFY bob", b"VRFY", b"EXPN list", b"TURN",
    b"ETRN x", b"NOOP x", b"NOOP", b"RSET", b"RSET x", b"DATA x", b"QUIT x", b"EHLO", b"HELO",
    b"EHLO [192.0.2.1]", b"EHLO x y", b"LHLO x.example", b"HELO x.example", b"MAIL", b"RCPT",
    b"MAIL FROM:", b"MAIL FROM:<>", b"MAIL FROM: <a@client.example>", b"BDAT", b"BDAT x",
    b"BDAT -1", b"BDAT 5 FIRST", b"BDAT 0", b"BDAT 0 LAST", b"AUTH", b"AUTH PLAIN", b"AUTH X x",
    b"STARTTLS x", b"XCLIENT ADDR=127.0.0.1", b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25",
    b"GET / HTTP/1.1", b"MAIL FROM:<a@client.example> SIZE=99999999",
    b"MAIL FROM:<a@client.example> BODY=BINARYMIME SMTPUTF8 RET=HDRS ENVID=x+2By",
    b"MAIL FROM:<a@client.example> FOO=bar", "MAIL FROM:<ü@client.example>".encode(),
    "MAIL FROM:<ü@client.example> SMTPUTF8".encode(), b"RCPT TO:<bob@elsewhere.example>",
    b"RCPT TO:<bob%elsewhere.example@example.org>", b"RCPT TO:<postmaster>",
    b'RCPT TO:<"a b"@example.org>', b"RCPT TO:<@x.example:bob@example.org>",
    b"RCPT TO:<bob@example.org> NOTIFY=NEVER ORCPT=rfc822;x", b"RCPT TO:<>",
    b"RCPT TO:<bob@[127.0.0.1]>", b"\x16\x03\x01\x02\0\x01", b"\xff\xfe", "\u2028".encode(),
)  # fmt: skip


@dataclass
class Plan:
    """`listener` is where to connect. Steps: send, wait, tls, sleep, stall, quit, abort."""

    listener: str
    steps: list[Step] = field(default_factory=list)


def make_plan(seed: str) -> Plan:
    """The session of this seed, always the same."""
    return _Writer(Random(seed)).plan()


def healthy_plan(number: int) -> Plan:
    """A session in which all must be accepted."""
    body = b"Subject: healthy %d\r\n\r\n.dot\r\nlast\r\n" % number
    chunk = b"X: y\r\n\r\nchunk %d\r\n" % number
    steps: list[Step] = [
        ("send", b"EHLO healthy.example\r\n"), ("wait", b""),
        ("send", b"MAIL FROM:<h@client.example>\r\nRCPT TO:<healthy@example.org>\r\nDATA\r\n"),
        ("wait", b""), ("send", body.replace(b"\r\n.", b"\r\n..") + b".\r\n"), ("wait", b""),
        ("send", b"MAIL FROM:<h@client.example>\r\nRCPT TO:<healthy@example.org>\r\n"
         b"BDAT %d LAST\r\n" % len(chunk) + chunk),
        ("wait", b""), ("quit", b""),
    ]  # fmt: skip
    return Plan("mx", steps)


class _Writer:
    """Writes one plan."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.mangling = rng.choice((0.0, 0.02, 0.1, 0.4))
        self.pipelining = rng.choice((0.0, 0.5, 1.0))
        self.steps: list[Step] = []
        self._out = b""

    def plan(self) -> Plan:
        rng = self.rng
        listener = rng.choices(("mx", "lmtp", "smtps"), (70, 15, 15))[0]
        secure = listener == "smtps"
        hello = b"LHLO c.example" if listener == "lmtp" else b"EHLO c.example"
        self.say(hello)
        if not secure and rng.random() < 0.25:
            self.start_tls()
            secure = True
            self.say(hello)
        if secure and rng.random() < 0.4:
            self.authenticate()
        for _ in range(rng.choice((0, 1, 1, 2, 3))):
            self.transaction()
        for _ in range(rng.choice((0, 0, 1, 5, 30))):
            self.odd()
        self.end()
        return Plan(listener, self.steps)

    def say(self, line: bytes, octets: bytes = b"") -> None:
        """A line and what follows it, perhaps mangled, perhaps with what came before."""
        unit = line + b"\r\n" + octets
        if self.rng.random() < self.mangling:
            unit = mangle(self.rng, unit)
        self._out += unit
        if self.rng.random() >= self.pipelining:
            self.flush()

    def flush(self, wait: bool = True) -> None:
        rng, octets = self.rng, self._out
        self._out = b""
        cuts = sorted(rng.randrange(len(octets) + 1) for _ in range(rng.choice((0, 0, 1, 3))))
        for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True):
            if octets[start:end]:
                self.steps.append(("send", octets[start:end]))
        if wait:
            self.steps.append(("wait", b""))

    def start_tls(self) -> None:
        self.flush()
        injection = b""
        if self.rng.random() < 0.3:
            injection = self.rng.choice(
                (b"NOOP\r\n", b"EHLO evil.example\r\nMAIL FROM:<evil@client.example>\r\n", b"N")
            )
        self.steps += [("send", b"STARTTLS\r\n" + injection), ("wait", b"")]
        self.steps.append(("tls", b"") if self.rng.random() < 0.9 else ("send", b"NOOP\r\n"))

    def authenticate(self) -> None:
        rng = self.rng
        good = base64.b64encode(b"\0alice\0secret")
        kind = rng.random()
        if kind < 0.4:
            self.say(b"AUTH PLAIN " + good)
        elif kind < 0.6:
            self.say(b"AUTH LOGIN")
            self.say(base64.b64encode(b"alice"))
            self.say(base64.b64encode(rng.choice((b"secret", b"secret", b"guess"))))
        elif kind < 0.7:
            self.say(b"AUTH PLAIN " + base64.b64encode(b"\0alice\0guess"))
        else:
            self.say(b"AUTH PLAIN")
            self.say(rng.choice((b"*", b"=", good, b"!!!", b"A" * 13000, b"\xff", b"")))

    def transaction(self) -> None:
        rng = self.rng
        body = rng.choice((b"", b"", b" BODY=8BITMIME", b" BODY=BINARYMIME"))
        self.say(b"MAIL FROM:<s%d@client.example>" % rng.randrange(100) + body)
        for _ in range(rng.choice((0, 1, 1, 1, 2, 5, 25))):
            if rng.random() < 0.05:
                self.odd()
            self.say(b"RCPT TO:<r%d@example.org>" % rng.randrange(1000))
        if rng.random() < 0.1:
            self.odd()
        if b"BINARY" in body or rng.random() < 0.4:
            self.chunks(b"BINARY" in body)
        else:
            self.data()

    def data(self) -> None:
        rng = self.rng
        text = message(rng)
        if rng.random() < 0.25:
            at = rng.randrange(len(text) + 1)
            hidden = b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<evil@example.org>\r\nDATA\r\n"
            text = text[:at] + rng.choice(ENDS) + hidden + text[at:]
        if not text.endswith(b"\r\n"):
            text += b"\r\n"
        dotted = (b"\r\n" + text).replace(b"\r\n.", b"\r\n..")[2:]
        self.say(b"DATA")
        if rng.random() < 0.8:
            self.flush()  # most wait for the 354
        self.say(dotted + b".")

    def chunks(self, binary: bool) -> None:
        rng = self.rng
        octets = message(rng)
        if binary and rng.random() < 0.5:
            octets += rng.randbytes(rng.choice((1, 100, 5000)))
        elif rng.random() < 0.1:
            octets += rng.choice(ENDS)
        while True:
            size = rng.randrange(len(octets) + 1)
            last = rng.random() < 0.5
            piece, octets = (octets, b"") if last else (octets[:size], octets[size:])
            claimed = len(piece)
            if rng.random() < self.mangling / 4:
                claimed = max(0, claimed + rng.randrange(-5, 6))
            self.say(b"BDAT %d%s" % (claimed, b" LAST" * last), piece)
            if last:
                return

    def odd(self) -> None:
        rng = self.rng
        line = rng.choice(ODD_LINES)
        if rng.random() < 0.1:
            line += rng.choice((b"x" * 600, b"x" * 2100, b"x" * 20_000, b" " * 3000))
        self.say(line)

    def end(self) -> None:
        self.flush()
        kind = self.rng.random()
        if kind < 0.03:
            self.steps.append(("stall", b""))
        elif kind < 0.15:
            self.say(b"MAIL FROM:<s@client.example>")
            self.flush(wait=False)
            self.steps.append(("abort", b""))
        else:
            self.steps.append(("quit", b""))


def message(rng: Random) -> bytes:
    """A message of CRLF lines, sometimes with dots, long lines, many fields, eight bits."""
    lines = [b"Subject: %d" % rng.randrange(10**9)]
    lines += [b"Received: from x by y; now"] * rng.choice((0, 0, 0, 1, 9, 12))
    lines += [b"X-%d: y" % number for number in range(rng.choice((0, 0, 3, 280, 320)))]
    lines.append(b"")
    for _ in range(rng.choice((0, 1, 5, 50))):
        lines.append(
            rng.choice((b".", b"..", b".x", b"text", b"", b"x" * 997, b"x" * 5000, b"\xc3\xbc"))
        )
    if rng.random() < 0.02:
        lines += [b"y" * 70] * rng.choice((2500, 3500))
    return b"\r\n".join(lines) + b"\r\n"


def mangle(rng: Random, unit: bytes) -> bytes:
    """The unit with one thing wrong."""
    at = rng.randrange(len(unit) + 1)
    upto = min(len(unit), at + rng.choice((1, 1, 2, 10)))
    ways: tuple[Callable[[], bytes], ...] = (
        lambda: unit[:at] + unit[upto:],
        lambda: unit[:at] + rng.randbytes(rng.choice((1, 3))) + unit[upto:],
        lambda: unit[:at] + rng.choice((b"\0", b"\r", b"\n", b"\t", b" ", b"\x7f")) + unit[at:],
        lambda: unit[:upto] + unit[at:],
        lambda: unit + unit,
        lambda: unit[:at],
        lambda: unit.replace(b"\r\n", rng.choice((b"\n", b"\r", b"\n\r", b"\r\r\n", b"")), 1),
        lambda: unit.swapcase(),
        lambda: unit[:at] + b"\xff\xc0\xaf"[: rng.randrange(1, 4)] + unit[at:],
        lambda: unit[:at] + b"A" * rng.choice((100, 3000, 15_000)) + unit[at:],
        lambda: b"\r\n" + unit,
    )
    return rng.choice(ways)()
