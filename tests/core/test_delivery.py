from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from gateway.core.delivery import (
    HELD_BACK_MS,
    HELD_BYTES,
    HELD_MESSAGES,
    KEPT_FOR_A_BYTES,
    LINK_BYTES,
    UNANSWERED_MS,
    Accepted,
    Answered,
    Key,
    Outbox,
    Parked,
    PlatformCame,
    PlatformWent,
    Refused,
    Stage,
    Unanswered,
    as_ranges,
)
from gateway.core.messages import Ack, Nack
from gateway.domain.records import Lane, Range
from gateway.domain.site import Delivery

PROBE_MS = 30_000


def outbox(delivery: Delivery = Delivery.ACK) -> Outbox:
    return Outbox(epoch="e2", delivery=delivery, probe_ms=PROBE_MS)


def key(lane: str, seq: int, epoch: str = "e2") -> Key:
    return (Lane(lane), epoch, seq)


def opened(delivery: Delivery = Delivery.ACK, **link) -> Outbox:
    box = outbox(delivery)
    box.link_up(0, has_session=True, **link)
    if delivery is Delivery.ACK:
        box.heard(0)
    box.take_changes()
    return box


def send_all(box: Outbox, now_ms: int = 0) -> list[Key]:
    sent = []
    while message := box.next_message(now_ms):
        sent.append(message.key)
    return sent


def drain(box: Outbox, now_ms: int = 0) -> list[Key]:
    """Send and PUBACK everything that may go."""
    sent = []
    while message := box.next_message(now_ms):
        sent.append(message.key)
        box.puback(message.key, 0, now_ms)
    return sent


def ack(box: Outbox, *keys: Key, now_ms: int = 0) -> tuple[Range, ...]:
    return box.ack(Ack(as_ranges(keys)), now_ms)


def test_lanes_go_in_order_and_readings_wait_for_the_last_alarm():
    box = opened()
    for one in (key("R", 1), key("B", 1), key("A", 2), key("A", 1)):
        box.offer(one, b"x")
    assert drain(box) == [key("A", 1), key("A", 2), key("B", 1)]
    ack(box, key("A", 1))
    assert drain(box) == []
    ack(box, key("A", 2))
    assert drain(box) == [key("R", 1)]


def test_alarms_of_older_epochs_go_before_those_of_this_one():
    box = opened()
    for one in (key("A", 1), key("A", 7, "e0"), key("A", 3, "e1")):
        box.offer(one, b"x")
    assert drain(box) == [key("A", 7, "e0"), key("A", 3, "e1"), key("A", 1)]


def test_alarms_that_are_still_in_the_store_hold_readings_back():
    box = opened()
    box.offer(key("R", 1), b"x")
    box.has_more_alarms = True
    assert drain(box) == []
    box.has_more_alarms = False
    assert drain(box) == [key("R", 1)]


def test_an_alarm_whose_ack_timer_ran_out_holds_readings_back_no_longer():
    box = opened()
    box.offer(key("A", 1), b"x")
    box.offer(key("R", 1), b"x")
    assert drain(box) == [key("A", 1)]
    assert drain(box, 9_999) == []
    assert drain(box, 10_000) == [key("A", 1), key("R", 1)]
    assert drain(box, 29_999) == []
    assert drain(box, 30_000) == [key("A", 1)]


def test_a_lane_full_of_what_the_platform_never_answers_goes_on_after_three_tries():
    """It neither takes nor refuses them, and answers all else: today's alarm gets through."""
    box = opened()
    old = [key("A", seq, "e1") for seq in range(1, 2_001)]
    fresh, seq, now_ms = key("A", 1), 0, 0
    sent_at = None
    while sent_at is None:
        now_ms += 500
        assert now_ms < 1_200_000, "nobody hears of today's alarm"
        while old and box.offer(old[0], b"x" * 900):
            del old[0]
        if not old:
            box.offer(fresh, b"x")
        seq += 1
        box.offer(key("B", seq), b"x")
        for one in drain(box, now_ms):
            if one[0] is Lane.B:
                ack(box, one, now_ms=now_ms)
            elif one == fresh:
                sent_at = now_ms
    assert ack(box, fresh, now_ms=now_ms) == (Range(Lane.A, "e2", 1, 1),)
    parked = [change for change in box.take_changes() if isinstance(change, Parked)]
    assert parked[0] == Parked(key("A", 1, "e1"), "not answered")
    assert set(box.parked) == {change.key for change in parked}
    late = parked[0].key
    assert ack(box, late, now_ms=now_ms) == (Range(Lane.A, "e1", 1, 1),), "late is not never"


