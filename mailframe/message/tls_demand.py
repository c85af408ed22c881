"""How much TLS a policy demands of an exchange."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .route import TlsUse

#: From the least to the strictest. "implicit" is as strict as "verify", and a manner to connect.
_BY_STRICTNESS: tuple[TlsUse, ...] = ("never", "opportunistic", "require", "verify")


class CertificateJudge(Hashable, Protocol):
    """Says whether the certificates that an exchange showed will do.

    Judges that are equal judge alike: connections are used again by that. Make them frozen
    dataclasses.
    """

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        """Why not, in a few words for the log and the sender's report; "" if they will do.

        `host` is the exchange's name, `chain` the certificates in DER as the exchange sent
        them, its own first. What it raises counts as a refusal. It is called on the reactor, so
        it must be quick.
        """


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """What a tls_policy plugin demands of TLS with one exchange.

    `use` is the least: "opportunistic" is no demand, "require" TLS with any certificate,
    "verify" one of a trusted authority that names the exchange (RFC 6125). `certificates`, if not
    None, judges those that are shown, after `use` has been met (DANE, RFC 7672: "require" and a
    judge of TLSA records). `policy` names the policy for the trace: "sts", "dane".
    """

    use: Literal["opportunistic", "require", "verify"]
    certificates: CertificateJudge | None = None
    policy: str = ""


def stricter(one: TlsUse, other: TlsUse) -> TlsUse:
    """The stricter of two; "implicit" stays, being verified and how its host is dialled."""
    if "implicit" in (one, other):
        return "implicit"
    return max(one, other, key=_BY_STRICTNESS.index)
