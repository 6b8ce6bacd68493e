"""A pool that has all its threads from the start."""

import threading

from gateway.tasks.started_pool import started_pool


def test_the_threads_are_there_before_anything_is_asked_and_no_more_come() -> None:
    before = threading.active_count()
    with started_pool(5) as pool:
        assert threading.active_count() == before + 5
        assert sorted(pool.map(abs, range(-40, 0))) == list(range(1, 41))
        assert threading.active_count() == before + 5
    assert threading.active_count() == before
