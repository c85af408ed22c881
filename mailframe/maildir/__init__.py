"""FLOOR 8: the Maildir: its names, its messages and their flags, its quota, delivery into it.

`safe_name` and `Template` name its folders, `Maildir` is one mailbox with its messages and
their flags, `deliver` brings new messages in durably, `quota` keeps Maildir++ quotas.
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
