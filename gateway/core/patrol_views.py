"""The patrol as plain data for screens: today's rounds, one checkpoint, people, tags, figures.

Names of people are in here: what is shown in the house stays in the house.
"""

from collections.abc import Mapping
from datetime import date, timedelta

from gateway.core.patrol_people import person_of_card, phone_named, today
from gateway.core.patrol_plan import local_day, rounds_between
from gateway.core.patrol_rounds import EXCUSED, outcome_of
from gateway.core.patrol_state import Month, live_rounds
from gateway.core.patrol_visits import asked_at, round_for
from gateway.core.state import House, State
from gateway.core.turn import Turn, begin
from gateway.domain.moments import Now
from gateway.domain.patrol import Checkpoint, Item, Tag
from gateway.domain.people import LEVELS, ROLES, CredentialKind, Person, Right, is_good_on
from gateway.domain.rounds import FLAGS, STATES, Round, RoundState, Visit
from gateway.domain.text import Text

View = dict[str, object]

DAY_MS = 86_400_000
SHIFT_MS = 8 * 3_600_000  # until 8:00 the night of yesterday's date is today's
SOON_MS = 12 * 3_600_000
OTHERS_AFTER_DAYS = 7  # after a month's end, its figures of people who have not looked at theirs
MOST_DAYS = 31

REASONS = {
    "": Text("", ""),
    "no_visit": Text("无人巡查", "Nobody came"),
    "time_out": Text("未巡完就超时", "Not finished in time"),
    "gateway_down": Text("网关停机", "The gateway was off"),
    "clock_unsure": Text("网关时钟不可信", "The gateway's clock was not sure"),
    "schedule_changed": Text("排班已改", "The schedule was changed"),
    "in_service": Text("已恢复使用", "In service again"),
}


def patrol_counts(state: State, now: Now) -> View | None:
    """How many rounds of today there are, are open and overdue; None in a house without any.

    Whatever is under way counts; those of tomorrow are only what may be next.
    """
    if not state.house.patrol.schedules and not state.patrol.rounds:
        return None
    rounds, day = _rounds_of_today(state, now), _shift_day(state.house, now)
    coming = [each.opens_ms for each in rounds if each.state is RoundState.PLANNED]
    states = [
        each.state
        for each in rounds
        if each.shift_date == day or each.state is not RoundState.PLANNED
    ]
    done = (RoundState.DONE, RoundState.DONE_LATE)
    return {
        "rounds": sum(each is not RoundState.CANCELLED for each in states),
        "done": sum(each in done for each in states),
        "open": sum(each in (RoundState.OPEN, RoundState.IN_PROGRESS) for each in states),
        "overdue": states.count(RoundState.OVERDUE),
        "missed": sum(each in (RoundState.MISSED, RoundState.PARTIAL) for each in states),
        "next_at": min(coming, default=None),
        "is_clock_sure": now.is_trusted,
        "waiting": len(state.patrol.unsure),
    }


def today_view(state: State, now: Now) -> View:
    """Every round of this shift day, and those that may be walked within 12 h."""
    turn = begin(state, now)
    return {
        "timezone": state.house.site.timezone,
        "date": _shift_day(state.house, now),
        "is_clock_sure": now.is_trusted,
        "waiting": len(state.patrol.unsure),  # visits that wait for the clock
        "counts": patrol_counts(state, now),
        "rounds": [round_view(turn, each) for each in _rounds_of_today(state, now)],
    }


def rounds_view(state: State, now: Now, day: str) -> View:
    """Every round of one shift date that is still remembered; older ones are in the records."""
    turn = begin(state, now)
    found = [each for each in state.patrol.rounds.values() if each.shift_date == day]
    return {
        "timezone": state.house.site.timezone,
        "date": day,
        "rounds": [round_view(turn, each) for each in found],
    }


def plan_view(state: State, now: Now, days: int) -> View:
    """What is to be walked in the next days, today's among them, as the schedules say."""
    zone, utc_ms = state.house.zone, now.utc_ms
    if zone is None or utc_ms is None:
        return {"rounds": [], "is_clock_sure": False}
    turn = begin(state, now)
    hi_ms = utc_ms + min(days, MOST_DAYS) * DAY_MS
    known = state.patrol.rounds
    planned = {
        each.id: known.get(each.id, each)
        for each in rounds_between(state.house.patrol, zone, utc_ms, hi_ms)
    }
    live = {each.id: each for each in live_rounds(state.patrol) if each.opens_ms < hi_ms}
    rounds = sorted({**planned, **live}.values(), key=lambda each: each.opens_ms)
    return {
        "timezone": state.house.site.timezone,
        "is_clock_sure": now.is_trusted,
        "rounds": [round_view(turn, each) for each in rounds],
        "schedules": [
            {"id": each.id, "route": each.route, "owner": each.owner, "basis": each.basis}
            for each in state.house.patrol.schedules.values()
        ],
    }