def test_what_was_given_up_unanswered_is_due_again_once_its_lane_is_answered_but_not_for_ever():
    """What stores the alarms was away for hours: those of the first hour are to arrive as well."""
    box = opened()
    alarms = [key("A", seq) for seq in range(1, 601)]
    fed, now_ms = 0, 0
    for seq in range(1, 1_000):
        now_ms += 1_000
        while fed < len(alarms) and box.offer(alarms[fed], b"x" * 900):
            fed += 1
        box.offer(key("B", seq), b"x")
        ack(box, *(one for one in drain(box, now_ms) if one[0] is Lane.B), now_ms=now_ms)
    given_up = set(box.parked)
    assert given_up
    assert fed == len(alarms)
    box.take_changes()
    for _ in range(200):
        now_ms += 1_000
        drain(box, now_ms)
        ack(box, *(one for one in alarms if one not in given_up), now_ms=now_ms)
    assert box.parked == {}
    assert Answered(Lane.A, has_more=True) in box.take_changes()
    one = min(given_up)
    assert box.offer(one, b"x")
    assert drain(box, now_ms) == [one]
    assert ack(box, one, now_ms=now_ms) == (Range(Lane.A, "e2", one[2], one[2]),)


def test_what_waits_for_a_platform_that_is_away_is_not_parked_however_often_it_was_tried():
    box = opened()
    for seq in range(1, 600):
        box.offer(key("A", seq), b"x" * 900)
    drain(box)
    for now_ms in range(1_000, 3_600_000, 1_000):
        drain(box, now_ms)
        if now_ms % 600_000 == 0:
            box.heard(now_ms)  # it starts, and is gone again
        assert not box.offer(key("A", 1_000), b"x" * 900)
    box.heard(3_600_000)
    assert not box.offer(key("A", 1_000), b"x" * 900)
    assert box.parked == {}


def test_live_readings_go_before_backlog_and_only_backlog_is_history():
    box = opened()
    box.offer(key("R", 1), b"x", is_live=False)
    box.offer(key("R", 9), b"x")
    first, second = box.next_message(0), box.next_message(0)
    assert first is not None
    assert second is not None
    assert (first.key, first.is_history) == (key("R", 9), False)
    assert (second.key, second.is_history) == (key("R", 1), True)


def test_four_places_on_the_link_are_kept_for_alarms():
    box = opened()
    for seq in range(1, 30):
        box.offer(key("B", seq), b"x")
    assert len(send_all(box)) == 12
    for seq in range(1, 30):
        box.offer(key("A", seq), b"x")
    assert send_all(box) == [key("A", seq) for seq in range(1, 5)]


def test_a_small_receive_maximum_is_kept():
    box = opened(receive_maximum=5)
    for seq in range(1, 30):
        box.offer(key("B", seq), b"x")
        box.offer(key("A", seq), b"x")
    assert len(send_all(box)) == 5


def test_bytes_on_the_link_are_bounded_and_a_large_message_goes_alone():
    box = opened()
    for seq in range(1, 5):
        box.offer(key("R", seq), b"x" * 5_000)
    assert send_all(box) == [key("R", 1), key("R", 2)]
    box = opened()
    box.offer(key("R", 1), b"x" * 50_000)
    box.offer(key("R", 2), b"x")
    assert send_all(box) == [key("R", 1)]
    box.offer(key("A", 1), b"x" * 2_000)
    assert send_all(box) == [key("A", 1)]


