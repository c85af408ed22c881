"""The whole host that tests of others start: it takes all mail and remembers it."""

from __future__ import annotations

import smtplib
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailframe.testing.host import SINK, HostFailed, RunningHost, host
from mailframe.testing.sink import sent_mail

FILTER = """\
from mailframe.plugin import Filter
from mailframe.smtp.reply import Reply


class NoSpam(Filter):
    def __init__(self, settings, site):
        pass

    def sender(self, envelope):
        return Reply(550, "No spam", "5.7.1") if envelope.sender.local == "spam" else None
"""


def send(mail: RunningHost, *to: str, subject: str = "Grüße", sender: str = "a@x.example") -> None:
    """By the standard library."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, ", ".join(to), subject
    message.set_content("Hello.\n")
    with smtplib.SMTP(mail.address, mail.port, timeout=20) as client:
        client.send_message(message, sender, list(to))


def test_it_remembers_what_it_was_sent() -> None:
    """For whichever domains, as one message, in order; and forgets it if it is told to."""
    with host() as mail:
        send(mail, "bob@example.org", "eve@elsewhere.example")
        send(mail, "bob@example.org", subject="second")
        first, second = mail.wait_for(2)
        assert set(first.recipients) == {"bob@example.org", "eve@elsewhere.example"}
        assert (first.sender, first.subject, second.subject) == ("a@x.example", "Grüße", "second")
        assert first.message.get_content() == "Hello.\n"
        assert first.octets.startswith(b"Received: ") and first.octets.endswith(b"Hello.\r\n")
        mail.forget()
        assert mail.messages == []
        with pytest.raises(HostFailed, match=r"0 of 1 messages came in 0.1 s"):
            mail.wait_for(1, 0.1)


def test_a_configuration_and_plugins_of_ones_own(tmp_path: Path) -> None:
    """Beside it, as a real host has them; the folder is kept."""
    toml = SINK + '\n[[filter]]\nplugin = "no_spam:NoSpam"\n'
    with host(toml, folder=tmp_path / "host", files={"no_spam.py": FILTER}) as mail:
        with pytest.raises(smtplib.SMTPSenderRefused, match="No spam"):
            send(mail, "bob@example.org", sender="spam@x.example")
        send(mail, "bob@example.org")
        mail.wait_for(1)
        assert list(mail.ports) == ["smtp"]
    assert mail.ports == {}
    assert len(sent_mail(tmp_path / "host" / "sent")) == 1


def test_a_host_that_cannot_start_says_why() -> None:
    """With what `check` says."""
    with pytest.raises(HostFailed, match=r"there is no relay plugin .inbund"):
        with host(SINK.replace('"networks"', '"inbund"')):
            pytest.fail("it started")


def test_the_null_sender() -> None:
    """A report's."""
    with host() as mail, smtplib.SMTP(mail.address, mail.port, timeout=20) as client:
        client.sendmail("", ["bob@example.org"], b"Subject: report\r\n\r\n")
        [report] = mail.wait_for(1)
        assert report.sender == ""
