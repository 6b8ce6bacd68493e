from decimal import Decimal

import pytest

from gateway.config import quantities
from gateway.config.quantities import Quantity, Unreadable
from gateway.domain.site import Broker, TcpLink


@pytest.mark.parametrize(
    ("typed", "ms"),
    [("500ms", 500), ("3s", 3000), ("0.5 s", 500), ("10min", 600_000), ("2h", 7_200_000), (0, 0)],
)
def test_a_duration_is_a_number_with_its_unit(typed, ms):
    assert quantities.duration_ms(typed) == ms


@pytest.mark.parametrize("typed", [3, "3", "3 sec", "-3s", "", True, None, [], "1e999s", "400d"])
def test_anything_else_is_no_duration(typed):
    with pytest.raises(Unreadable) as refused:
        quantities.duration_ms(typed)
    assert refused.value.code == "not_a_duration"


@pytest.mark.parametrize(
    ("typed", "value", "unit"),
    [
        ("300 mA", "300", "mA"),
        ("0.07MPa", "0.07", "MPa"),
        ("40 %LEL", "40", "%LEL"),
        ("-5 degC", "-5", "°C"),
        (250, "250", ""),
        (Decimal("0.5"), "0.5", ""),
    ],
)
def test_a_limit_keeps_every_digit_and_its_unit(typed, value, unit):
    assert quantities.quantity(typed) == Quantity(Decimal(value), unit)


@pytest.mark.parametrize("typed", ["mA", "", True, None, [1], Decimal("NaN"), Decimal("Infinity")])
def test_a_limit_without_a_number_is_refused(typed):
    with pytest.raises(Unreadable):
        quantities.quantity(typed)


@pytest.mark.parametrize(
    ("unit", "wanted", "factor"),
    [
        ("A", "mA", "1000"),
        ("bar", "MPa", "0.1"),
        ("kPa", "MPa", "0.001"),
        ("Pa", "MPa", "0.000001"),
        ("psi", "MPa", "0.006894757293168361"),
        ("cm", "m", "0.01"),
        ("kW", "W", "1000"),
        ("V", "V", "1"),
    ],
)
def test_units_of_one_group_convert_without_rounding(unit, wanted, factor):
    assert quantities.factor_between(unit, wanted) == Decimal(factor)


@pytest.mark.parametrize(("unit", "wanted"), [("mA", "V"), ("ppm", "%LEL"), ("", "mA"), ("x", "V")])
def test_units_of_two_groups_never_convert(unit, wanted):
    assert quantities.factor_between(unit, wanted) is None


def test_a_range_has_its_lower_end_first():
    assert quantities.span("-0.05..2.5") == (Decimal("-0.05"), Decimal("2.5"))
    for typed in ("5..1", "1..1", "1-5", 5, None, "1...5"):
        with pytest.raises(Unreadable):
            quantities.span(typed)


@pytest.mark.parametrize(
    ("typed", "link"),
    [
        ("192.168.1.20", TcpLink("192.168.1.20", 502)),
        ("bridge.local:1502", TcpLink("bridge.local", 1502)),
        ("[fe80::1]:502", TcpLink("fe80::1", 502)),
    ],
)
def test_a_tcp_bus_is_a_host_with_an_optional_port(typed, link):
    assert quantities.tcp_link(typed) == link


@pytest.mark.parametrize("typed", ["", "host:0", "host:70000", "a b", "http://x", 5, None])
def test_what_is_no_host_is_refused(typed):
    with pytest.raises(Unreadable):
        quantities.tcp_link(typed)


@pytest.mark.parametrize(
    ("typed", "broker"),
    [
        ("mqtt://h", Broker("h", 1883)),
        ("mqtt://127.0.0.1:41883", Broker("127.0.0.1", 41883)),
        ("mqtts://platform.example:8884", Broker("platform.example", 8884, tls=True)),
        ("mqtts://platform.example", Broker("platform.example", 8883, tls=True)),
        ("mqtt+unix:///run/b.sock", Broker("", 0, unix_path="/run/b.sock")),
    ],
)
def test_a_broker_is_a_url(typed, broker):
    assert quantities.broker(typed) == broker


@pytest.mark.parametrize(
    "typed", ["h:1883", "http://h", "mqtt://", "mqtt://u:p@h", "mqtt+unix://rel", 1883, None]
)
def test_what_is_no_broker_is_refused(typed):
    with pytest.raises(Unreadable):
        quantities.broker(typed)