def at_view(state: State, now: Now, *, code: str = "", token: str = "", uid: str = "") -> View:
    """What is to be done at a checkpoint now: named by itself, or by a tag's token or UID.

    `checkpoint` is None where nothing is known to hang.
    """
    turn = begin(state, now)
    tag = _tag_of(state, token, uid)
    checkpoint = state.house.patrol.checkpoints.get(code or (tag.checkpoint if tag else ""))
    if checkpoint is None:
        return {"checkpoint": None, "tag": None if tag is None else _tag_view(state, tag)}
    round_, is_again = round_for(turn, checkpoint.code, now.utc_ms)
    left = () if round_ is None else tuple(c for c in round_.missing if c != checkpoint.code)
    checkpoints = state.house.patrol.checkpoints
    following = checkpoints.get(left[0]) if left else None
    leg_ms = 0 if round_ is None or not left else _leg_ms(state.house, round_, left[0])
    return {
        "checkpoint": {**_place(checkpoint), "near": list(checkpoint.near)},
        "tag": None if tag is None else _tag_view(state, tag),
        "items": [
            item_view(item, is_drawn=is_drawn) for item, is_drawn in asked_at(checkpoint, round_)
        ],
        "round": None if round_ is None else round_view(turn, round_),
        "position": 0 if round_ is None else len(round_.stops) - len(left),
        "of": 0 if round_ is None else len(round_.stops),
        "next": None if following is None else {**_place(following), "leg_min_ms": leg_ms},
        "is_visited": is_again,
        "is_clock_sure": now.is_trusted,
        "alarms": _alarms_near(turn, checkpoint),
    }


def person_view(
    state: State, now: Now, *, code: str = "", card: str = "", phone: str = ""
) -> View | None:
    """Somebody by code, card or remembered phone: who it is and what they may."""
    turn = begin(state, now)
    if phone:
        known = phone_named(turn, phone)
        code = known.person if known is not None else ""
    person = person_of_card(turn, card) if card else state.house.people.get(code)
    return None if person is None else _person(turn, person)


def people_view(state: State, now: Now) -> list[View]:
    """Everybody, with the digest of the PIN: for the process that compares it, and no screen."""
    turn = begin(state, now)
    return [
        {**_person(turn, each), "pin": _pin(turn, each)} for each in state.house.people.values()
    ]


def tags_view(state: State) -> list[View]:
    """Every tag, those of the file and those that were registered."""
    return [_tag_view(state, tag) for tag in state.patrol.tags.values()]


def month_view(state: State, now: Now, name: str, by: str) -> View:
    """The figures of a month: the house's for all, one's own first, the others' for their manager.

    A manager sees somebody's own figures once that person has looked at them, or a week after
    the month has ended.
    """
    month = state.patrol.months.get(name, Month())
    person = state.house.people.get(by)
    is_manager = person is not None and Right.FIGURES in person.rights
    shown = {
        code
        for code in month.people
        if code == by
        or (is_manager and (code in month.seen or _is_long_over(state.house, now, name)))
    }
    rounds = dict(month.rounds)
    return {
        "month": name,
        "rounds": rounds,
        "total": sum(rounds.values()),
        "own": _figures(month.people.get(by)) if by in month.people else None,
        "people": {code: _figures(month.people[code]) for code in sorted(shown)},
        "withheld": len(month.people.keys() - shown) if is_manager else 0,
        "is_seen": by in month.seen,
    }


def _figures(mine: Mapping[str, int] | None) -> View:
    """What somebody did in a month; ratios are left to who reads."""
    mine = mine or {}
    return {
        "visits": mine.get("visits", 0),
        "hazards": mine.get("bad", 0),
        "rounds": {
            key.removeprefix("rounds_"): n for key, n in mine.items() if key.startswith("rounds_")
        },
        "flags": {
            key.removeprefix("flag_"): n for key, n in mine.items() if key.startswith("flag_")
        },
        "proof": {
            key.removeprefix("proof_"): n for key, n in mine.items() if key.startswith("proof_")
        },
        "challenges": {"asked": mine.get("asked", 0), "met": mine.get("met", 0)},
    }


def round_view(turn: Turn, round_: Round) -> View:
    """A round with every stop, and the visit there if there was one."""
    visits = {visit.checkpoint: visit for visit in reversed(round_.visits) if visit.counts}
    left = round_.missing
    return {
        "id": round_.id,
        "schedule": round_.schedule,
        "route": round_.route,
        "name": _name_of(turn.house, round_),
        "shift_date": round_.shift_date,
        "opens_at": round_.opens_ms,
        "closes_at": round_.closes_ms,
        "due_at": round_.due_ms,
        "state": round_.state.value,
        "state_say": _say(STATES[round_.state]),
        "outcome": outcome_of(round_) if round_.state.is_over else "",
        "owner": round_.owner,
        "stops": [
            {
                **_stop(turn.house, code),
                "state": "done" if code in visits else "next" if code == left[0] else "missing",
                "visit": visit_view(visits[code]) if code in visits else None,
            }
            for code in round_.stops
        ],
        "done": len(round_.stops) - len(left),
        "of": len(round_.stops),
        "draws": len(round_.draws),
        "flags": [flag.value for flag in round_.flags],
        "reason": round_.reason,
        "reason_say": _say(REASONS.get(round_.reason) or Text(round_.reason, round_.reason)),
        "is_excused": round_.state.is_over and round_.reason in EXCUSED,
        "explained": round_.explained,
        "signed_by": round_.signed_by,
    }


