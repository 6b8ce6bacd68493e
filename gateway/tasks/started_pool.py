"""Threads for what the event loop must not wait for, all of them from the start."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


def started_pool(count: int) -> ThreadPoolExecutor:
    """Return a pool whose `count` threads already run.

    By itself a pool begins another thread whenever all it has are at work, some day: a daemon
    would hold one more after months, and its tests never.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix="worker")
    together = Barrier(count)
    for _ in range(count):  # each waits for all the others, so none is free to take two
        pool.submit(together.wait)
    return pool
