"""A task that fails is restarted and seen; it never takes its siblings down."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from gateway.domain.events import FaultCleared, FaultRaised

log = logging.getLogger(__name__)

FAULT = "task_failed"
BACKOFF_S = (0.5, 30.0)
WELL_AFTER_S = 60.0


async def supervise(
    name: str,
    make: Callable[[], Awaitable[None]],
    *,
    post: Callable[[FaultRaised | FaultCleared], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    backoff_s: tuple[float, float] = BACKOFF_S,
) -> None:
    """Run `make()` until it returns; after an error run it anew, later each time (0.5 ... 30 s).

    An error posts the fault `task_failed` about `name`; 60 s of running well clear it and make the
    next wait short again. Only a cancellation asked of this task ends it from outside.
    """
    supervised = _Supervised(name, post, sleep, backoff_s)
    while True:
        recovery = asyncio.ensure_future(supervised.recover()) if supervised.detail else None
        try:
            await make()
        except asyncio.CancelledError as error:
            # A library's own cancelled future looks the same; only cancelling() tells who is meant.
            if _is_ending():
                raise
            supervised.fail(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the siblings go on
            supervised.fail(error)
        else:
            supervised.clear()
            return
        finally:
            if recovery is not None:
                recovery.cancel()
        await sleep(supervised.next_wait_s())


def _is_ending() -> bool:
    """True when the current task was asked to end.

    Apart, as a frame that holds its own task keeps, through the error that ended it, all that the
    task worked with, until the collector comes by: after a reload the site before it.
    """
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


class _Supervised:
    """What is known of one task between its restarts; `detail` is empty while it is well."""

    def __init__(
        self,
        name: str,
        post: Callable[[FaultRaised | FaultCleared], None],
        sleep: Callable[[float], Awaitable[None]],
        backoff_s: tuple[float, float],
    ) -> None:
        self.detail = ""
        self._name = name
        self._post = post
        self._sleep = sleep
        self._backoff_s = backoff_s
        self._wait_s = 0.0

    def fail(self, error: BaseException) -> None:
        detail = f"{type(error).__name__}: {error}"[:300]
        if detail == self.detail:
            return
        self.detail = detail
        log.error("task failed, it will be restarted task=%s", self._name, exc_info=error)
        self._post(FaultRaised(FAULT, self._name, detail))

    def next_wait_s(self) -> float:
        first, longest = self._backoff_s
        self._wait_s = min(max(first, 2 * self._wait_s), longest)
        return self._wait_s

    async def recover(self) -> None:
        await self._sleep(WELL_AFTER_S)
        self.clear()

    def clear(self) -> None:
        if self.detail:
            log.debug("task runs well again task=%s", self._name)
            self._post(FaultCleared(FAULT, self._name))
        self.detail, self._wait_s = "", 0.0
