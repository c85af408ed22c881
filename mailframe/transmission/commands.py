"""Builds MAIL and RCPT for a server with certain extensions."""

from __future__ import annotations

from ..message import Envelope, Recipient
from ..names.domains import to_ascii
from ..smtp.address import Mailbox
from ..smtp.client import Spelled, spell
from ..smtp.command import Body, Mail, Rcpt
from ..smtp.extensions import Extensions
from ..smtp.grammar import Unwritable


def fit_address(mailbox: Mailbox, extensions: Extensions) -> Mailbox | None:
    """The mailbox in a form that this server understands, None if there is none.

    Without SMTPUTF8 a domain is written in A-labels (RFC 6531 section 3.2). A non-ASCII local
    part cannot be written in any other way.
    """
    if mailbox.is_ascii or "SMTPUTF8" in extensions:
        return mailbox
    try:
        fitting = Mailbox(mailbox.local, to_ascii(mailbox.domain))
    except ValueError:
        return None
    return fitting if fitting.is_ascii else None


def mail_command(
    envelope: Envelope,
    sender: Mailbox | None,
    spelled: Mailbox | None,
    *,
    size: int,
    body: Body,
    smtputf8: bool,
    extensions: Extensions,
) -> Spelled | None:
    """MAIL with the parameters that the server offers; None if it cannot be written.

    `sender` is the reverse-path, and `spelled` the form of it that this server understands. `size`
    is the number of octets of the content. RET and ENVID belong to the envelope's own sender, not
    to a list's owner (RFC 3461 section 5.2.7.3).
    """
    own = sender is envelope.sender or sender == envelope.sender
    dsn = own and "DSN" in extensions
    command = Mail(
        spelled,
        size=size if "SIZE" in extensions else None,
        body=body,
        smtputf8=smtputf8,
        ret=envelope.ret if dsn else None,
        envid=envelope.envid if dsn else None,
    )
    return _spelled(command) or _spelled(command._replace(envid=None))


def rcpt_command(recipient: Recipient, address: Mailbox, extensions: Extensions) -> Spelled | None:
    """RCPT, with NOTIFY and ORCPT if the server sends reports itself (RFC 3461 section 5.2.1).

    None if it cannot be written.
    """
    if "DSN" not in extensions:
        return _spelled(Rcpt(address))
    orcpt = recipient.orcpt
    if recipient.sender is not None and recipient.came_from:
        # RFC 3461 section 5.2.7.1: reports name a list's members by their own addresses.
        orcpt = f"rfc822;{recipient.address}" if recipient.address.is_ascii else None
    elif orcpt is None and recipient.original.is_ascii:
        orcpt = f"rfc822;{recipient.original}"
    elif orcpt is not None and not orcpt.isascii() and "SMTPUTF8" not in extensions:
        orcpt = None
    command = Rcpt(address, recipient.notify, orcpt)
    return _spelled(command) or _spelled(command._replace(orcpt=None))


def _spelled(command: Mail | Rcpt) -> Spelled | None:
    """The command with its octets, None if it cannot be written.

    A message that did not come in over SMTP may have values that no command line can contain.
    """
    try:
        return spell(command)
    except Unwritable:
        return None