def test_what_is_larger_than_the_broker_takes_is_parked_until_one_takes_it():
    box = opened(largest=1_000)
    for lane, size in (("A", 1_001), ("B", 1_000), ("R", 5_000), ("R", 10)):
        assert box.offer(key(lane, size), b"x" * size)
    assert send_all(box) == [key("B", 1_000), key("R", 10)]  # the alarm holds nothing back
    why = "the broker takes 1000"
    assert box.take_changes() == [
        Parked(key("A", 1_001), f"1001 bytes, {why}"),
        Parked(key("R", 5_000), f"5000 bytes, {why}"),
    ]
    assert box.offer(key("A", 1_001), b"x" * 1_001)  # it is known, and not tried
    box.link_down()
    assert box.link_up(0, has_session=True, largest=2_000)
    assert list(box.parked) == [key("R", 5_000)]
    assert box.offer(key("A", 1_001), b"x" * 1_001)
    box.heard(0)
    assert send_all(box)[0] == key("A", 1_001)
    box.link_down()
    assert not box.link_up(0, has_session=True, largest=2_000)
    assert box.link_up(0, has_session=True)
    assert box.parked == {}


def test_what_a_broker_says_is_too_large_is_parked_and_tried_again_with_the_next_connection():
    box = opened()
    for each in (key("A", 1), key("R", 1), key("R", 2)):
        assert box.offer(each, b"x" * 900)
    assert send_all(box) == [key("A", 1)]
    box.puback(key("A", 1), 0x95, 0)
    assert send_all(box) == [key("R", 1), key("R", 2)]  # it holds nothing back
    box.puback(key("R", 1), 0x95, 0)
    box.puback(key("R", 2), 0, 0)
    why = "900 bytes, too many for the broker"
    assert box.take_changes() == [Parked(key("A", 1), why), Parked(key("R", 1), why)]
    for time in range(5):
        box.link_down()
        assert box.link_up(0, has_session=True)
        box.heard(0)
        assert box.offer(key("A", 1), b"x" * 900)
        assert box.offer(key("R", 1), b"x" * 900)
        sent = send_all(box)
        assert sent == [key("A", 1)]
        box.puback(key("A", 1), 0x95, 0)
        again = send_all(box)
        assert again == ([key("R", 1)] if time < 3 else [])  # an alarm is worth any number
        if again:
            box.puback(key("R", 1), 0x95, 0)
    box.link_down()
    assert box.link_up(0, has_session=True)
    box.heard(0)
    assert box.offer(key("A", 1), b"x" * 900)
    assert send_all(box) == [key("A", 1)]
    box.puback(key("A", 1), 0, 0)
    assert key("A", 1) not in box.parked


def test_a_large_record_is_parked_though_the_link_is_full():
    box = opened(largest=20_000)
    for seq, size in ((1, 7_000), (2, 7_000), (3, 20_001)):
        box.offer(key("R", seq), b"x" * size)
    assert send_all(box) == [key("R", 1)]
    box.offer(key("A", 1), b"x" * 20_001)
    assert send_all(box) == []
    assert list(box.parked) == [key("A", 1)]
    box.puback(key("R", 1), 0, 1)
    assert send_all(box, 1) == [key("R", 2)]
    assert list(box.parked) == [key("A", 1), key("R", 3)]


def test_nobody_subscribed_is_not_delivery():
    box = opened()
    box.offer(key("A", 1), b"x")
    assert send_all(box) == [key("A", 1)]
    assert box.puback(key("A", 1), 0x10, 0) is None
    assert send_all(box, 999) == []
    assert send_all(box, 1_000) == [key("A", 1)]
    assert box.take_changes() == []
    box.puback(key("A", 1), 0x97, 1_000)
    assert box.on_link == (0, 0)


def test_a_probe_that_found_nobody_goes_first_when_the_platform_comes():
    box = outbox()
    box.link_up(0, has_session=True)
    for seq in (1, 2):
        box.offer(key("A", seq), b"x")
    assert send_all(box, 2_000) == [key("A", 1)]
    box.puback(key("A", 1), 0x10, 2_000)
    box.heard(2_001)
    assert send_all(box, 2_001) == [key("A", 1), key("A", 2)]


