"""One record that the platform refuses for good, in front of a thousand that it takes."""

import pytest

from gateway.core.delivery import Key, Outbox, Parked
from gateway.core.messages import Ack, Nack
from gateway.domain.records import Lane, Range
from gateway.domain.site import Delivery

GOOD = 1_000
MOST_TRIES = 3


@pytest.mark.parametrize("lane", Lane)
def test_a_poison_record_is_parked_and_a_thousand_behind_it_arrive_in_order(lane):
    box = Outbox(epoch="e", delivery=Delivery.ACK, probe_ms=30_000)
    box.link_up(0, has_session=True)
    box.heard(0)
    store = [(lane, "e", seq) for seq in range(1, GOOD + 2)]
    arrived: list[Key] = []
    tries = now_ms = 0
    parked: list[Parked] = []
    while len(arrived) < GOOD:
        now_ms += 10
        assert now_ms < 600_000, "the lane does not go on"
        while store and box.offer(store[0], b"x" * 200, is_live=False):
            del store[0]
        sent = []
        while message := box.next_message(now_ms):
            sent.append(message.key)
            box.puback(message.key, 0, now_ms)
        for key in sent:
            if key[2] == 1:
                tries += 1
                box.ack(Ack((), (Nack(lane, "e", 1, "schema"),)), now_ms)
            else:
                arrived.append(key)
                box.ack(Ack((Range(lane, "e", key[2], key[2]),)), now_ms)
        parked += [change for change in box.take_changes() if isinstance(change, Parked)]
    assert [key[2] for key in arrived] == list(range(2, GOOD + 2))
    assert parked == [Parked((lane, "e", 1), "schema")]
    assert 1 <= tries <= MOST_TRIES
    assert box.parked == {(lane, "e", 1): "schema"}
    assert box.held == 0
