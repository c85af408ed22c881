"""The mailboxes of this host: where each one is, who owns it, how much it may hold, who has it.

`[mailboxes]` says all of that once; delivery, routes and retrieval ask `site.mailboxes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..files.watched import LineError, WatchedFile, watch_setting
from ..names.domain_set import one_spelling
from ..names.domains import to_ascii
from ..names.local_parts import folded, parse_user
from ..setting import SettingError
from ..settings import MailboxSettings
from ..smtp.address import Mailbox
from .mailbox import Maildir
from .names import Template
from .owner import Owner, owner_by_name, owner_of_folder
from .owners import Owners, parse_owner
from .per_mailbox import PerMailbox, pairs
from .quota import Quota, parse_quota

#: Where mailboxes are if no setting says so.
USUAL_PATH = Path("/var/mail/{domain}/{user}/Maildir")


@dataclass(frozen=True)
class Mailboxes:
    """What `[mailboxes]` says, in a form that can be asked; `read` makes it from the settings.

    A mailbox is named by its address; the domain of the bare Postmaster is "". Local parts are
    taken as they are, because routes and `of_user` give them in one spelling.
    """

    settings: MailboxSettings
    template: Template
    owners: Owners
    single_quotas: PerMailbox[Quota] | None
    users: WatchedFile[dict[str, Mailbox]] | None
    domain: str = ""  # of users who log in without one; "" if there is none

    @classmethod
    def read(cls, settings: MailboxSettings, folder: Path, now: Callable[[], float]) -> Mailboxes:
        """Make it from the settings; relative paths begin at `folder`, `now` gives seconds.

        SettingError for the first wrong setting, and for a file that cannot be read.
        """
        case = settings.case_sensitive
        domain = _domain(settings.domain)
        single = single_quotas = users = None
        try:
            template = Template(str(folder / settings.path))
        except ValueError as wrong:
            raise SettingError("path", str(wrong)) from wrong
        if settings.owners is not None:
            single = PerMailbox("owners", folder / settings.owners, parse_owner, now, case)
        if settings.quotas is not None:
            single_quotas = PerMailbox("quotas", folder / settings.quotas, parse_quota, now, case)
        if settings.users is not None:
            users = watch_setting(
                "users", folder / settings.users, lambda text: parse_users(text, domain, case), now
            )
        for key in ("quota", "quota_messages"):
            if (getattr(settings, key) or 0) < 0:
                raise SettingError(key, "0 or more is wanted")
        owners = Owners.read(settings.owner, settings.group, single)
        return cls(settings, template, owners, single_quotas, users, domain)

    @property
    def root(self) -> Path:
        """The folder that contains all mailboxes; no mailbox may be outside it."""
        return self.template.prefix

    def path(self, mailbox: Mailbox) -> Path:
        """The path of its Maildir, whether that exists or not."""
        try:
            domain = to_ascii(mailbox.domain)
        except ValueError:
            domain = mailbox.domain
        return self.template.path(mailbox.local, domain)

    def owner(self, mailbox: Mailbox) -> Owner:
        """The owner of what is created in it. May block. NoSuchOwner, OSError."""
        own = self.owners.own(mailbox)
        if own is not None:
            return owner_by_name(own)
        if self.owners.from_folder:
            return owner_of_folder(self.path(mailbox))
        return self.owners.everyone

    @property
    def quota_of_all(self) -> Quota | None:
        """How much a mailbox may hold if it has no quota of its own; None: see `quota`."""
        octets, messages = self.settings.quota or 0, self.settings.quota_messages or 0
        return Quota(octets, messages) if octets or messages else None

    def own_quota(self, mailbox: Mailbox) -> Quota | None:
        """The quota of this mailbox in the file of single quotas; None if it has none there."""
        return None if self.single_quotas is None else self.single_quotas.of(mailbox)

    def quota(self, mailbox: Mailbox) -> Quota | None:
        """How much it may hold; None: what its maildirsize says, if there is one."""
        return self.own_quota(mailbox) or self.quota_of_all

    def maildir(self, mailbox: Mailbox) -> Maildir:
        """Its Maildir, whether it exists or not. May block. NoSuchOwner, OSError."""
        return Maildir(self.path(mailbox), self.root, self.owner(mailbox))

    def exists(self, mailbox: Mailbox) -> bool | None:
        """True if it has a folder; None if that cannot be known. Blocks. OSError.

        It cannot be known if even the folder above all users is missing. An empty mount point must
        not make every mailbox unknown, so that its mail bounces.
        """
        path = self.path(mailbox)
        if path.is_dir():
            return True
        return False if self.template.above(path).is_dir() else None

    def of_user(self, user: str) -> Mailbox | None:
        """The mailbox of the user who logged in by this name; None if there can be none.

        It is the one that the file of users names, or else the one whose address is the name. A
        name without a domain is taken to be in `domain`, if that is set. The mailbox need not
        exist.
        """
        name = folded(user, self.settings.case_sensitive)
        found = self.users.value().get(name) if self.users is not None else None
        return found or _address(name, self.domain)

    def traps(self, may_give: Callable[[int, int], bool]) -> Iterator[tuple[str, str]]:
        """(key, warning) for settings that are valid but likely to be mistakes.

        `may_give` says whether the host could give files to a user and a group, by number.
        """
        if not self.template.has_user:
            yield "path", "{user} is not in it: all users of a domain share one Maildir"
        for key in self.owners.without_rights(may_give):
            yield (
                key,
                (
                    "only root may give files to others, and the host will not be root: "
                    "every delivery would be put off (451 4.3.5)"
                ),
            )


def parse_users(text: str, domain: str = "", case_sensitive: bool = False) -> dict[str, Mailbox]:
    """Parse the file of users, by login name. LineError."""
    found: dict[str, Mailbox] = {}
    for number, login, said in pairs(text):
        name = folded(login, case_sensitive)
        mailbox = _address(folded(said, case_sensitive), domain)
        if mailbox is None:
            raise LineError(number, f"{said!r} is no mailbox such as bob@example.org")
        if name in found:
            raise LineError(number, f"{login} is there twice")
        found[name] = mailbox
    return found


def _address(name: str, domain: str) -> Mailbox | None:
    """The mailbox with this address, or that of this user in `domain`.

    None if there can be none.
    """
    try:
        user = parse_user(name)
        domain = one_spelling(user.domain) if user.domain else domain
    except ValueError:
        return None
    return Mailbox(user.local, domain) if domain else None


def _domain(text: str | None) -> str:
    try:
        return one_spelling(text) if text else ""
    except ValueError as wrong:
        raise SettingError("domain", f"{text!r} is no domain: {wrong}") from wrong