def test_a_place_on_the_link_is_taken_until_the_puback_though_the_platform_answered_before():
    box = opened(receive_maximum=1)
    for seq in (1, 2):
        box.offer(key("A", seq), b"x")
    assert send_all(box) == [key("A", 1)]
    assert ack(box, key("A", 1)) == (Range(Lane.A, "e2", 1, 1),)
    assert send_all(box) == []
    box.puback(key("A", 1), 0, 0)
    assert send_all(box) == [key("A", 2)]


def test_denied_three_times_on_two_connections_is_parked_and_the_lane_goes_on():
    box = opened()
    box.offer(key("A", 1), b"x")
    box.offer(key("R", 1), b"x")
    now_ms = 0
    for _ in range(3):
        now_ms += 10_000
        box.heard(now_ms)
        assert send_all(box, now_ms)[0] == key("A", 1)
        box.puback(key("A", 1), 0x87, now_ms)
    assert box.take_changes() == [Refused(Lane.A, 0x87)]
    assert send_all(box, now_ms) == [key("R", 1)]
    box.link_down()
    now_ms += 100_000
    box.link_up(now_ms, has_session=True)
    box.heard(now_ms)
    assert key("A", 1) in send_all(box, now_ms)
    box.puback(key("A", 1), 0x87, now_ms)
    assert box.take_changes() == [PlatformCame(), Parked(key("A", 1), "denied 0x87")]
    box.offer(key("A", 2), b"x")
    assert key("A", 2) in send_all(box, now_ms)
    box.puback(key("A", 2), 0, now_ms)
    assert box.take_changes() == [Accepted(Lane.A, has_more=True)]


def _deny_until_parked(box: Outbox, one: Key, now_ms: int) -> int:
    for _ in range(3):
        now_ms += 70_000
        box.heard(now_ms)
        assert one in send_all(box, now_ms)
        box.puback(one, 0x87, now_ms)
    box.link_down()
    now_ms += 100_000
    box.link_up(now_ms, has_session=True)
    box.heard(now_ms)
    assert one in send_all(box, now_ms)
    box.puback(one, 0x87, now_ms)
    assert box.parked == {one: "denied 0x87"}
    return now_ms


def test_what_was_denied_is_due_again_once_the_broker_takes_its_lane_but_not_for_ever():
    """Somebody mends the broker's permissions: the alarms of meanwhile arrive, with no restart."""
    box = opened()
    now_ms = 0
    for turn in range(5):
        assert box.offer(key("A", 1), b"x")
        if turn < 4:
            now_ms = _deny_until_parked(box, key("A", 1), now_ms)
        box.take_changes()
        box.offer(key("A", 100 + turn), b"x")
        send_all(box, now_ms)
        box.puback(key("A", 100 + turn), 0, now_ms)
        ack(box, key("A", 100 + turn), now_ms=now_ms)
        has_more = [c.has_more for c in box.take_changes() if isinstance(c, Accepted)]
        assert has_more == ([turn < 3] if turn < 4 else [])
        assert box.knows(key("A", 1)) == (turn >= 3)


def test_a_lost_link_makes_what_was_on_it_new_and_a_lost_session_all_of_it():
    box = opened()
    for seq in (1, 2):
        box.offer(key("A", seq), b"x")
    assert send_all(box) == [key("A", 1), key("A", 2)]
    box.puback(key("A", 1), 0, 0)
    box.link_down()
    box.link_up(0, has_session=True)
    box.heard(0)
    assert send_all(box) == [key("A", 2)]
    box.link_down()
    box.link_up(0, has_session=False)
    box.heard(0)
    assert send_all(box) == [key("A", 1), key("A", 2)]


