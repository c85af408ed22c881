"""mailframe.toml: read into a Composition, or refused with all its mistakes at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from mailframe.config import Composition, ConfigErrors, Section, load

GOOD = """\
hostname = "mx.example.org"
state = "state"

[limits]
errors = 5

[[listen]]
name = "mx"
endpoint = "tcp:0:interface=127.0.0.1"
[[listen]]
name = "lan"
endpoint = "unix:/run/x"
limits = { recipients = 7 }

[[relay]]
plugin = "plugins:Policy"
domains = ["example.org"]
on = ["mx"]
timeout = "2s"
[[filter]]
plugin = "plugins:Sieve"
on_error = "skip"
[[route]]
plugin = "plugins:Router"
deliver = "archive"
[queue]
plugin = "plugins:Store"
[deliver.archive]
plugin = "plugins:Agent"
timeout = 7
"""

PLUGINS = """\
from dataclasses import dataclass
class Policy:
    def __init__(self, settings, site): pass
class Sieve(Policy): pass
class Store(Policy): pass
class Agent(Policy): pass
class Router:
    @dataclass(frozen=True)
    class Settings:
        deliver: str = "maildir"
        weight: int = 1
    def __init__(self, settings, site): pass
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "plugins.py").write_text(PLUGINS)
    return tmp_path


def read(folder: Path, text: str) -> Composition:
    file = folder / "mailframe.toml"
    file.write_text(text)
    return load(file)


def mistakes(folder: Path, text: str) -> list[str]:
    """The errors, without the folder."""
    with pytest.raises(ConfigErrors) as raised:
        read(folder, text)
    lines = [str(each) for each in raised.value.errors]
    assert str(raised.value) == "\n".join(lines)
    return [line.replace(f"{folder}/", "") for line in lines]


def test_a_configuration_becomes_a_composition(folder: Path) -> None:
    """The host's settings, and a section for each plugin in the order of the file."""
    composition = read(folder, GOOD)
    settings = composition.settings
    assert (settings.hostname, settings.state) == ("mx.example.org", folder / "state")
    assert composition.file == folder / "mailframe.toml"
    assert composition.folder == folder
    relay, sieve, route, queue, agent = composition.sections
    assert relay == Section(
        "relay",
        "plugins:Policy",
        "relay",
        {"domains": ["example.org"]},
        timeout=2.0,
        on=frozenset({"mx"}),
        where=relay.where,
    )
    assert (str(relay.where), relay.where.of("domains").line) == (f"{composition.file}:15", 17)
    assert (sieve.on_error, sieve.on, sieve.timeout) == ("skip", None, None)
    assert (route.settings, queue.name) == ({"deliver": "archive"}, "queue")
    assert (agent.name, agent.agent, agent.timeout) == ("deliver.archive", "archive", 7.0)


def test_a_listeners_limits_are_over_those_of_all(folder: Path) -> None:
    """What `[[listen]]` does not say is as in `[limits]`, what that does not say the default."""
    mx, lan = read(folder, GOOD).settings.listen
    assert mx.limits is None
    assert lan.limits is not None
    assert (lan.limits.recipients, lan.limits.errors, lan.limits.commands) == (7, 5, 100)


def test_an_agents_plugin_is_its_name(folder: Path) -> None:
    """`[deliver.discard]` needs no `plugin = "discard"`."""
    composition = read(folder, GOOD + "[deliver.discard]\n")
    assert composition.sections[-1].plugin == "discard"


