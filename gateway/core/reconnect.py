"""Where to connect next, and when: pure, so that a city's worth of gateways can be simulated.

Brokers are named in the order of preference. A try that fails goes on to the next one at once; a
pause follows when all have failed, or after a link that lasted. Whoever had to take a later one
comes back to the first after a while.

`fleet`: 0-20 s first, then d/2...d with d = 30, 60 s: after a city-wide outage at most some 7 % of
the gateways come back in any one second; at most 4 s while an alarm waits. `local`: 0.5-2 s.

Two gateways with one id (a cloned card) would take the connection from each other for ever. Who
is taken over while it knows of the other one waits for minutes, longer each time, so each in turn
has the link long enough to deliver; with an alarm 30-60 s.
"""

from dataclasses import dataclass, replace

from gateway.domain.site import Reconnect

STABLE_MS = 30_000  # a link that lasted this long starts everything anew
RIVAL_GONE_MS = 20 * 60_000  # longer than anybody's longest wait below

Seconds = tuple[float, float]  # from, to: where the dice fall

_FLEET: tuple[Seconds, ...] = ((0, 20), (15, 30), (30, 60))
_FLEET_ALARM: tuple[Seconds, ...] = ((0, 2), (2, 4))
_LOCAL: Seconds = (0.5, 2.0)
_RIVAL: tuple[Seconds, ...] = ((120, 240), (240, 480), (480, 900))
_RIVAL_ALARM: Seconds = (30, 60)
_HOME = {Reconnect.FLEET: (600.0, 1200.0, 7200.0), Reconnect.LOCAL: (10.0, 20.0, 600.0)}


@dataclass(frozen=True, slots=True)
class Course:
    """Where the search for a broker stands."""

    at: int = 0  # index of the broker to try now
    failed: int = 0  # tries in a row without a link that lasted
    returns: int = 0  # tries in a row to come back to the first that failed
    takeovers: int = 0  # in a row, by a rival that was known
    is_rival_known: bool = False
    is_returning: bool = False
    was_taken: bool = False  # the last link

    @property
    def is_home(self) -> bool:
        return self.at == 0


def after_link(course: Course, brokers: int, *, lasted_ms: int, was_taken: bool = False) -> Course:
    """Return where to go on after a try; `lasted_ms` 0 = there was no link at all.

    `was_taken`: another gateway with our id has the connection now, or may have.
    """
    if course.is_rival_known and lasted_ms >= RIVAL_GONE_MS:
        course = rival_gone(course)
    if was_taken:
        taken = course.takeovers + 1 if course.is_rival_known else 0
        return replace(
            course, takeovers=taken, is_rival_known=True, was_taken=True, is_returning=False
        )
    returns = course.returns + 1 if course.is_returning else course.returns
    if lasted_ms >= STABLE_MS:
        return replace(
            course, at=0, failed=0, was_taken=False, is_returning=False,
            returns=0 if course.is_home else returns,
        )  # fmt: skip
    return replace(
        course, at=(course.at + 1) % brokers, failed=course.failed + 1, returns=returns,
        was_taken=False, is_returning=False,
    )  # fmt: skip


def rival_seen(course: Course) -> Course:
    """Another gateway with our id was connected since we were."""
    return replace(course, is_rival_known=True)


def rival_gone(course: Course) -> Course:
    return replace(course, is_rival_known=False, takeovers=0)


def going_home(course: Course) -> Course:
    """The first broker is to be tried now, though the link to a later one works."""
    return replace(course, at=0, failed=0, is_returning=True, was_taken=False)


def pause(course: Course, brokers: int, how: Reconnect, *, is_alarm_waiting: bool) -> Seconds:
    """Return from ... to how many seconds to wait before the next try."""
    if course.was_taken and course.takeovers:
        longest = _RIVAL[min(course.takeovers, len(_RIVAL)) - 1]
        return _RIVAL_ALARM if is_alarm_waiting else longest
    if course.is_returning or course.failed % brokers:
        return (0, 0)
    if how is Reconnect.LOCAL:
        return _LOCAL
    rounds = max(1, course.failed // brokers)
    steps = _FLEET_ALARM if is_alarm_waiting else _FLEET
    return steps[min(rounds, len(steps)) - 1]


def stay_away(course: Course, how: Reconnect) -> Seconds:
    """Return from ... to how many seconds to use a later broker before trying the first again."""
    low, high, longest = _HOME[how]
    factor = 2.0 ** min(course.returns, 16)
    return (min(low * factor, longest / 2), min(high * factor, longest))