def test_without_hello_one_probe_goes_out_every_probe_interval():
    box = outbox()
    box.link_up(0, has_session=True)
    box.offer(key("A", 1), b"x")
    box.offer(key("A", 2), b"x")
    assert drain(box, 0) == []
    assert box.wake_ms(0) == 2_000
    assert drain(box, 2_000) == [key("A", 1)]
    assert drain(box, 27_000) == []
    assert box.take_changes() == []
    assert drain(box, 28_000) == []
    assert box.take_changes() == [PlatformWent()], "before 30 s have passed"
    assert drain(box, 32_000) == [key("A", 1)]
    ack(box, key("A", 1), now_ms=33_000)
    assert box.take_changes() == [PlatformCame()]
    assert drain(box, 33_000) == [key("A", 2)]


def test_the_platform_comes_again_with_every_new_link():
    box = opened()
    box.link_down()
    box.link_up(1_000, has_session=True)
    assert box.take_changes() == []
    box.heard(1_001)
    assert box.take_changes() == [PlatformCame()]


def test_a_platform_that_falls_silent_is_missed_and_found_again():
    box = opened()
    box.offer(key("A", 1), b"x")
    now_ms = 0
    while not (changes := box.take_changes()):
        drain(box, now_ms)
        now_ms += 1_000
        assert now_ms < 120_000
    assert changes == [PlatformWent()]
    assert not box.is_open
    box.heard(now_ms)
    assert box.is_open
    assert box.take_changes() == [PlatformCame()]


def test_broker_delivery_settles_on_puback_and_waits_for_nobody():
    box = opened(Delivery.BROKER)
    box.offer(key("A", 1), b"x")
    assert send_all(box) == [key("A", 1)]
    assert box.puback(key("A", 1), 0x10, 0) is None
    assert send_all(box, 5_000) == [key("A", 1)]
    assert box.puback(key("A", 1), 0, 5_000) == Range(Lane.A, "e2", 1, 1)
    assert box.held == 0


def test_nacks_for_now_come_again_and_nacks_for_good_are_parked():
    box = opened()
    box.offer(key("B", 1), b"x")
    box.offer(key("B", 2), b"x")
    drain(box)
    box.ack(Ack((), (Nack(Lane.B, "e2", 1, "busy"), Nack(Lane.B, "e2", 2, "schema"))), 0)
    assert box.take_changes() == [Parked(key("B", 2), "schema")]
    assert drain(box, 2_000) == [key("B", 1)]


def test_an_ack_settles_only_what_was_sent():
    box = opened()
    box.offer(key("A", 1), b"x")
    box.offer(key("R", 1), b"x")
    assert drain(box) == [key("A", 1)]
    everything = tuple(Range(lane, "e2", 0, 2**62) for lane in Lane)
    assert box.ack(Ack(everything), 0) == (Range(Lane.A, "e2", 1, 1),)
    assert box.ack(Ack(everything), 0) == ()
    assert drain(box) == [key("R", 1)]


def test_settled_records_leave_no_timers_behind():
    box = opened()
    for seq in range(1, 20_000):
        box.offer(key("R", seq), b"x")
        drain(box)
        ack(box, key("R", seq))
    assert len(box._timers) <= 4 * HELD_MESSAGES
    assert box.held == box.held_bytes == 0


def test_of_ten_messages_one_is_of_the_next_lane_when_that_one_waits_too():
    box = opened()
    for seq in range(1, 101):
        box.offer(key("A", seq), b"x")
        box.offer(key("B", seq), b"x")
    sent = drain(box)
    assert len(sent) == 200
    for begin in range(0, 100, 10):
        lanes = [lane for lane, _, _ in sent[begin : begin + 10]]
        assert lanes.count(Lane.B) == 1
    box = opened()
    for seq in range(1, 101):
        box.offer(key("B", seq), b"x")
        box.offer(key("R", seq), b"x")
    sent = drain(box)
    assert [n for n, (lane, _, _) in enumerate(sent[:100]) if lane is Lane.R] == [
        *range(9, 100, 10)
    ]


def test_backlog_goes_on_slowly_beside_live_readings_that_fill_the_link():
    box = opened()
    for seq in range(1, 51):
        box.offer(key("R", seq), b"x", is_live=False)
    live = 1_000
    sent = []
    for _ in range(100):
        live += 1
        box.offer(key("R", live), b"x")
        message = box.next_message(0)
        assert message is not None
        box.puback(message.key, 0, 0)
        ack(box, message.key)
        sent.append(message)
    assert sum(message.is_history for message in sent) == 10


