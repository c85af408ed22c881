"""Who asks for names by AUTH learns none: not by the reply, not by the time, not by the steps."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tables_kit import INBOUND, MAILBOXES, Composed, Talk
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin

from mailframe.settings import TlsSettings
from mailframe.testing.certificates import make_authority
from mailframe.testing.hooks import result_of
from mailframe.testing.values import site
from mailframe.wire.certificates import Certificates
from mailframe_plugins import auth_passwords
from mailframe_plugins.auth_passwords import Passwords, Scrypt, Settings

AUTH = '[[auth]]\nplugin = "passwords"\nfile = "users"\n'
CHEAP = Scrypt(n=2)
LISTED = f"alice:{replace(CHEAP, hash=CHEAP.compute(b'secret', 32))}\n"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certificates]:
    live = tmp_path_factory.mktemp("live")
    make_authority().issue("mx.example.org").write_live(live)
    yield Certificates(TlsSettings(live), "mx.example.org")


@pytest.fixture
def talk(tmp_path: Path, certificates: Certificates) -> Talk:
    """A client in TLS, after EHLO."""
    place = Composed(
        tmp_path, INBOUND + AUTH, files={**MAILBOXES, "users": LISTED}, certificates=certificates
    )
    talk = place.greeted()
    talk.say("STARTTLS")
    talk.start_tls()
    talk.say("EHLO client.example")
    return talk


def encoded(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


#: name, password -> what would differ on a careless server
GUESSES = {
    (b"alice", b"guess"): "a user there is, a wrong password",
    (b"nobody", b"guess"): "no such user",
    (b"nobody", b"secret"): "no such user, another's password",
    (b"ALICE", b"guess"): "a user in capitals",
    (b"alice@example.org", b"secret"): "with a domain",
    (b"a" * 255, b"guess"): "the longest name",
    (b"alice\n", b"guess"): "a line break in the name",
    (b"../alice", b"guess"): "traversal in the name",
    (b"alice' OR '1'='1", b"x"): "SQL",
    (b"*)(uid=*", b"x"): "LDAP",
    ("älice".encode(), b"guess"): "not ASCII",
    (b"alice", b"x" * 255): "the longest password",
}


def _heard_after(talk: Talk, lines: list[str]) -> tuple[float, str]:
    """Seconds of the clock until the last reply, and the reply."""
    heard = talk.say(*lines)
    seconds = 0.0
    while not any(row[:3] not in ("334",) for row in heard):
        talk.place.clock.advance(0.05)
        seconds += 0.05
        assert seconds < 10
        heard += talk.heard()
    return round(seconds, 2), heard[-1]


@pytest.mark.parametrize("mechanism", ["PLAIN", "PLAIN in two", "LOGIN"])
@pytest.mark.parametrize("guess", GUESSES, ids=GUESSES.values())
def test_one_answer_for_all(talk: Talk, guess: tuple[bytes, bytes], mechanism: str) -> None:
    """CWE-204, CWE-208: the same reply after the same time, whoever there is."""
    name, word = guess
    plain = encoded(b"\0" + name + b"\0" + word)
    lines = {
        "PLAIN": [f"AUTH PLAIN {plain}"],
        "PLAIN in two": ["AUTH PLAIN", plain],
        "LOGIN": ["AUTH LOGIN", encoded(name), encoded(word)],
    }[mechanism]
    seconds, answer = _heard_after(talk, lines)
    assert answer == "535 5.7.8 Authentication credentials invalid"
    assert seconds in (1.0, 1.05)
    assert talk.protocol.session.client.user is None


def test_login_asks_for_a_password_whoever_it_is(talk: Talk) -> None:
    """The name alone is judged by nobody."""
    for name in (b"alice", b"nobody"):
        assert talk.say("AUTH LOGIN", encoded(name))[-1] == f"334 {encoded(b'Password:')}"
        talk.say("*")


def test_the_work_is_the_same_for_names_that_are_not(tmp_path: Path, monkeypatch: Any) -> None:
    """One hash is computed for each guess, with the same cost (CVE-2018-15473's kind)."""
    (tmp_path / "users").write_text(LISTED)
    work: list[tuple[int, int, int]] = []
    compute = Scrypt.compute

    def counted(self: Scrypt, password: bytes, length: int) -> bytes:
        work.append((self.n, self.r, self.p))
        return compute(self, password, length)

    monkeypatch.setattr(auth_passwords.Scrypt, "compute", counted)
    checker = Passwords(Settings(Path("users")), site(tmp_path))
    for name in (b"alice", b"nobody"):
        with pytest.raises(UnauthorizedLogin):
            result_of(checker.requestAvatarId(UsernamePassword(name, b"guess")))
    assert work == [(2, 8, 1)] * 2


@pytest.mark.parametrize("line", ["VRFY alice", "VRFY nobody", "EXPN alice", "EXPN nobody"])
def test_vrfy_and_expn_tell_nothing(talk: Talk, line: str) -> None:
    """RFC 5321 section 7.3: 252 and 502 for everybody."""
    assert talk.codes(line) == ["252" if line.startswith("VRFY") else "502"]


#: exchanges that must not end in a login -> the last code
ODD = {
    "a login for another": (["AUTH PLAIN " + encoded(b"boss\0alice\0secret")], "535"),
    "two NULs too few": (["AUTH PLAIN " + encoded(b"alice")], "501"),
    "a NUL too many": (["AUTH PLAIN " + encoded(b"\0alice\0secret\0")], "501"),
    "an empty name": (["AUTH PLAIN " + encoded(b"\0\0secret")], "501"),
    "an empty password": (["AUTH PLAIN " + encoded(b"\0alice\0")], "501"),
    "a cancel": (["AUTH PLAIN", "*"], "501"),
    "an empty response": (["AUTH PLAIN", ""], "501"),
    "no base64": (["AUTH PLAIN", "!"], "501"),
    "base64 without its padding": (["AUTH PLAIN", encoded(b"\0alice\0secret")[:-1]], "501"),
    "a mechanism that is not offered": (["AUTH CRAM-MD5"], "504"),
    "a mechanism of another length": (["AUTH " + "X" * 21], "501"),
    "a downgrade to ANONYMOUS": (["AUTH ANONYMOUS"], "504"),
    "EXTERNAL without a certificate": (["AUTH EXTERNAL ="], "504"),
}


@pytest.mark.parametrize("how", ODD)
def test_odd_exchanges(talk: Talk, how: str) -> None:
    """RFC 4954 section 4, RFC 4616 section 2: refused, and AUTH may begin anew."""
    lines, code = ODD[how]
    assert _heard_after(talk, lines)[1][:3] == code
    assert talk.protocol.session.client.user is None
    talk.say("AUTH PLAIN " + encoded(b"\0alice\0secret"))
    talk.place.clock.advance(0)
    assert talk.protocol.session.client.user == "alice"
    assert talk.codes("AUTH PLAIN " + encoded(b"\0alice\0secret")) == ["503"]


def test_auth_cannot_be_guessed_by_many_sessions(talk: Talk) -> None:
    """RFC 4954 section 4: 454 4.7.0 is a temporary failure; the password is not looked at then."""
    guesses = talk.place.hooks.logins.guesses
    for _ in range(20):
        guesses.failed(talk.protocol.session.client.address, "alice")
    right = ["AUTH PLAIN " + encoded(b"\0alice\0secret")]
    assert _heard_after(talk, right)[1] == "454 4.7.0 Too many failed logins, try again later"
    assert talk.protocol.session.client.user is None


def test_auth_cannot_be_guessed_without_end(talk: Talk) -> None:
    """Twenty-one wrong ones end the session."""
    wrong = ["AUTH PLAIN " + encoded(b"\0alice\0guess")]
    answers = [_heard_after(talk, wrong)[1] for _ in range(21)]
    assert {answer[:3] for answer in answers[:20]} == {"535"}
    assert answers[20] == "421 4.7.0 Too many errors, closing the connection"
    assert talk.say(*wrong) == []
    talk.place.clock.pump([1.0] * 20)
    assert talk.wire.closed
