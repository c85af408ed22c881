"""FLOOR 4: the Maildir as one module, for those who deliver into it and those who read it.

`safe_name` and `Template` name its folders, `Maildir` is one mailbox with its messages and
their flags, `deliver` brings new messages in durably, `quota` keeps Maildir++ quotas. For an
agent that delivers many, `postman` does it by rules, `rounds` gathers them, and `process`,
`frames` and `courier` are a process of its own, what is said to it, and its inside.
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
