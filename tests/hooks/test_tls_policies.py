"""TLS policies: the strictest counts, and a failing one never lets mail go less secured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from mailframe.message import TlsDemand
from mailframe.message.tls_demand import stricter
from mailframe.smtp.reply import Reply
from mailframe.testing.hooks import Remembered, compose_hooks, result_of

REFUSED = Reply(451, "Not an exchange of its policy", "4.7.0")


class Demands:
    """A policy made of what it says."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str]] = []

    def demand(self, domain: str, exchange: str) -> Any:
        self.asked.append((domain, exchange))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@dataclass(frozen=True)
class Says:
    """A judge of certificates who says this."""

    why: str

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        return self.why


@dataclass
class Unhashable:
    """A judge who cannot be told from others."""

    why: str

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        return self.why


def demanded(*policies: Any, **more: Any) -> Any:
    return result_of(
        compose_hooks(tls_policies=policies, **more).demand("x.example", "mx.x.example")
    )


class TestTlsPolicies(SynchronousTestCase):
    def test_nobody_speaks(self) -> None:
        """There is no demand."""
        assert demanded() is None
        assert demanded(Demands(), Demands(succeed(None))) is None

    def test_the_strictest_counts(self) -> None:
        """In whichever order they are asked."""
        weak, strong = TlsDemand("require", policy="dane"), TlsDemand("verify", policy="sts")
        for policies in ((weak, strong), (strong, weak)):
            demand = demanded(*map(Demands, policies))
            assert demand.use == "verify" and demand.certificates is None
        assert demanded(Demands(weak), Demands(strong)).policy == "dane, sts"
        assert demanded(Demands(), Demands(weak)) is weak

    def test_judges_are_all_asked(self) -> None:
        """Certificates must do for each of them; equal judges are one."""
        yes, no = Says(""), Says("no")
        both = demanded(Demands(TlsDemand("require", yes)), Demands(TlsDemand("require", no)))
        assert both.certificates is not None and both.certificates.judge("h", ()) == "no"
        again = demanded(Demands(TlsDemand("require", yes)), Demands(TlsDemand("require", no)))
        assert both == again and hash(both.certificates) == hash(again.certificates)
        same = demanded(Demands(TlsDemand("require", yes)), Demands(TlsDemand("verify", Says(""))))
        assert same.certificates == yes

    def test_a_refusal_ends_it(self) -> None:
        """The exchange is not used."""
        later = Demands()
        assert demanded(Demands(REFUSED), later) == REFUSED
        assert later.asked == []

    def test_a_fault_is_a_refusal_for_now(self) -> None:
        """Also an answer that is none."""
        for answer in (
            RuntimeError("secret"),
            "verify",
            TlsDemand("never"),  # type: ignore[arg-type]
            TlsDemand("require", Unhashable("")),
            TlsDemand("require", "no judge"),  # type: ignore[arg-type]
            Reply(250, "ok"),
        ):
            reply = demanded(Demands(answer))
            assert isinstance(reply, Reply) and reply.code == 451 and "(ref " in reply.text, answer
            self.flushLoggedErrors()

    def test_it_is_told(self) -> None:
        """What was demanded of whom."""
        observer = Remembered()
        demanded(Demands(TlsDemand("verify", policy="sts")), Demands(REFUSED), observers=[observer])
        assert observer.verdicts("tls_policy") == ["verify", str(REFUSED)]
        assert observer.events[0].facts["exchange"] == "mx.x.example"


def test_stricter() -> None:
    """How a host is dialled is not changed by a policy, and nothing becomes weaker."""
    assert stricter("never", "require") == stricter("require", "never") == "require"
    assert stricter("opportunistic", "verify") == "verify"
    assert stricter("implicit", "verify") == stricter("never", "implicit") == "implicit"
