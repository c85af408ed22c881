"""The octets of the reports, read back by the standard library."""

from __future__ import annotations

import email
from dataclasses import replace
from email import policy

import pytest
from hypothesis import given
from hypothesis import strategies as some

from mailframe.queue.bounce import Notice, Original, Report, build
from mailframe.smtp.address import Mailbox
from mailframe.smtp.reply import Reply
from mailframe.testing.values import mailbox, recipient

NO = Reply(550, "No such user", "5.1.1")
ORIGINAL = b"Subject: hi\r\nFrom: alice@client.example\r\n\r\nHello\r\n.dot\r\n"


def report(*notices, **more):
    """A failure report to alice, unless told otherwise."""
    facts = {
        "hostname": "mx.example.org",
        "sender": mailbox("MAILER-DAEMON@mx.example.org"),
        "to": mailbox("alice@client.example"),
        "id": "R1",
        "now": 1_700_000_000.0,
        "arrived": 1_699_990_000.0,
        "until": 1_700_400_000.0,
        "original": Original(ORIGINAL, True),
    }
    return Report(notices or (Notice("failed", recipient(), NO),), **{**facts, **more})


def parse(octets):
    """The message, every line of which must be a line of mail."""
    assert b"\n" not in octets.replace(b"\r\n", b"")
    assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
    parsed = email.message_from_bytes(octets, policy=policy.default)
    for part in parsed.walk():
        assert part.defects == [], part.defects
    return parsed


def fields_of(parsed):
    """The fields of the message, and of each recipient."""
    return [dict(block.items()) for block in parsed.get_payload(1).get_payload()]


def test_a_report_has_three_parts():
    """RFC 3464 section 2: text, delivery status, the message; RFC 3834: no answers to it."""
    parsed = parse(build(report(envid="QQ314159")))
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["To"] == "alice@client.example"
    assert "MAILER-DAEMON@mx.example.org" in parsed["From"]
    assert parsed["Message-ID"] == "<R1@mx.example.org>"
    kinds = [part.get_content_type() for part in parsed.get_payload()]
    assert kinds == ["text/plain", "message/delivery-status", "message/rfc822"]
    assert "<bob@example.org>" in parsed.get_payload(0).get_content()
    message, who = fields_of(parsed)
    assert message == {
        "Original-Envelope-Id": "QQ314159",
        "Reporting-MTA": "dns; mx.example.org",
        "Arrival-Date": "Tue, 14 Nov 2023 19:26:40 +0000",
    }
    assert who == {
        "Final-Recipient": "rfc822;bob@example.org",
        "Action": "failed",
        "Status": "5.1.1",
        "Diagnostic-Code": "x-mailframe; 550 5.1.1 No such user",
        "Last-Attempt-Date": "Tue, 14 Nov 2023 22:13:20 +0000",
    }


def test_the_original_is_returned_octet_by_octet():
    """Nothing of it is parsed and written anew."""
    octets = build(report())
    assert b"\r\n\r\n" + ORIGINAL + b"\r\n--" in octets


