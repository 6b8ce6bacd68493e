"""Who somebody is, by what they show, and whether they may."""

from gateway.core.patrol_plan import local_day
from gateway.core.turn import Turn
from gateway.domain.people import CredentialKind, Person, Phone, Right, is_good_on


def today(turn: Turn) -> str | None:
    """The local date; None while nobody can trust the clock, when nothing expires."""
    now, zone = turn.now, turn.house.zone
    if zone is None or now.utc_ms is None or not now.is_trusted:
        return None
    return local_day(now.utc_ms, zone).isoformat()


def refusal_of_person(turn: Turn, code: str, right: Right) -> str:
    """Why this person may not do it; "" when nothing is in the way."""
    person = turn.house.people.get(code)
    if person is None:
        return "unknown_person"
    if not is_good_on(person.until, today(turn)):
        return "person_expired"
    return "" if right in person.rights else "no_right"


def person_of_card(turn: Turn, uid: str) -> Person | None:
    """Whose card it is, while it and its owner are good."""
    day = today(turn)
    for person in turn.house.people.values():
        for each in person.credentials:
            if each.kind is CredentialKind.CARD and each.secret == uid:
                is_good = is_good_on(each.until, day) and is_good_on(person.until, day)
                return person if is_good else None
    return None


def phone_named(turn: Turn, digest: str) -> Phone | None:
    """A phone that is remembered, and still may be."""
    phone = turn.state.patrol.phones.get(digest)
    if phone is None:
        return None
    now = turn.now
    is_sure = now.is_trusted and now.utc_ms is not None and phone.until_ms is not None
    is_over = is_sure and (now.utc_ms or 0) >= (phone.until_ms or 0)
    return None if is_over else phone
