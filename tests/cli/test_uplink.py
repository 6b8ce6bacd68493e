from io import StringIO

from rich.console import Console

from gateway.cli.uplink import line_of, show
from gateway.domain.text import Lang

LANE = {"queued": 3, "at_broker": 2, "settled": 41, "last_settled_ms": 1_200, "parked": 0}
LINK = {
    "is_up": True, "broker": "one:8883", "is_platform_present": True, "protocol": "5",
    "tls": "TLSv1.3", "since_ms": 60_000, "next_try_in_ms": None, "last_ack_ms": 300,
    "delivery": "ack", "last_failure": "", "detail": "", "say": {"zh": "", "en": ""}, "do": [],
}  # fmt: skip
DOWN = {
    **LINK, "is_up": False, "protocol": "", "tls": "", "next_try_in_ms": 4_000,
    "last_failure": "tls_expired", "detail": "certificate has expired",
    "say": {"zh": "服务器证书已过期", "en": "The broker's certificate has expired"},
    "do": [{"zh": "核对网关时间", "en": "Check the gateway's clock"}],
}  # fmt: skip


def printed(lang: Lang, link, brokers=(), parked=(), faults=()) -> str:
    out = StringIO()
    answer = {
        "gateway": "wh-1", "link": link, "lanes": dict.fromkeys("ABR", LANE),
        "brokers": brokers, "parked": parked, "faults": faults,
    }  # fmt: skip
    show(answer, lang, Console(file=out, width=140, highlight=False, markup=False))
    return out.getvalue()


def test_a_working_link_is_one_line_and_a_row_for_each_lane():
    text = printed(Lang.EN, LINK)
    assert text.splitlines()[0] == (
        "wh-1   connected one:8883   MQTT 5   TLSv1.3   platform answers   for 60 s"
        "   last ack 0.3 s ago   delivery: ack"
    )
    for lane in ("A alarms, warnings", "B faults, facts", "R readings"):
        assert f"  {lane}" in text
    assert text.count(" 41 ") == 3


def test_a_broken_link_says_why_and_what_to_do_in_both_languages():
    text = printed(Lang.ZH, DOWN)
    assert "未连接 one:8883" in text
    assert "下次尝试在 4.0 秒" in text
    assert "服务器证书已过期 (tls_expired) 证书已过期" in text
    assert "  1 核对网关时间" in text
    text = printed(Lang.EN, DOWN)
    assert "The broker's certificate has expired (tls_expired) certificate has expired" in text
    assert "  1 Check the gateway's clock" in text


def test_every_broker_is_shown_with_its_own_failure_and_parked_records_by_number():
    one = {"broker": "one:8883", "is_used": False, "why": "dns", "detail": "no such name",
           "say": {"zh": "甲", "en": "No name"}}  # fmt: skip
    two = {"broker": "two:8883", "is_used": True}
    parked = [{"lane": "B", "ep": "e", "seq": 7, "why": "schema"}]
    text = printed(Lang.EN, LINK, [one, two], parked)
    assert "one:8883   spare   No name (dns) no such name" in text
    assert "two:8883   in use\n" in text
    assert "Parked: B e 7   schema" in text


def test_what_is_refused_though_the_link_works_says_what_and_what_to_do():
    fault = {
        "code": "uplink_refused", "about": "R", "detail": "not authorized (0x87)", "since_ms": 1,
        "say": {"zh": "消息服务器不收读数", "en": "The broker does not take readings"},
        "do": [{"zh": "通知平台运维", "en": "Call the platform's operator"}],
    }  # fmt: skip
    text = printed(Lang.EN, LINK, faults=[fault])
    assert "The broker does not take readings (uplink_refused) not authorized (0x87)\n" in text
    assert "  1 Call the platform's operator" in text
    assert "消息服务器不收读数 (uplink_refused)" in printed(Lang.ZH, LINK, faults=[fault])


def test_a_house_without_uplink_says_so():
    out = StringIO()
    show({"gateway": None}, Lang.EN, Console(file=out, width=140))
    assert "nothing is sent" in out.getvalue()


def test_what_happens_is_a_line_each():
    step = {"n": 1, "at": None, "what": "settled", "lane": "A", "ep": "e", "lo": 1, "hi": 9,
            "bytes": 0, "code": None, "text": ""}  # fmt: skip
    assert line_of(step, Lang.EN) == "–  settled  A e 1-9"
    sent = {**step, "what": "sent", "lo": 9, "bytes": 412}
    assert line_of(sent, Lang.ZH) == "–  发送  A e 9  412 B"
    denied = {**step, "what": "broker", "lo": 9, "code": 0x87}
    assert line_of(denied, Lang.EN) == "–  broker  A e 9  0x87"
    up = {**step, "what": "up", "lane": None, "text": "one:8883 MQTT 5 TLSv1.3", "at": 1_000}
    assert line_of(up, Lang.EN).endswith("up  one:8883 MQTT 5 TLSv1.3")