def test_readings_behind_a_stream_of_alarms_send_one_batch_a_minute():
    box = opened()
    for seq in range(1, 4):
        box.offer(key("R", seq), b"x")
    came = []
    for second in range(200):
        now_ms = 1_000 * second
        box.offer(key("A", second + 1), b"x")
        came += [second for one in drain(box, now_ms) if one[0] is Lane.R]
        ack(box, key("A", second), now_ms=now_ms)
    assert came == [60, 120, 180]


def test_what_is_asked_for_again_goes_behind_what_was_never_there_and_holds_nothing_back():
    box = opened()
    box.offer(key("A", 1, "e0"), b"x", is_replay=True)
    box.offer(key("A", 9), b"x")
    box.offer(key("R", 1), b"x")
    assert drain(box) == [key("A", 9), key("A", 1, "e0")]
    ack(box, key("A", 9))
    assert drain(box) == [key("R", 1)]
    assert ack(box, key("A", 1, "e0")) == (Range(Lane.A, "e0", 1, 1),)


def test_a_lane_that_is_never_answered_is_told_within_25_seconds_though_the_others_are():
    box = opened()
    box.offer(key("A", 1), b"x")
    told = None
    for second in range(60):
        now_ms = 1_000 * second
        box.offer(key("B", second + 1), b"x")
        ack(box, *(one for one in drain(box, now_ms) if one[0] is Lane.B), now_ms=now_ms)
        if Unanswered(Lane.A) in box.take_changes():
            told = second
            break
    assert told == UNANSWERED_MS // 1_000
    assert box.count(Lane.A) == 1
    ack(box, key("A", 1), now_ms=60_000)
    assert box.take_changes() == [Answered(Lane.A)]


def test_a_record_that_ends_every_connection_it_is_on_is_found_alone_and_parked():
    box = opened()
    poison = key("R", 7)
    for seq in range(1, 21):
        box.offer(key("R", seq), b"x")
    settled: set[Key] = set()
    now_ms, links = 0, 0
    while len(settled) < 19:
        now_ms += 1_000
        message = box.next_message(now_ms)
        on_link = []
        while message is not None:
            on_link.append(message.key)
            message = box.next_message(now_ms)
        is_on_link = poison in on_link
        passed = on_link[: on_link.index(poison)] if is_on_link else on_link  # read in order
        for one in passed:
            box.puback(one, 0, now_ms)
            ack(box, one, now_ms=now_ms)
            settled.add(one)
        if is_on_link:
            links += 1
            box.link_down(was_closed=True)
            box.link_up(now_ms, has_session=True)
            box.heard(now_ms)
        assert links < 20
    assert poison not in settled
    for _ in range(10):
        if poison in box.parked:
            break
        seq = 100 + links
        links += 1
        box.offer(key("A", seq), b"x")  # something else gets through between
        for one in send_all(box, now_ms):
            if one != poison:
                box.puback(one, 0, now_ms)
                ack(box, one, now_ms=now_ms)
        assert box.on_link[0] <= 1
        send_all(box, now_ms)
        box.link_down(was_closed=True)
        box.link_up(now_ms, has_session=True)
        box.heard(now_ms)
    assert box.parked == {poison: "closes the link, 1 bytes"}


def test_a_link_that_closes_again_and_again_parks_nothing_by_itself():
    box = opened()
    for seq in range(1, 5):
        box.offer(key("A", seq), b"x")
    for turn in range(50):
        assert send_all(box, turn)
        box.link_down(turn, was_closed=True)  # before it answered for anything
        box.link_up(turn, has_session=True)
        box.heard(turn)
    assert box.parked == {}


def test_what_is_parked_is_remembered_within_bounds():
    box = opened()
    for seq in range(1, 6_000):
        box.offer(key("B", seq), b"x")
        drain(box)
        box.ack(Ack((), (Nack(Lane.B, "e2", seq, "schema"),)), 0)
    box.take_changes()
    assert len(box.parked) == 4_096
    assert box.held == 0