def test_all_mistakes_come_at_once(folder: Path) -> None:
    """Each with file:line: key: what was expected, what was found, the nearest right word."""
    text = """\
hostnam = "mx.example.org"
state = 3
[[listen]]
name = "mx"
endpoint = "tpc:25"
limits = { errors = "3", recipents = 4 }
[[listen]]
name = "mx"
endpoint = "tcp:99999"
tls = "implicit"
requires = ["tls", "aut"]
[[filter]]
plugin = "plugins:Sieve"
on = ["mxx"]
on_error = "x"
timeout = 0
[[relay]]
plugin = "plugins:Polizei"
[[relay]]
domains = ["example.org"]
[[route]]
plugin = "plugins:Router"
deliver = "archiv"
wait = 1
[[route]]
plugin = "plugins:Router"
[deliver.archive]
plugin = "nothing_of_this_name"
on = ["mx"]
[quee]
plugin = "plugins:Store"
[tls]
"""
    listing = [line.replace("mailframe.toml:", "", 1) for line in mistakes(folder, text)]
    expected = [
        '1: hostnam: unknown key; did you mean "hostname"?',
        "1: hostname: missing: this host's name",
        "1: queue: missing: [queue]",
        "2: state: expected a path, got 3",
        '5: listen.endpoint: expected a Twisted server endpoint, got "tpc:25"',
        '6: listen.limits.errors: expected a whole number, got "3"',
        '6: listen.limits.recipents: unknown key; did you mean "recipients"?',
        '8: listen.name: there is another listener "mx"',
        "9: listen.endpoint: there is no port 99999",
        '11: listen.requires: expected "tls" or "auth", got "aut"; did you mean "auth"?',
        '14: filter.on: there is no listener "mxx"; did you mean "mx"?',
        '15: filter.on_error: expected "defer" or "skip", got "x"',
        "16: filter.timeout: expected a duration above 0, got 0",
        f"18: relay.plugin: {folder}/plugins.py has no class 'Polizei'".replace(f"{folder}/", ""),
        "19: relay.plugin: missing: the name of the plugin",
        '23: route.deliver: there is no [deliver.archiv]; did you mean "archive"?',
        '24: route.wait: unknown key; did you mean "weight"?',
        "25: route.deliver: there is no [deliver.maildir]",
        "28: deliver.archive.plugin: there is no deliver plugin 'nothing_of_this_name'",
        '30: quee: unknown table; did you mean "queue"?',
        "32: tls.certificates: missing",
    ]
    assert len(listing) == len(expected)
    for line, start in zip(listing, expected, strict=True):
        assert line.startswith(start)
    assert listing[4].endswith('did you mean "tcp"?')


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("hostname = ", "hostname = = "), "1: not TOML: Invalid value"),
        (("timeout = 7", "timeout = [7"), "31: not TOML: "),
        (("[limits]", "[limits]\n[limits]"), "5: not TOML: Cannot declare"),
        (('"mx.example.org"', '"[192.0.2.1]"'), "1: hostname: expected a domain name"),
        (('"mx.example.org"', '"not a name"'), "1: hostname: expected a domain name"),
        (("errors = 5", "errors = 0"), "5: limits.errors: expected more than 0, got 0"),
        (("recipients = 7", "recipients = -7"), "13: listen.limits.recipients: expected more"),
        (('"unix:/run/x"', '"unix"'), "12: listen.endpoint: "),
        (('"unix:/run/x"', '"tcp:x"'), "12: listen.endpoint: expected a Twisted server endpoint"),
        (('"unix:/run/x"', '"tcp:587:interface=::"'), None),
        (('"unix:/run/x"', '"[::]:587"'), None),
        (('"unix:/run/x"', '"[::]:98765"'), "12: listen.endpoint: there is no port 98765"),
        (('"unix:/run/x"', '"tcp:1"\ntls = "implicit"'), '13: listen.tls: tls = "implicit" needs'),
        (('"unix:/run/x"', '"tcp:1"\nclient_ca = "x"'), "13: listen.client_ca: certificates are"),
        (('"unix:/run/x"', '"tcp:1"\nrequires = ["tls"]'), '13: listen.requires: requires "tls"'),
        (('"unix:/run/x"', '"tcp:1"\nrequires = ["auth"]'), "no [[auth]] asks anybody here"),
        (('"unix:/run/x"', '"tcp:1"\nrequires = ["auth"]'), "offered under TLS only"),
        (
            ("[limits]", '[tls]\ncertificates = "x"\n[listen_]\n[limits]'),
            'listen_: unknown table; did you mean "listen"?',
        ),
        (
            (
                '"unix:/run/x"',
                '"tcp:1"\ntls = "none"\nrequires = ["tls"]\n[tls]\ncertificates = "x"',
            ),
            'requires "tls", but tls = "none" offers none',
        ),
        (("[limits]", "[retry]\nwaits = []\n[limits]"), "5: retry.waits: expected one or more"),
        (("[limits]", "[retry]\njitter = 1\n[limits]"), "5: retry.jitter: expected 0 or more"),
        (("[limits]", "[retry]\nactive = 0\n[limits]"), "5: retry.active: expected 1 or more"),
        (("[limits]", "[retry]\nlease = 0\n[limits]"), "5: retry.lease: expected a duration above"),
        (("[limits]", 'dns.servers = ["1.1.1.1", "x"]\n[limits]'), "4: dns.servers: 'x'"),
        (("[limits]", "threads = 0\n[limits]"), "4: threads: expected 1 or more, got 0"),
        (("[[relay]]", "[relay]"), "15: relay: write [[relay]]: there may be several"),
        (("[queue]", "[[queue]]"), "26: queue: write [queue]: there is exactly one"),
        (("[deliver.archive]", "[[deliver]]"), "28: deliver: write [deliver.NAME]"),
        (("[[relay]]", "observe = [3]\n[[relay]]"), "unknown key"),
        (('"skip"', '"skip"\non = "mx"'), "23: filter.on: expected a list of listeners' names"),
        (('"plugins:Agent"', '"plugins:Agent"\non_error = "skip"'), None),
        (('"plugins:Store"', "7"), "27: queue.plugin: expected a plugin's name, got 7"),
    ],
)
def test_one_mistake(folder: Path, change: tuple[str, str], message: str | None) -> None:
    """Each mistake alone is named at its line."""
    text = GOOD.replace(*change, 1)
    assert text != GOOD
    if message is None:
        assert read(folder, text)
    else:
        assert any(message in each for each in mistakes(folder, text))


