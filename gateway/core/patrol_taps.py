"""A card or tag at a fixed reader: who it is decides what is meant.

| Seen                | When                                      | Means              | Tone |
|---------------------|-------------------------------------------|--------------------|------|
| a person's card     | a post check is asked                     | its answer         | k1   |
|                     | an alarm is open near the reader          | arrival there      | k1   |
|                     | their round is under way                  | back at the desk   | k1   |
|                     |   with stops left                         | not finished       | k2   |
|                     | a round may be walked                     | they set out       | k1   |
|                     | nothing of that                           | seen               | k2   |
| a checkpoint's tag  | where it hangs                            | visit the page     | k1   |
|                     | anywhere else                             | it was taken down  | k3   |
| anything else       |                                           | unknown            | k3   |

A tap with a plain card proves level 1 only: its UID can be copied.
"""

from gateway.core.acceptance import note_tag
from gateway.core.patrol_people import person_of_card
from gateway.core.patrol_rounds import begin_round, put_round
from gateway.core.patrol_state import live_rounds
from gateway.core.patrol_visits import EARLY_MS, arrive_near
from gateway.core.people import refuse
from gateway.core.post_check import answer_post_check
from gateway.core.turn import Turn
from gateway.domain import events
from gateway.domain.outcome import Reply
from gateway.domain.patrol import Reader
from gateway.domain.people import Person, Right
from gateway.domain.rounds import Round, RoundState
from gateway.domain.signals import Pattern

CARD_PROOF = 1
NOWHERE = Reader("", "")


def take_tap(turn: Turn, event: events.TapSeen) -> None:
    """Find out what a tap means, do it, and sound the tone of the answer."""
    reader = turn.house.patrol.readers.get(event.reader, NOWHERE)
    person = None if event.is_random else person_of_card(turn, event.uid)
    if person is not None:
        code, about = _card(turn, reader, person)
    else:
        code, about = _tag(turn, reader, event)
    tone = _TONES[code]
    turn.play(tone)
    turn.record_fact(
        "tap",
        {
            "reader": event.reader,
            "by": person.code if person else "",
            "means": code,
            "about": about,
            "proof": CARD_PROOF if person else 0,
        },
    )
    if tone is Pattern.K3:
        refuse(turn, event.reply_to, code)
    elif event.reply_to is not None:
        turn.replies.append(Reply(event.reply_to, ok=True, code=code, case=about))


_TONES = {
    "answered": Pattern.K1,
    "arrived": Pattern.K1,
    "round_started": Pattern.K1,
    "round_over": Pattern.K1,
    "visit_wanted": Pattern.K1,
    "stops_missing": Pattern.K2,
    "nothing_open": Pattern.K2,
    "no_right": Pattern.K3,
    "tag_not_here": Pattern.K3,
    "unknown_tag": Pattern.K3,
    "phone_card": Pattern.K3,
}


def _card(turn: Turn, reader: Reader, person: Person) -> tuple[str, str]:
    """What the card of a known person means here, and the round or case that it is about."""
    if turn.state.post_checks:
        answer_post_check(turn, person.code)
        return "answered", ""
    cases = arrive_near(turn, person.code, reader.near, reader.place, CARD_PROOF)
    if cases:
        return "arrived", cases[0]
    if Right.PATROL not in person.rights:
        return "no_right", ""
    mine = [each for each in live_rounds(turn.state.patrol) if _is_walked_by(each, person.code)]
    if mine:
        return "stops_missing", mine[0].id
    back = _just_done(turn, person.code)
    coming = next((each for each in _to_walk(turn, person.code)), None)
    if coming is not None:
        put_round(turn, begin_round(turn, coming, person.code))
        return "round_started", coming.id
    return ("round_over", back.id) if back is not None else ("nothing_open", "")


def _is_walked_by(round_: Round, code: str) -> bool:
    return round_.started is not None and round_.owner == code


def _just_done(turn: Turn, code: str) -> Round | None:
    """The round that this person has just completed, while its window runs."""
    utc_ms = turn.now.utc_ms
    if utc_ms is None or not turn.now.is_trusted:
        return None
    done = (RoundState.DONE, RoundState.DONE_LATE)
    for each in turn.state.patrol.rounds.values():
        if each.state in done and each.owner == code and each.opens_ms <= utc_ms <= each.due_ms:
            return each
    return None


def _to_walk(turn: Turn, code: str) -> list[Round]:
    """Rounds that this person may set out on now, the most urgent first."""
    utc_ms = turn.now.utc_ms
    if utc_ms is None or not turn.now.is_trusted:
        return []
    return [
        each
        for each in live_rounds(turn.state.patrol)
        if each.started is None
        and each.owner in ("", code)
        and each.opens_ms - EARLY_MS <= utc_ms <= each.due_ms
    ]


def _tag(turn: Turn, reader: Reader, event: events.TapSeen) -> tuple[str, str]:
    if event.is_random:
        return "phone_card", ""
    patrol = turn.state.patrol
    tag = patrol.tags.get(event.uid) or patrol.tags.get(patrol.by_token.get(event.token, ""))
    if tag is None or tag.is_retired:
        return "unknown_tag", ""
    note_tag(turn, tag.checkpoint)
    is_here = bool(reader.checkpoint) and reader.checkpoint == tag.checkpoint
    return ("visit_wanted" if is_here else "tag_not_here"), tag.checkpoint