def visit_view(visit: Visit) -> View:
    return {
        "visit": visit.id,
        "at": visit.arrived_utc,
        "by": visit.by,
        "proof": visit.proof,
        "via": visit.via.value,
        "flags": [{"flag": flag.value, "say": _say(FLAGS[flag])} for flag in visit.flags],
        "bad": list(visit.bad),
    }


def item_view(item: Item, *, is_drawn: bool) -> View:
    return {
        "id": item.id,
        "say": _say(item.say),
        "type": item.type.value,
        "unit": item.unit,
        "low": item.low,
        "high": item.high,
        "choices": [
            {"id": each.id, "say": _say(each.say), "is_bad": each.is_bad} for each in item.choices
        ],
        "is_drawn": is_drawn,
    }


def _rounds_of_today(state: State, now: Now) -> list[Round]:
    day, utc_ms = _shift_day(state.house, now), now.utc_ms
    return [
        each
        for each in state.patrol.rounds.values()
        if each.shift_date == day
        or (utc_ms is not None and not each.state.is_over and each.opens_ms <= utc_ms + SOON_MS)
    ]


def _shift_day(house: House, now: Now) -> str:
    if house.zone is None or now.utc_ms is None:
        return ""
    return local_day(now.utc_ms - SHIFT_MS, house.zone).isoformat()


def _is_long_over(house: House, now: Now, name: str) -> bool:
    if house.zone is None or now.utc_ms is None or not now.is_trusted:
        return False
    try:
        first = date.fromisoformat(f"{name}-01")
    except ValueError:
        return False
    following = (first + timedelta(days=32)).replace(day=1)
    return local_day(now.utc_ms, house.zone) >= following + timedelta(days=OTHERS_AFTER_DAYS)


def _name_of(house: House, round_: Round) -> str:
    route = house.patrol.routes.get(round_.route)
    return route.name if route is not None else round_.schedule


def _leg_ms(house: House, round_: Round, checkpoint: str) -> int:
    route = house.patrol.routes.get(round_.route)
    stops = route.stops if route is not None else ()
    return next((stop.leg_min_ms for stop in stops if stop.checkpoint == checkpoint), 0)


def _stop(house: House, code: str) -> View:
    checkpoint = house.patrol.checkpoints.get(code)
    if checkpoint is None:
        return {"checkpoint": code, "name": code, "place": ""}
    return {"checkpoint": code, "name": checkpoint.name, "place": checkpoint.place}


def _place(checkpoint: Checkpoint) -> View:
    return {"code": checkpoint.code, "name": checkpoint.name, "place": checkpoint.place}


def _alarms_near(turn: Turn, checkpoint: Checkpoint) -> list[View]:
    """Open cases here that nobody has arrived at yet."""
    return [
        {"case": case.occurrence, "rule": case.rule, "say": _say(case.say)}
        for case in turn.state.cases.values()
        if case.arrived is None and case.point and case.point in checkpoint.near
    ]


def _tag_of(state: State, token: str, uid: str) -> Tag | None:
    patrol = state.patrol
    if uid:
        return patrol.tags.get(uid)
    return next((tag for tag in patrol.tags.values() if token and tag.token == token), None)


def _tag_view(state: State, tag: Tag) -> View:
    checkpoint = state.house.patrol.checkpoints.get(tag.checkpoint)
    return {
        "uid": tag.uid,
        "checkpoint": tag.checkpoint,
        "name": checkpoint.name if checkpoint else "",
        "kind": tag.kind.value,
        "token": tag.token,
        "key_ref": tag.key_ref,
        "counter": tag.counter,
        "is_retired": tag.is_retired,
        "source": "registered" if tag.uid in state.patrol.registered else "file",
    }


def _person(turn: Turn, person: Person) -> View:
    is_valid = is_good_on(person.until, today(turn))
    return {
        "code": person.code,
        "name": person.name,
        "role": person.role.value,
        "role_say": _say(ROLES[person.role]),
        "level": LEVELS[person.role],
        "rights": sorted(right.value for right in person.rights),
        "is_valid": is_valid,
        "until": person.until,
        "phones": sum(phone.person == person.code for phone in turn.state.patrol.phones.values()),
    }


def _pin(turn: Turn, person: Person) -> str | None:
    day = today(turn)
    pins = (
        each.secret
        for each in person.credentials
        if each.kind is CredentialKind.PIN and is_good_on(each.until, day)
    )
    return next(pins, None)


def _say(text: Text) -> View:
    return {"zh": text.zh, "en": text.en}
