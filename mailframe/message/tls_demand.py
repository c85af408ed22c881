"""The TLS that a policy demands of an exchange."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from .route import TlsUse

#: From the mildest to the strictest. "implicit" is as strict as "verify", and also a way to
#: connect.
_BY_STRICTNESS: tuple[TlsUse, ...] = ("never", "opportunistic", "require", "verify")


class CertificateJudge(Hashable, Protocol):
    """Decides whether the certificates that an exchange has shown are good enough.

    Judges that are equal must decide alike, because connections are reused by that. Make them
    frozen dataclasses.
    """

    def judge(self, host: str, chain: Sequence[bytes]) -> str:
        """Why not, in a few words for the log and the sender's report; "" if they are good enough.

        `host` is the exchange's name. `chain` are the certificates in DER as the exchange sent
        them, beginning with its own. An exception counts as a refusal. It is called on the reactor,
        so it must be quick.
        """


@dataclass(frozen=True, slots=True)
class TlsDemand:
    """The TLS that a tls_policy plugin demands of one exchange.

    `use` is the minimum: "opportunistic" demands nothing, "require" wants TLS with any certificate,
    "verify" wants one from a trusted authority that names the exchange (RFC 6125). `certificates`,
    if not None, judges the certificates after `use` has been met (DANE, RFC 7672: "require" and a
    judge of TLSA records). `policy` names the policy for the trace: "sts", "dane".
    """

    use: Literal["opportunistic", "require", "verify"]
    certificates: CertificateJudge | None = None
    policy: str = ""


def stricter(one: TlsUse, other: TlsUse) -> TlsUse:
    """The stricter of two. "implicit" stays, because it is verified and also the way to connect."""
    if "implicit" in (one, other):
        return "implicit"
    return max(one, other, key=_BY_STRICTNESS.index)