def test_several_recipients_have_a_block_each():
    """With what the remote host said, and the address that the sender knows."""
    alias = recipient(
        "target@far.example",
        came_from=(mailbox("sales@example.org"),),
        orcpt="rfc822;Sales@Example.ORG",
    )
    parsed = parse(
        build(
            report(
                Notice("failed", recipient("a@b.example"), NO, "mx.b.example"),
                Notice("failed", alias, Reply(451, "Busy", "4.2.0"), "mx.far", "4.4.7"),
            )
        )
    )
    _, first, second = fields_of(parsed)
    assert first["Remote-MTA"] == "dns; mx.b.example"
    assert first["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user"
    assert second["Original-Recipient"] == "rfc822;Sales@Example.ORG"
    assert second["Final-Recipient"] == "rfc822;target@far.example"
    assert second["Status"] == "4.4.7"
    text = parsed.get_payload(0).get_content()
    assert "<sales@example.org> (that is <target@far.example>)" in text
    assert "too long" in text


def test_a_delay_says_until_when():
    """Will-Retry-Until, in both forms."""
    parsed = parse(build(report(Notice("delayed", recipient(), Reply(451, "Busy", "4.2.0")))))
    assert fields_of(parsed)[1]["Will-Retry-Until"] == "Sun, 19 Nov 2023 13:20:00 +0000"
    assert "Sun, 19 Nov 2023" in parsed.get_payload(0).get_content()
    assert "Delayed" in parsed["Subject"]


@pytest.mark.parametrize("action", ["delivered", "relayed", "expanded"])
def test_success_has_no_diagnosis(action):
    """Success reports say that it is one."""
    ok = Reply(250, "OK", "2.1.5")
    parsed = parse(build(report(Notice(action, recipient(), ok))))
    fields = fields_of(parsed)[1]
    assert fields["Action"] == action
    assert fields["Status"] == "2.1.5"
    assert "Diagnostic-Code" not in fields
    assert "Success" in parsed["Subject"]


def test_only_headers_where_only_headers_are_returned():
    """text/rfc822-headers, without the body."""
    parsed = parse(build(report(original=Original(ORIGINAL, False))))
    part = parsed.get_payload(2)
    assert part.get_content_type() == "text/rfc822-headers"
    assert part.get_payload(decode=True) == b"Subject: hi\r\nFrom: alice@client.example\r\n"
    assert b"Hello" not in build(report(original=Original(ORIGINAL, False)))


def test_lines_that_are_no_fields_are_left_out_of_the_headers():
    """A header section that an mbox file's line begins would be called defective."""
    octets = b"From alice Mon Nov 23 10:00:00 2026\r\nSubject: hi\r\n folded\r\n\r\nHello\r\n"
    parsed = parse(build(report(original=Original(octets, False))))
    assert parsed.get_payload(2).get_payload(decode=True) == b"Subject: hi\r\n folded\r\n"


def test_the_text_is_for_people_with_any_addresses():
    """In quoted-printable, since an address may hold other than ASCII."""
    who = Notice("failed", recipient(Mailbox("jürgen", "x.example")), NO)
    text = parse(build(report(who, original=None))).get_payload(0)
    assert text["Content-Transfer-Encoding"] == "quoted-printable"
    assert "<jürgen@x.example>\r\n    550 5.1.1 No such user" in text.get_content()


def test_without_the_original_it_has_two_parts():
    """A message that could not be read is still reported."""
    assert len(parse(build(report(original=None))).get_payload()) == 2


def test_eight_bits_stay_eight_bits():
    """An 8BITMIME original is declared as such."""
    octets = "Subject: hi\r\n\r\nGrüße\r\n".encode()
    built = build(report(original=Original(octets, True)))
    parsed = parse(built)
    assert parsed["Content-Transfer-Encoding"] == "8bit"
    assert parsed.get_payload(2)["Content-Transfer-Encoding"] == "8bit"
    assert octets in built


@pytest.mark.parametrize(
    "octets",
    [
        b"Subject: x\r\n\r\nbare\nlf\r\n",
        b"Subject: x\r\n\r\nnul\0\r\n",
        b"Subject: x\r\n\r\nbare\rcr\r\n",
        b"Subject: x\r\n\r\n" + b"y" * 2000 + b"\r\n",
    ],
)
def test_what_is_no_text_is_not_put_in_as_text(octets):
    """Binary originals come back as their headers: the report stays valid MIME."""
    parsed = parse(build(report(original=Original(octets, True))))
    assert parsed.get_payload(2).get_content_type() == "text/rfc822-headers"


def test_raw_eight_bit_headers_are_encoded():
    """Headers that are no ASCII, without SMTPUTF8, are in base64."""
    parsed = parse(build(report(original=Original(b"Subject: gr\xfc\xdfe\r\n\r\nx\r\n", False))))
    part = parsed.get_payload(2)
    assert part["Content-Transfer-Encoding"] == "base64"
    assert part.get_payload(decode=True) == b"Subject: gr\xfc\xdfe\r\n"


def test_an_internationalized_report():
    """RFC 6533: global types, addresses and headers in UTF-8."""
    who = recipient(Mailbox("jürgen", "bücher.example"), orcpt="utf-8;jürgen@bücher.example")
    original = Original("Subject: Grüße\r\n\r\nHallo\r\n".encode(), True)
    told = report(
        Notice("failed", who, NO),
        utf8=True,
        to=Mailbox("björn", "client.example"),
        original=original,
    )
    octets = build(told)
    parsed = email.message_from_bytes(octets, policy=policy.SMTPUTF8)
    kinds = [part.get_content_type() for part in parsed.get_payload()]
    assert kinds == ["text/plain", "message/global-delivery-status", "message/global"]
    assert "Final-Recipient: utf-8;jürgen@bücher.example\r\n".encode() in octets
    assert "Original-Recipient: utf-8;jürgen@bücher.example\r\n".encode() in octets
    assert "To: björn@client.example\r\n".encode() in octets
    headers = build(replace(told, original=replace(original, complete=False)))
    assert b"message/global-headers" in headers
    assert "Subject: Grüße".encode() in headers


def test_a_foreign_recipient_in_an_ascii_report():
    """A sender without SMTPUTF8 reads \\x{...} (RFC 6533 section 3)."""
    octets = build(report(Notice("failed", recipient(Mailbox("jürgen", "x.example")), NO)))
    assert rb"Final-Recipient: utf-8;j\x{FC}rgen@x.example" in octets
    assert octets.isascii()


def test_an_original_that_quotes_our_boundary():
    """The boundary is one that occurs nowhere else."""
    original = ORIGINAL + b"--=_R1\r\n"
    parsed = parse(build(report(original=Original(original, True))))
    assert len(parsed.get_payload()) == 3


@given(some.text(max_size=3000), some.text(max_size=100), some.text(max_size=50))
def test_nobody_can_add_fields(text, remote, envid):
    """Whatever a remote host, a client or an address says stays in its field."""
    text = "".join(letter for letter in text if letter == "\n" or letter.isprintable()) or "x"
    who = recipient(Mailbox(envid or "x", "example.org"), orcpt=f"rfc822;{remote}")
    told = report(Notice("failed", who, Reply(550, text, "5.0.0"), remote), envid=envid)
    for utf8 in (False, True):
        octets = build(replace(told, utf8=utf8))
        _, _, status = octets.split(b"\r\n--=_R1\r\n", 2)[1].partition(b"delivery-status\r\n")
        status = octets[octets.index(b"delivery-status\r\n") :]
        status = status[: status.index(b"\r\n--=_R1")]
        names = [line.split(b":")[0] for line in status.split(b"\r\n") if line[:1].isalpha()]
        assert set(names[1:]) <= {
            b"Original-Envelope-Id", b"Reporting-MTA", b"Arrival-Date", b"Original-Recipient",
            b"Final-Recipient", b"Action", b"Status", b"Remote-MTA", b"Diagnostic-Code",
            b"Last-Attempt-Date", b"Content-Transfer-Encoding",
        }  # fmt: skip
        assert all(len(line) <= 998 for line in octets.split(b"\r\n"))
        assert b"\n" not in octets.replace(b"\r\n", b"")