@pytest.mark.parametrize(
    ("protocol", "line", "unheeded"),
    [
        ("pop3", 'requires = ["auth"]', "requires: this key is for smtp and lmtp"),
        ("pop3", "submission = false", "submission: this key is for smtp and lmtp"),
        ("pop3", 'greet_delay = "1s"', "greet_delay: this key is for smtp and lmtp"),
        ("lmtp", 'xclient = ["unix"]', "xclient: this key is for smtp"),
        ("lmtp", 'greet_delay = "1s"', None),
        ("smtp", 'xclient = ["unix"]', None),
        ("pop3", "requires = []", None),
    ],
)
def test_keys_that_a_protocol_does_not_heed(
    folder: Path, protocol: str, line: str, unheeded: str | None
) -> None:
    """Whoever reads `requires` would trust in it: it is refused where nobody looks at it."""
    listener = f'"unix:/run/x"\nprotocol = "{protocol}"\n{line}'
    text = GOOD.replace('"unix:/run/x"', listener, 1)
    if unheeded is None:
        assert read(folder, text)
    else:
        assert f'mailframe.toml:14: listen.{unheeded}, not for "{protocol}"' in mistakes(
            folder, text
        )


@pytest.mark.parametrize("waits", ['["x"]', '["-1s"]', '["x", 0]', '"x"', "[]", "[0]"])
def test_a_value_has_one_error(folder: Path, waits: str) -> None:
    """What remains of it without the mistake is not complained of, too."""
    found = mistakes(folder, GOOD.replace("[limits]", f"[retry]\nwaits = {waits}\n[limits]"))
    assert [line.split(" ")[:2] for line in found] == [["mailframe.toml:5:", "retry.waits:"]]


def test_tables_of_a_wrong_shape(folder: Path) -> None:
    """A list where a table belongs, at the top."""
    text = 'listen = 3\nobserve = [3]\n[queue]\nplugin = "plugins:Store"\n'
    found = mistakes(folder, text)
    assert [each.split(": ")[:3] for each in found[:3]] == [
        ["mailframe.toml:1", "hostname", "missing"],
        ["mailframe.toml:1", "state", "missing"],
        ["mailframe.toml:1", "listen", "expected a list, got 3"],
    ]
    text = GOOD.replace("[[listen]]", "[listen]", 1).replace("[[listen]]", "[x]")
    assert any("write [[listen]]" in each for each in mistakes(folder, text))
    found = mistakes(folder, "listen = [3]\n" + GOOD.replace("[[listen]]", "[[x]]"))
    assert "mailframe.toml:1: listen: expected a table, got 3" in found


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """The reason is in the message."""
    with pytest.raises(ConfigErrors, match=r"nothing\.toml: cannot be read: No such file"):
        load(tmp_path / "nothing.toml")
    (tmp_path / "latin.toml").write_bytes(b'a = 1\nhostname = "m\xfcnchen"\n')
    with pytest.raises(ConfigErrors, match=r"latin\.toml:2: is not UTF-8"):
        load(tmp_path / "latin.toml")


def test_what_is_sound_can_be_composed(folder: Path) -> None:
    """Whoever wants the plugins' own complaints too is given the rest."""
    with pytest.raises(ConfigErrors) as raised:
        read(folder, GOOD.replace('deliver = "archive"', 'deliver = "x"'))
    assert raised.value.sound is not None
    stages = [section.stage for section in raised.value.sound.sections]
    assert stages == ["relay", "filter", "queue", "deliver"]
    with pytest.raises(ConfigErrors) as raised:
        read(folder, GOOD.replace('state = "state"', "state = 3"))
    assert raised.value.sound is None


def test_relative_to_where_it_is_called_from(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative name is shown as given, and found from anywhere afterwards."""
    monkeypatch.chdir(folder)
    (folder / "mailframe.toml").write_text(GOOD)
    composition = load(Path("mailframe.toml"))
    assert composition.settings.state == folder / "state"
    assert composition.file == folder / "mailframe.toml"


def test_what_is_no_header_field_cannot_be_dropped(folder: Path) -> None:
    """`drop_fields` are names."""
    for name in ("Bcc:", "X Y", "Bücc", ""):
        text = GOOD.replace('name = "mx"\n', f'name = "mx"\ndrop_fields = ["{name}"]\n')
        (found,) = mistakes(folder, text)
        assert "listen.drop_fields: expected names of header fields" in found, found
