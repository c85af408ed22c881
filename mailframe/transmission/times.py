"""Timeouts of a client (RFC 5321 section 4.5.3.2)."""

from __future__ import annotations

from dataclasses import dataclass

from ..setting import Duration, setting


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait for each reply or action of the server."""

    connect: Duration = setting("for a connection to one address", Duration(30.0))
    greeting: Duration = setting("for the greeting", Duration(300.0))
    hello: Duration = setting("for the reply to EHLO, HELO, LHLO, STARTTLS, AUTH", Duration(300.0))
    tls: Duration = setting("for a TLS handshake", Duration(60.0))
    mail: Duration = setting("for the reply to MAIL", Duration(300.0))
    recipient: Duration = setting("for the reply to each RCPT", Duration(300.0))
    data: Duration = setting("for the 354 to DATA", Duration(120.0))
    block: Duration = setting("for the server to take some content", Duration(180.0))
    final: Duration = setting("for the reply to the content", Duration(600.0))
    reset: Duration = setting("for the reply to RSET", Duration(20.0))
