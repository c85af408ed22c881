"""FLOOR 4: the Maildir as one module, for those who deliver into it and those who read it.

`safe_name` and `Template` name its folders, `Maildir` is one mailbox with its messages and
their flags, `deliver` brings new messages in durably, `quota` keeps Maildir++ quotas.
"""

from .delivery import Copy, deliver
from .filename import FileName, UniqueNames
from .mailbox import Maildir, Owner, Stored
from .names import Template, original_name, safe_name
from .quota import OverQuota, Quota

__all__ = [
    "Copy",
    "FileName",
    "Maildir",
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
