"""How long certificates last, told in time."""

import time
from datetime import timedelta

import pytest

from gateway.cli import doctor
from gateway.cli.ailments import explained
from gateway.domain.findings import Grade, bad
from gateway.domain.site import Broker, Uplink
from gateway.domain.text import Text
from gateway.drivers import checkup
from gateway.drivers import checkup_certificates as certificates
from gateway.drivers.checkup_certificates import (
    look_at_broker_certificate,
    look_at_certificates,
)
from tests.partners.broker import Mosquitto, free_port
from tests.partners.certificates import DAY, Authority

HOUR = timedelta(hours=1)


def at(days):
    return lambda: time.time() + days * DAY.total_seconds()


@pytest.mark.parametrize(
    ("days", "code", "grade"),
    [
        (0, None, None),
        (38, None, None),
        (42, "certificate_ends", Grade.NOTE),
        (99.9, "certificate_ends", Grade.NOTE),
        (100.1, "certificate_ended", Grade.BAD),
    ],
)
def test_our_certificate_is_told_60_days_before_its_end(tmp_path, days, code, grade):
    ca = Authority(tmp_path)
    own = ca.issue("elm", ends=100 * DAY + HOUR / 2)
    found = [*look_at_certificates(ca.cert, own.cert, wall=at(days))]
    assert [(each.code, each.grade) for each in found] == ([(code, grade)] if code else [])
    for each in found:
        assert each.about == str(own.cert)
        date = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 100 * 86_400 + 1_800))
        assert date in each.fact.en
        assert date in each.fact.zh


def test_where_a_new_one_has_to_be_put(tmp_path, monkeypatch):
    own = Authority(tmp_path).issue("elm", ends=DAY)
    (plain,) = look_at_certificates(None, own.cert)
    assert "systemctl restart care-gateway" in plain.cure.zh
    monkeypatch.setattr(checkup, "CREDENTIALS", tmp_path)
    (handed,) = look_at_certificates(None, own.cert)
    assert handed.cure.en.endswith("scripts/install --credential elm.pem=FILE")


def test_of_a_chain_the_first_to_end_counts_and_of_authorities_the_last(tmp_path):
    ca = Authority(tmp_path)
    chain = tmp_path / "chain.pem"
    certs = [ca.issue(f"c{days}", ends=days * DAY).cert.read_text() for days in (300, 20, 200)]
    chain.write_text("".join(certs))
    assert [each.about for each in look_at_certificates(None, chain)] == [str(chain)]
    assert [*look_at_certificates(chain, None)] == []
    (each,) = look_at_certificates(chain, None, wall=at(280))
    assert "in 19 days" in each.fact.en


def test_what_is_no_certificate_is_told_by_others(tmp_path):
    none = tmp_path / "none.pem"
    assert [*look_at_certificates(none, none)] == []
    none.write_text("no certificate")
    assert [*look_at_certificates(none, none)] == []
    none.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    assert [*look_at_certificates(none, none)] == []
    assert [*look_at_certificates(None, None)] == []


def test_the_broker_s_certificate_is_told_14_days_before_its_end(tmp_path, monkeypatch):
    ca = Authority(tmp_path)
    pair, port = ca.issue("broker", hosts=("127.0.0.1",), ends=100 * DAY), free_port()
    lines = f"listener {port} 127.0.0.1\ncertfile {pair.cert}\nkeyfile {pair.key}"
    uplink = Uplink(gateway="elm", brokers=(), ca_file=ca.cert)
    broker = Broker("127.0.0.1", port, tls=True)
    with Mosquitto(config=lines, ports=(port,)):
        assert [*look_at_broker_certificate(uplink, broker, wall=at(80))] == []
        (each,) = look_at_broker_certificate(uplink, broker, wall=at(90))
        monkeypatch.setattr(certificates, "BROKER_WITHIN_DAYS", 101)
        told = [each.code for each in doctor._look_at_broker(uplink, broker)]
        assert told == ["broker_reached", "certificate_ends"]
    assert (each.code, each.about) == ("certificate_ends", f"127.0.0.1:{port}")
    assert "in 9 days" in each.fact.en
    assert [*look_at_broker_certificate(uplink, broker)] == [], "one that is away is told elsewhere"


def test_a_refused_link_follows_from_a_certificate_that_ended(tmp_path):
    ca = Authority(tmp_path)
    own = ca.issue("elm", begins=-9 * DAY, ends=-DAY)
    text = Text("x", "x")
    ended, refused, theirs = explained(
        [
            *look_at_certificates(ca.cert, own.cert),
            bad("broker_tls_refused", text, text, "b"),
            bad("broker_tls_expired", text, text, "b"),
        ]
    )
    assert (ended.because, refused.because) == ("", "certificate_ended")
    assert theirs.because == "", "our own certificate does not make theirs run out"
