"""FLOOR 9: The store for retrieval: the messages of a Maildir under UIDs that never change.

A `Folder` is one Maildir folder as POP3 and IMAP see it. UIDs are kept in `dovecot-uidlist` and the
names of keywords in `dovecot-keywords`, under Dovecot's own lock, so that Dovecot may serve the
same Maildir at the same time. Everything here blocks: use a thread.
"""

from .folder import Changes, Folder, NoSuchMessage, UidValidityChanged
from .keywords import KeywordsFull
from .lock import LockLost, MailboxBusy
from .uidlist import OtherVersion

__all__ = [
    "Changes",
    "Folder",
    "KeywordsFull",
    "LockLost",
    "MailboxBusy",
    "NoSuchMessage",
    "OtherVersion",
    "UidValidityChanged",
]
