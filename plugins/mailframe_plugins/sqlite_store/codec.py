"""Envelopes and waiting recipients as JSON, and back. What is at its default is left out.

Everything written carries a version: a later form can be told from this one. Decoding
raises Damaged for whatever is not exactly what encoding made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from mailframe.message import Client, Envelope, Pending, Recipient, Tls
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply

VERSION = 1

_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode


class _Field(NamedTuple):
    name: str
    default: Any


_CLIENT = [
    _Field(each.name, each.default)
    for each in fields(Client)
    if each.name not in ("address", "tls", "signals")
]
_ENVELOPE = [
    _Field(each.name, each.default)
    for each in fields(Envelope)
    if each.name not in ("id", "client", "sender", "recipients", "signals")
]
_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "port": int,
    "local_port": int,
    "size": int,
    "smtputf8": bool,
    "received": (float, int),
}


class Damaged(Exception):
    """What was stored cannot be read back; the message says why."""


def encode_envelope(envelope: Envelope) -> bytes:
    """The envelope as JSON in UTF-8."""
    client = envelope.client
    about: dict[str, Any] = {"address": client.address}
    _add_fields(about, client, _CLIENT)
    if client.tls is not None:
        about["tls"] = [client.tls.version, client.tls.cipher, client.tls.server_name]
    if client.signals:
        about["signals"] = dict(client.signals)
    row: dict[str, Any] = {
        "v": VERSION,
        "id": envelope.id,
        "client": about,
        "sender": _mailbox(envelope.sender),
        "recipients": [_recipient(recipient) for recipient in envelope.recipients],
    }
    _add_fields(row, envelope, _ENVELOPE)
    if envelope.signals:
        row["signals"] = dict(envelope.signals)
    return _encode(row).encode("utf-8", "surrogatepass")


def decode_envelope(octets: bytes) -> Envelope:
    """The envelope. Raises Damaged."""
    row = _parse(octets)
    try:
        about = row["client"]
        tls = about.get("tls")
        client = Client(
            address=_text(about["address"]),
            tls=None if tls is None else Tls(*map(_text, _list(tls))),
            signals=_signals(about),
            **_given(about, _CLIENT),
        )
        return Envelope(
            id=_text(row["id"]),
            client=client,
            sender=_to_mailbox(row["sender"]),
            recipients=tuple(_to_recipient(each) for each in _list(row["recipients"])),
            signals=_signals(row),
            **_given(row, _ENVELOPE),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise Damaged(f"the envelope is not what was written: {wrong!r}") from wrong


def encode_pending(pending: Iterable[Pending]) -> bytes:
    """The waiting recipients as JSON in UTF-8."""
    rows = []
    for each in pending:
        row: dict[str, Any] = {"to": _recipient(each.recipient), "due": each.due}
        if each.attempts:
            row["attempts"] = each.attempts
        if each.last is not None:
            row["last"] = [each.last.code, each.last.text, each.last.status]
        if each.remote:
            row["remote"] = each.remote
        if each.warned:
            row["warned"] = True
        rows.append(row)
    return _encode({"v": VERSION, "pending": rows}).encode("utf-8", "surrogatepass")


def decode_pending(octets: bytes) -> tuple[Pending, ...]:
    """The waiting recipients, one at least. Raises Damaged."""
    rows = _parse(octets)
    try:
        found = tuple(_to_pending(row) for row in _list(rows["pending"]))
    except (KeyError, TypeError, ValueError, AttributeError) as wrong:
        raise Damaged(f"the recipients are not what was written: {wrong!r}") from wrong
    if not found:
        raise Damaged("no recipient waits")
    return found


def _to_pending(row: Any) -> Pending:
    last = row.get("last")
    due, attempts, warned = row["due"], row.get("attempts", 0), row.get("warned", False)
    if not isinstance(due, float | int) or not isinstance(attempts, int):
        raise TypeError("a time or a count that is no number")
    return Pending(
        recipient=_to_recipient(row["to"]),
        due=float(due),
        attempts=attempts,
        last=None if last is None else Reply(*_list(last)),
        remote=_text(row.get("remote", "")),
        warned=bool(warned),
    )


def _recipient(recipient: Recipient) -> dict[str, Any]:
    row: dict[str, Any] = {"at": _mailbox(recipient.address)}
    if recipient.notify is not None:
        row["notify"] = sorted(recipient.notify)
    if recipient.orcpt is not None:
        row["orcpt"] = recipient.orcpt
    if recipient.came_from:
        row["from"] = [_mailbox(each) for each in recipient.came_from]
    if recipient.sender is not None:
        row["sender"] = _mailbox(recipient.sender)
    return row


def _to_recipient(row: Any) -> Recipient:
    notify, orcpt = row.get("notify"), row.get("orcpt")
    return Recipient(
        address=_some_mailbox(row["at"]),
        notify=None if notify is None else frozenset(map(_text, _list(notify))),
        orcpt=None if orcpt is None else _text(orcpt),
        came_from=tuple(_some_mailbox(each) for each in _list(row.get("from", []))),
        sender=_to_mailbox(row.get("sender")),
    )


def _mailbox(mailbox: Mailbox | None) -> list[str] | None:
    return None if mailbox is None else [mailbox.local, mailbox.domain]


def _to_mailbox(pair: Any) -> Mailbox | None:
    return None if pair is None else _some_mailbox(pair)


def _some_mailbox(pair: Any) -> Mailbox:
    local, domain = _list(pair)
    return Mailbox(_text(local), _text(domain))


def _add_fields(row: dict[str, Any], value: Any, names: list[_Field]) -> None:
    for name, default in names:
        given = getattr(value, name)
        if given != default:
            row[name] = given


def _given(row: Mapping[str, Any], names: list[_Field]) -> dict[str, Any]:
    found = {name: row[name] for name, _ in names if name in row}
    for name, value in found.items():
        if not isinstance(value, _TYPES.get(name, str)):
            raise TypeError(f"{name} is a {type(value).__name__}")
    return found


def _signals(row: Mapping[str, Any]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in row.get("signals", {}).items()}


def _parse(octets: bytes) -> dict[str, Any]:
    try:
        row = json.loads(octets.decode("utf-8", "surrogatepass"))
    except (ValueError, AttributeError, RecursionError) as wrong:
        raise Damaged(f"no JSON: {wrong}") from wrong
    if not isinstance(row, dict):
        raise Damaged("no JSON object")
    if row.get("v") != VERSION:
        raise Damaged(f"written in form {row.get('v')!r}, which is not known here")
    return row


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a {type(value).__name__} where a list was written")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} where a text was written")
    return value
