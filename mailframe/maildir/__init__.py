"""FLOOR 8: Maildirs: their names, messages, flags and quotas, and delivery into them.

`safe_name` and `Template` name the folders. `Maildir` is one mailbox with its messages and their
flags. `deliver` adds new messages durably, and `quota` keeps Maildir++ quotas. `mailboxes` is what
`[mailboxes]` says: where each mailbox is, who owns its files, how much it may hold, and which user
has it.
"""

from .delivery.copies import Copy, deliver
from .filename import FileName, UniqueNames
from .mailbox import Maildir, Stored
from .names import Template, original_name, safe_name
from .owner import NoSuchOwner, Owner
from .quota import OverQuota, Quota

__all__ = [
    "Copy",
    "FileName",
    "Maildir",
    "NoSuchOwner",
    "OverQuota",
    "Owner",
    "Quota",
    "Stored",
    "Template",
    "UniqueNames",
    "deliver",
    "original_name",
    "safe_name",
]
