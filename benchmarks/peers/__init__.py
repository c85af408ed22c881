"""The servers, each set up for one task. All but OpenSMTPD sync a message before its 250.

A task is "discard" (accept durably, then drop), "maildir", "relay" (to a sink's port), "tls" (like
discard, with STARTTLS) or "big" (like discard, on a server that has just started).
"""

from .aiosmtpd import aiosmtpd
from .exim import exim
from .haraka import haraka
from .mailframe import mailframe, mailframe_2, of_tree
from .opensmtpd import opensmtpd
from .postfix import postfix, postfix_eager
from .running import Peer, Running

__all__ = ["PEERS_BY_NAME", "Running", "of_tree"]

PEERS_BY_NAME: dict[str, Peer] = {
    "postfix": postfix,
    "postfix-eager": postfix_eager,
    "mailframe": mailframe,
    "mailframe-2": mailframe_2,
    "exim": exim,
    "opensmtpd": opensmtpd,
    "haraka": haraka,
    "aiosmtpd": aiosmtpd,
}