class Delivering(RuleBasedStateMachine):
    """Any pattern of link loss, codes, acks and crashes; at the end everything is delivered."""

    @initialize(n=st.integers(1, 40), delivery=st.sampled_from(Delivery))
    def begin(self, n: int, delivery: Delivery) -> None:
        self.delivery = delivery
        self.box = outbox(delivery)
        self.now_ms = 0
        self.store: dict[Key, bytes] = {}
        self.at_broker: list[Key] = []
        self.at_platform: set[Key] = set()
        self.on_link: list[Key] = []
        self.maximum = 16
        self.reading_sent_ms = 0
        self.next_seq = dict.fromkeys(Lane, 0)
        for _ in range(n):
            for lane in Lane:
                self.make(lane, 100)
        self.fill()

    def make(self, lane: Lane, size: int) -> None:
        self.next_seq[lane] += 1
        self.store[lane, "e2", self.next_seq[lane]] = b"x" * size

    def fill(self) -> None:
        for one, body in sorted(self.store.items()):
            self.box.offer(one, body)
        waiting = [one for one in self.store if one[0] is Lane.A and not self.box.knows(one)]
        self.box.has_more_alarms = bool(waiting)

    def settle(self, ranges) -> None:
        for range_ in ranges:
            for seq in range(range_.lo, range_.hi + 1):
                one = (range_.lane, range_.epoch, seq)
                if self.delivery is Delivery.ACK:
                    assert one in self.at_platform, "settled without the platform"
                self.store.pop(one, None)

    @rule(lane=st.sampled_from(Lane), size=st.sampled_from([1, 1_500, 8_000, 40_000]))
    def a_record_is_made(self, lane: Lane, size: int) -> None:
        self.make(lane, size)
        self.fill()

    @rule(maximum=st.sampled_from([1, 2, 5, 16, 65535]), has_session=st.booleans())
    def the_link_comes(self, maximum: int, has_session: bool) -> None:
        if not self.box.is_link_up:
            self.maximum = min(16, maximum)
            self.box.link_up(self.now_ms, receive_maximum=maximum, has_session=has_session)

    @rule(reached=st.booleans())
    def the_link_dies(self, reached: bool) -> None:
        if reached:
            self.at_broker.extend(self.on_link)
        self.on_link.clear()
        self.box.link_down()

    @rule()
    def the_platform_speaks(self) -> None:
        if self.box.is_link_up:
            self.box.heard(self.now_ms)

    @rule(most=st.integers(1, 40))
    def messages_go_out(self, most: int) -> None:
        for _ in range(most):
            message = self.box.next_message(self.now_ms)
            if message is None:
                return
            assert message.key not in self.on_link
            if message.key[0] is Lane.R:
                if self.box._holding or self.box.has_more_alarms:
                    assert self.now_ms - self.reading_sent_ms >= HELD_BACK_MS
                self.reading_sent_ms = self.now_ms
            self.on_link.append(message.key)

    @precondition(lambda self: getattr(self, "on_link", None))
    @rule(data=st.data(), code=st.sampled_from([0, 0, 0, 0x10, 0x97, 0x88, 0x87, 0x99]))
    def the_broker_answers(self, data, code: int) -> None:
        one = self.on_link.pop(data.draw(st.integers(0, len(self.on_link) - 1)))
        if code == 0:
            self.at_broker.append(one)
        settled = self.box.puback(one, code, self.now_ms)
        self.settle([settled] if settled else [])
        self.box.take_changes()

    @rule(data=st.data(), forgets=st.booleans())
    def the_platform_acks(self, data, forgets: bool) -> None:
        self.at_platform.update(self.at_broker, self.on_link)
        if forgets:
            self.at_broker.clear()
        if self.at_platform and self.delivery is Delivery.ACK:
            some = data.draw(st.lists(st.sampled_from(sorted(self.at_platform)), max_size=20))
            self.settle(self.box.ack(Ack(as_ranges(some)), self.now_ms))
            self.fill()

    @rule(ms=st.sampled_from([1, 500, 2_000, 10_000, 60_000, 600_000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule()
    def the_daemon_crashes(self) -> None:
        self.box = outbox(self.delivery)
        self.at_broker.extend(self.on_link)
        self.on_link.clear()
        self.fill()

    @invariant()
    def the_windows_hold(self) -> None:
        if not hasattr(self, "box"):
            return
        box = self.box
        count, size = box.on_link
        sizes = [len(e.body) for e in box._entries.values() if e.stage is Stage.SENT]
        sizes += box._answered.values()
        assert (count, size) == (len(sizes), sum(sizes))
        assert count <= self.maximum
        assert size <= max(LINK_BYTES, max(sizes, default=0) + KEPT_FOR_A_BYTES)
        assert box.held <= HELD_MESSAGES
        assert box.held_bytes <= HELD_BYTES
        assert box.held_bytes == sum(len(e.body) for e in box._entries.values())
        assert box._holding <= set(box._entries)

    def teardown(self) -> None:
        """The world is well again: all that is not parked is delivered in bounded time."""
        if not hasattr(self, "box"):
            return
        self.box.link_down()
        self.on_link.clear()
        self.box.link_up(self.now_ms, has_session=True)
        parked = {one for one in self.store if one in self.box.parked}
        for _ in range(2_000):
            self.box.heard(self.now_ms)
            self.fill()
            sent = drain_into(self)
            if not set(self.store) - parked:
                return
            wake_ms = self.box.wake_ms(self.now_ms)
            if not sent:
                assert wake_ms is not None, "stuck: records are here and nothing will happen"
                self.now_ms = max(self.now_ms, wake_ms)
        raise AssertionError("not delivered")


def drain_into(machine: Delivering) -> int:
    box, sent = machine.box, 0
    while message := box.next_message(machine.now_ms):
        sent += 1
        machine.at_platform.add(message.key)
        settled = box.puback(message.key, 0, machine.now_ms)
        machine.settle(
            [settled] if settled else box.ack(Ack(as_ranges([message.key])), machine.now_ms)
        )
    return sent


TestDelivering = Delivering.TestCase
TestDelivering.settings = settings(deadline=None, max_examples=100, stateful_step_count=40)


def carried(bytes_per_ms: float, size: int = 5_000, count: int = 200) -> int:
    """The most bytes on a link of this speed after it was learnt."""
    box = opened()
    now_ms, most, seq = 0, 0, 0
    for _ in range(count):
        while box.held < 60:
            seq += 1
            box.offer(key("R", seq), b"x" * size)
        sent = send_all(box, now_ms)
        most = box.on_link[1]
        for one in sent:
            now_ms += round(size / bytes_per_ms)
            box.puback(one, 0, now_ms)
        ack(box, *sent, now_ms=now_ms)
    return most


def test_a_fast_link_carries_more_at_once_and_a_slow_one_never_more_than_before():
    assert carried(4) == 5_000  # 4 kB/s: 6 kB of readings
    assert carried(4, size=1_000) == 6_000
    assert carried(30) == 10_000  # 12 kB, as while nothing is known
    assert 10_000 < carried(200) <= 200 * 200
    assert carried(10_000) == 25_000  # five of 5 kB, under the 32 kB less the 4 kept for alarms


def test_a_link_that_slows_down_is_soon_believed_and_a_new_one_is_not_known():
    box = opened()
    for seq in range(1, 130):
        box.offer(key("R", seq), b"x" * 5_000)
    now_ms = 0
    slow = ((3_000, 12), (3_000, 6), (3_000, 3), (3_000, 1))
    steps = ((2, 2), (2, 2), (2, 5), *slow, (2, 1), (2, 2))
    for took_ms, fits in steps:
        sent = send_all(box, now_ms)
        assert len(sent) >= fits if took_ms == 2 else len(sent) <= fits
        now_ms += took_ms
        for one in sent:
            box.puback(one, 0, now_ms)
    box.link_down()
    box.link_up(now_ms, has_session=True)
    box.heard(now_ms)
    assert len(send_all(box, now_ms)) == 2
