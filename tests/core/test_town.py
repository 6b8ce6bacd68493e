"""Seeded runs of a whole town, and known sins of delivery: the checker must find each of them."""

from dataclasses import replace

import pytest

from gateway.core.delivery import Outbox
from gateway.core.messages import Nack
from gateway.domain.records import Range
from gateway.domain.site import Delivery
from tests.core.town import Town, Ways
from tests.daemon.history import Finding, check

TOWNS = 15  # `scripts/soak towns` lives 10,000
FOUND_WITHIN = 40  # seeds


def lived(seed: int, ways: Ways | None = None) -> Finding:
    return check(Town(seed, ways).live())


def test_whatever_happens_nothing_is_lost_nothing_doubled_and_all_is_heard():
    planted = committed = 0
    for seed in range(TOWNS):
        found = lived(seed)
        assert found.problems == (), f"seed {seed}"
        planted, committed = planted + found.planted, committed + found.committed
    assert planted > 10 * TOWNS
    assert committed > 100 * TOWNS


def test_the_same_seed_is_the_same_run():
    assert Town(7).live() == Town(7).live()


def _settles_on_puback(_patch) -> Ways:
    return Ways(delivery=Delivery.BROKER)


def _takes_nobody_for_delivery(patch) -> Ways:
    real = Outbox.puback
    patch.setattr(Outbox, "puback", lambda box, key, code, now: real(box, key, code, now) or (
        Range(key[0], key[1], key[2], key[2]) if code == 0x10 else None
    ))  # fmt: skip
    return Ways()


def _forgets_what_was_on_a_lost_link(patch) -> Ways:
    def down(box) -> None:
        box._window, box._is_present = 0, False

    patch.setattr(Outbox, "link_down", down)
    return Ways()


def _never_sends_again(patch) -> Ways:
    real = Outbox._wake_at

    def wake_at(box, entry, at_ms) -> None:
        if entry.stage.value == "new":
            real(box, entry, at_ms)

    patch.setattr(Outbox, "_wake_at", wake_at)
    return Ways()


def _uses_numbers_again_after_a_lost_tail(_patch) -> Ways:
    return Ways(reuses_numbers=True)


def _drops_what_is_refused_for_now(patch) -> Ways:
    real = Outbox.ack

    def ack(box, said, now_ms):
        dropped = tuple(Range(n.lane, n.epoch, n.seq, n.seq) for n in said.nacks)
        return real(box, replace(said, ranges=said.ranges + dropped), now_ms)

    patch.setattr(Outbox, "ack", ack)
    return Ways()


def _takes_an_ack_of_another_epoch_for_its_own(patch) -> Ways:
    real = Outbox._settle_range
    patch.setattr(
        Outbox, "_settle_range", lambda box, one, ms: real(box, replace(one, epoch=box._epoch), ms)
    )
    return Ways()


def _settles_the_neighbour_too(patch) -> Ways:
    real = Outbox._settle_range
    patch.setattr(
        Outbox, "_settle_range", lambda box, one, ms: real(box, replace(one, hi=one.hi + 1), ms)
    )
    return Ways()


def _never_parks_poison(patch) -> Ways:
    patch.setattr(Nack, "is_transient", property(lambda _: True))
    return Ways()


def _sends_what_is_not_committed(_patch) -> Ways:
    return Ways(sends_before_commit=True)


def _raises_again_after_a_restart(_patch) -> Ways:
    return Ways(forgets_alarms=True)


def _waits_for_the_disk_before_it_sounds(patch) -> Ways:
    real = Town._commit_what_is_due

    def slow(town) -> None:
        town.memory = [(at + 20_000, key, body) if at <= town.now and at % 2 else (at, key, body)
                       for at, key, body in town.memory]  # fmt: skip
        real(town)

    patch.setattr(Town, "_commit_what_is_due", slow)
    return Ways(sounds_after_commit_only=True)


def _platform_acknowledges_before_it_commits(_patch) -> Ways:
    return Ways(acks_before_commit=True)


def _platform_keeps_copies(_patch) -> Ways:
    return Ways(keeps_copies=True)


SINS = {
    _settles_on_puback: "lost",
    _takes_nobody_for_delivery: "lost",
    _forgets_what_was_on_a_lost_link: "unfinished",
    _never_sends_again: "unfinished",
    _uses_numbers_again_after_a_lost_tail: "lost",
    _drops_what_is_refused_for_now: "lost",
    _takes_an_ack_of_another_epoch_for_its_own: "lost",
    _settles_the_neighbour_too: "lost",
    _never_parks_poison: "unfinished",
    _sends_what_is_not_committed: "stranger",
    _raises_again_after_a_restart: "duplicate",
    _waits_for_the_disk_before_it_sounds: "silent",
    _platform_acknowledges_before_it_commits: "lost",
    _platform_keeps_copies: "duplicate",
}


@pytest.mark.parametrize("sin", SINS, ids=[sin.__name__ for sin in SINS])
def test_a_known_sin_of_delivery_is_found_by_the_checker(monkeypatch, sin):
    ways = sin(monkeypatch)
    for seed in range(FOUND_WITHIN):
        problems = lived(seed, ways).problems
        if problems:
            break
    assert any(each.startswith(SINS[sin]) for each in problems), problems[:3]
