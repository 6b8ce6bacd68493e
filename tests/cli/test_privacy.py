"""What leaves the house and what does not."""

import time

import pytest

from gateway.cli.privacy import GONE, cleaner, house_words, site_text, without_people

clean = cleaner({"E07", "王芳", "Li Lei", "045E1F2A6B8001"})


@pytest.mark.parametrize(
    "text",
    [
        "E07", "e07", "王芳", "Li  Lei", "li_lei", r"\u738b\u82b3", "045e1f2a6b8001",
        "04:5E:1F:2A:6B:80:01", "13800138000", "+86 138-0013-8000", "010-62345678",
        "(0571) 8765 4321",
        "11010519491231002X", "zhang.san@example.com", "$argon2id$v=19$m=1$abc$def",
        "9f86d081884c7d659a2feaa0c55ad015", "04 AA BB CC DD 11 23", "kX9vQ2mPz7Rt4Lw8Yb3Nc6HdAbCd",
        "2F/a-visit.jpeg", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_people_and_secrets_are_gone_whatever_stands_beside_them(text):
    assert clean(text) == GONE
    assert clean(f"请{text}来") == f"请{GONE}来" or clean(f"请 {text} 来") == f"请 {GONE} 来"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("mqtt://u:p/a@ss@host:1883 x", f"mqtt://{GONE}@host:1883 x"),
        ("GET /t/1?picc_data=AB&cmac=12 x", f"GET /t/1?picc_data={GONE}&cmac={GONE} x"),
        ('{"api_key": "a b", "n": 1}', f'{{"api_key": "{GONE}", "n": 1}}'),
        ("password = 'hun ter' next", f"password = '{GONE}' next"),
        ("mqtt_password: hunter2, next", f"mqtt_password: {GONE}, next"),
        ("Bearer abc.def-g", f"Bearer {GONE}"),
    ],
)
def test_what_stands_beside_a_word_for_a_secret_is_gone_and_the_rest_is_there(text, left):
    assert clean(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22 12:44:27,696 WARNING fault raised fault=bus_down alarm=0a5c551f7854-B-2",
        "at 1795000000000 mono 123456789 err 250",
        "care-gateway-console.service - getty@tty1.service",
        "E071 and XE07 and 芳",
        "port /dev/serial/by-path/platform-fd500000.pcie-pci-0000:01:00.0-usb-0:1.3:1.0-port0",
        "192.168.1.20:502 v0.1.0 3.11.7",
        "readings.db core.db.bad-1 gateway.host.cpu_temp/gateway_hot",
    ],
)
def test_what_helps_is_left_as_it_is(text):
    assert clean(text) == text


def test_people_are_taken_out_of_answers_at_any_depth():
    said = {
        "a": [{"by": "E1", "acked_by": None, "leader": "E2", "n": 1, "why": "typed"}],
        "owner": "x",
    }
    assert without_people(said) == {
        "a": [{"by": GONE, "acked_by": None, "leader": GONE, "n": 1, "why": GONE}],
        "owner": GONE,
    }
    assert without_people({"why": "dns", "note": "call her"}) == {"why": "dns", "note": GONE}


def test_comments_of_the_site_file_go_and_its_lines_stay():
    text = "a: 1 # Wang\n# Li\nb: {owner: 'Li, Lei', unit: 3}\n\"owner\": Zhao\nurl: x#y\n"
    assert site_text(text) == (
        f'a: 1 # {GONE}\n# {GONE}\nb: {{owner: {GONE}, unit: 3}}\n"owner": {GONE}\nurl: x#y\n'
    )


def test_the_house_knows_its_people_also_from_files_with_mistakes(tmp_path):
    site = tmp_path / "site.yaml"
    assert house_words(site, None) == frozenset()
    site.write_text(
        "devices:\n  a:\n    owner: >-\n      Wang\n      Fang\nx: [{uid: '04AABBCC'}]\n"
    )
    (tmp_path / "people.yaml").write_text(
        "people:\n  E7: {name: 'Li Lei'\n  nurse-2:\n   name: 王芳\n"
    )
    assert house_words(site, None) >= {"Wang Fang", "04AABBCC", "E7", "nurse-2", "Li Lei", "王芳"}


def test_a_long_log_is_cleaned_in_a_time_that_grows_with_its_length_only():
    def took(text):
        began = time.process_time()
        clean(text)
        return time.process_time() - began

    for unit in (
        "A" * 3_000 + "\n",
        "x@ 13 14 1-2 ",
        "a." * 40 + "@",
        "04 " * 50,
        "http://",
        "key=",
    ):
        short = max(took(unit * (10_000 // len(unit))), 0.002)
        assert took(unit * (40_000 // len(unit))) < 40 * short, unit
