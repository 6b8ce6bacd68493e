from gateway.core.delivery import Outbox
from gateway.core.messages import Ack, Nack
from gateway.core.progress import (
    STEPS_KEPT,
    Progress,
    brokers_view,
    lanes_view,
    link_view,
    parked_view,
    standing_view,
    steps_view,
)
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Range
from gateway.domain.site import Broker, Delivery, Uplink

NOW = Now(10_000, 1_790_000_010_000, Clk.SYNC, 40, "b")
UPLINK = Uplink(gateway="gw", brokers=(Broker("one", 1),))


def busy() -> Progress:
    """Three A records: one settled, one at the broker, one new; a parked B; R only in the store."""
    box = Outbox(epoch="e", delivery=Delivery.ACK, probe_ms=30_000)
    progress = Progress(outbox=box)
    box.link_up(0, has_session=True)
    box.heard(0)
    for seq in (1, 2):
        box.offer((Lane.A, "e", seq), b"x")
    box.offer((Lane.B, "e", 7), b"x")
    while message := box.next_message(0):
        box.puback(message.key, 0, 0)
    progress.settled(
        box.ack(Ack((Range(Lane.A, "e", 1, 1),), (Nack(Lane.B, "e", 7, "schema"),)), 0), 4_000
    )
    box.offer((Lane.A, "e", 3), b"x")
    progress.lanes[Lane.R].has_more = True
    return progress


def test_every_lane_says_where_its_records_are():
    lanes = lanes_view(busy(), {Lane.A: 2, Lane.B: 1, Lane.R: 900}, 10_000)
    assert lanes["A"] == {
        "queued": 1, "at_broker": 1, "settled": 1, "last_settled_ms": 6_000, "parked": 0,
        "unsettled": 2,
    }  # fmt: skip
    assert (lanes["B"]["queued"], lanes["B"]["parked"], lanes["B"]["settled"]) == (0, 1, 0)
    assert (lanes["R"]["queued"], lanes["R"]["last_settled_ms"]) == (900, None)
    assert parked_view(busy()) == [{"lane": "B", "ep": "e", "seq": 7, "why": "schema"}]


def test_before_the_first_forwarder_all_that_the_store_has_is_queued():
    assert lanes_view(Progress(), {Lane.A: 5}, 0)["A"]["queued"] == 5


def test_a_failure_is_shown_with_words_until_that_broker_works_again():
    progress = Progress()
    progress.went_down("one:1", "tls_name", "mismatch", 1_000)
    progress.note("one:1", "tls_name", "mismatch", 1_000)
    link = link_view(progress, UPLINK, 10_000)
    assert (link["last_failure"], link["since_ms"]) == ("tls_name", 9_000)
    assert link["say"]["zh"] == "服务器证书的名称不符"
    assert link["do"]
    (row, other) = brokers_view(progress, ("one:1", "two:2"), 10_000)
    assert (row["is_used"], row["why"], row["failed_ms"]) == (False, "tls_name", 9_000)
    assert other == {"broker": "two:2", "is_used": False}
    assert progress.worst({"tls_name"}) == ("tls_name", "one:1: mismatch")

    progress.came_up("one:1", "5", "TLSv1.3", 9_500)
    link = link_view(progress, UPLINK, 10_000)
    assert (link["protocol"], link["tls"], link["since_ms"]) == ("5", "TLSv1.3", 500)
    assert link["say"] == {"zh": "", "en": ""}
    assert brokers_view(progress, ("one:1",), 10_000) == [{"broker": "one:1", "is_used": True}]


def test_without_an_uplink_there_is_nothing_to_say_of_the_link():
    assert link_view(Progress(), None, 0) == {}


def test_steps_are_numbered_kept_for_a_while_and_carry_the_wall_clock():
    progress = Progress()
    progress.step("sent", 9_000, (Lane.A, "e", 3), size=400)
    progress.settled([Range(Lane.A, "e", 1, 3)], 9_500)
    sent, settled = steps_view(progress, 0, NOW)
    assert (sent["what"], sent["lane"], sent["lo"], sent["hi"], sent["bytes"]) == (
        "sent", "A", 3, 3, 400,
    )  # fmt: skip
    assert sent["at"] == 1_790_000_009_000
    assert (settled["n"], settled["what"], settled["lo"], settled["hi"]) == (2, "settled", 1, 3)
    assert steps_view(progress, 1, NOW) == [settled]
    for _ in range(2 * STEPS_KEPT):
        progress.step("hello", 9_600)
    assert len(steps_view(progress, 0, NOW)) == STEPS_KEPT


def test_of_the_open_alarms_those_are_told_that_stand_on_the_way_up():
    said = {"say": {"zh": "一", "en": "one"}, "do": [], "since_ms": 5, "detail": "why"}
    alarms = [
        {"rule": rule, "state": state, **said}
        for rule, state in (
            ("gateway/uplink_refused/R", "UA"),
            ("gateway/uplink_refused/broker", "UA"),  # the connection's: told there
            ("gateway/uplink_unheard/A", "RU"),  # over, only not seen yet
            ("gateway/platform_absent/wh-1", "AA"),
            ("gateway/store_failing/core.db", "UA"),
            ("uplink_refused/R", "UA"),
        )
    ]
    assert [(row["code"], row["about"], row["detail"]) for row in standing_view(alarms)] == [
        ("uplink_refused", "R", "why"),
        ("platform_absent", "wh-1", "why"),
    ]
