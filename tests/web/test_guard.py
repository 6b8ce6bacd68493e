"""Whom the console answers."""

import pytest

from gateway.domain.text import Lang
from gateway.web.guard import is_allowed
from gateway.web.routes import event, wanted

OURS = frozenset({"localhost", "care-01", "care-01.local"})


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8080", "CARE-01.local:8080", "care-01.", "192.168.1.20:8080",
     "10.0.0.1", "[::1]:8080", "[fe80::1]"],
)  # fmt: skip
def test_an_address_or_a_name_of_this_machine_is_answered(host):
    assert is_allowed(host, OURS)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "care-01@evil.example", "127.0.0.1.nip.io",
     "localhost:80:80", "localhost:x", "[::1", "[::1]x", "[evil.example]", "0x7f.1", "２.2.2.2"],
)  # fmt: skip
def test_any_other_name_is_refused(host):
    assert not is_allowed(host, OURS)


@pytest.mark.parametrize(
    ("header", "lang"),
    [
        ("", Lang.ZH),
        ("de-DE,de;q=0.9", Lang.ZH),
        ("en-US,en;q=0.9,zh;q=0.8", Lang.EN),
        ("en;q=0.3, zh-TW;q=0.9", Lang.ZH),
        ("en;q=nonsense, zh;q=0.1", Lang.ZH),
        ("en;q=9", Lang.EN),
    ],
)
def test_the_browser_s_language_is_taken_where_it_is_one_of_ours(header, lang):
    assert wanted(header, Lang.ZH) is lang


def test_an_event_of_several_lines_stays_one_event():
    assert event("show", "<p>\n报警\r\n</p>") == (
        "event: show\ndata: <p>\ndata: 报警\ndata: </p>\n\n".encode()
    )
