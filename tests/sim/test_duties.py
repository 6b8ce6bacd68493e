"""The judge of a platform's duties: the truth is kept, and each slip breaks its own duty."""

import json
from dataclasses import replace

import pytest

from gateway.domain.records import Lane
from gateway.sim.duties import DUTIES, Asked, Heard, Limits, Outcome, Sent, Visit, judge

E = "e1"
A1, B1, B2, B3, P1, R1, AW, BL, BA = (
    (Lane.A, E, 1), (Lane.B, E, 1), (Lane.B, E, 2), (Lane.B, E, 3), (Lane.B, E, 4),
    (Lane.R, E, 1), (Lane.A, E, 9), (Lane.B, E, 5), (Lane.B, E, 6),
)  # fmt: skip


def down(at_ms: int, kind: str, message: dict, **more) -> Heard:
    return Heard(at_ms, kind, json.dumps({"v": 1, **message}).encode(), **more)


def ack(at_ms: int, **ranges) -> Heard:
    return down(at_ms, "ack", {"t": "ack", "ep": E, **ranges})


def hello(at_ms: int) -> Heard:
    return down(at_ms, "hello", {"t": "hello", "ack": 1})


def receipt(at_ms: int, level: str, audience: str = "inst", alarm: str = "e1-A-1") -> Heard:
    return down(at_ms, "ack", {"t": "receipt", "alarm": alarm, "lvl": level, "aud": audience})


def post_check(at_ms: int, minutes: object = 5, id_: str = "c1") -> Heard:
    args = {"minutes": minutes}
    return down(at_ms, "cmd", {"t": "cmd", "id": id_, "op": "post_check", "args": args})


def replay(at_ms: int, **args: object) -> Heard:
    return down(at_ms, "cmd", {"t": "cmd", "id": "r1", "op": "replay", "args": args})


TRUTH = Visit(
    births=(0, 50_000),
    sent=(
        Sent(A1, (1_000, 3_000)),
        Sent(B2, (1_000,), "order"),
        Sent(B1, (1_100,), "hole"),
        Sent(R1, (1_000,)),
        Sent(P1, (5_000,), "poison"),
        Sent(B3, (6_000,), "after"),
        Sent(AW, (60_500,), "away"),
        Sent(BL, (52_000,), "lost"),
        Sent(BA, (90_000,), "again"),
    ),
    heard=(
        hello(100),
        ack(1_050, A=[[1, 1]]),
        receipt(1_060, "stored"), receipt(1_500, "sent"), receipt(9_000, "seen"),
        ack(2_000, B=[[1, 2]], R=[[1, 1]]),
        ack(3_050, A=[[1, 1]]),
        down(5_010, "ack", {"t": "ack", "ep": E, "nack": [["B", 4, "schema", "/kind"]]}),
        ack(7_000, B=[[3, 3]]),
        hello(50_100),
        receipt(50_200, "stored"), receipt(50_200, "sent"), receipt(50_200, "seen"),
        post_check(51_000),
        replay(51_500, lane="B", ep=E, **{"from": 5, "to": 5}),
        ack(52_100, B=[[5, 5]]),
        hello(62_100),
        ack(62_200, A=[[9, 9]]),
        ack(90_100, B=[[6, 6]]),
    ),
    real=Asked("e1-A-1", ("inst",), 1_000),
    practice=frozenset({"e1-A-2"}),
    applied={A1: 1, B1: 1, B2: 1, B3: 1, R1: 1, AW: 1, BL: 1, BA: 1},
    away=(60_000, 62_000),
    over=frozenset({"e1-A-5"}),
    acked=frozenset({"e1-A-6"}),
    shown={"e1-A-5": "N", "e1-A-6": "AA"},
)  # fmt: skip


def without(visit: Visit, *texts: str) -> Visit:
    heard = [h for h in visit.heard if not any(text.encode() in h.payload for text in texts)]
    return replace(visit, heard=tuple(heard))


def but_at(at_ms: int) -> Visit:
    return replace(TRUTH, heard=tuple(h for h in TRUTH.heard if h.at_ms != at_ms))


def also(visit: Visit, *more: Heard) -> Visit:
    return replace(visit, heard=(*visit.heard, *more))


def broken(visit: Visit) -> dict[str, str]:
    judged = judge(visit, Limits())
    return {each.duty: each.detail for each in judged if each.outcome is Outcome.BROKEN}


def test_who_does_everything_keeps_every_duty_and_every_one_was_seen():
    judged = judge(TRUTH, Limits())
    assert [(each.duty, each.detail) for each in judged] == [(name, "") for name in DUTIES]
    assert {each.outcome for each in judged} == {Outcome.KEPT}


SLIPS = {
    "hello": (
        replace(but_at(50_100), births=(0, 20_000)),
        "birth 2: no hello within 30 s",
    ),
    "hello_on_start": (replace(TRUTH, away=(60_000, 99_000)), "no hello after"),
    "not_retained": (also(TRUTH, replace(hello(200), is_retained=True)), "dn/hello is retained"),
    "understood": (also(TRUTH, Heard(300, "ack", b"OK")), "dn/ack: json: b'OK'"),
    "takes": (without(TRUTH, '"R": [[1, 1]]'), "e1-B-2 (): no answer (+2)"),
    "alarms_at_once": (
        replace(TRUTH, sent=(Sent(A1, (-1_000, 3_000)), *TRUTH.sent[1:])), "e1-A-1 took 2.0 s (1/1)"
    ),
    "others_in_time": (
        replace(TRUTH, sent=(*TRUTH.sent[:3], Sent(R1, (-4_000,)), *TRUTH.sent[4:])),
        "e1-R-1 took 6.0 s",
    ),
    "copies": (
        replace(TRUTH, sent=(Sent(A1, (1_000, 4_000)), *TRUTH.sent[1:])),
        "e1-A-1: the copy was not acknowledged",
    ),
    "answers_once": (also(TRUTH, ack(3_500, R=[[1, 1]])), "e1-R-1: sent 1 times, acknowledged 2"),
    "only_what_came": (also(TRUTH, ack(3_500, B=[[7, 8]])), "e1-B-7 was acknowledged and never"),
    "refuses": (without(TRUTH, '"nack"'), "e1-B-4 (): no nack"),
    "keeps": (
        replace(TRUTH, applied={**TRUTH.applied, R1: 0}), "e1-R-1 is acknowledged and not there"
    ),
    "once": (replace(TRUTH, applied={**TRUTH.applied, R1: 2}), "e1-R-1 took effect 2 times"),
    "receipts": (
        replace(TRUTH, real=Asked("e1-A-1", ("inst", "fire"), 1_000)), "fire: no sent or seen"
    ),
    "receipts_again": (
        but_at(50_200), "inst seen was not"
    ),
    "subscribes_again": (
        without(TRUTH, '"B": [[6, 6]]'), "e1-B-6, sent after the broker was restarted"
    ),
    "shown": (
        replace(TRUTH, shown={"e1-A-5": "UA", "e1-A-6": "AA"}),
        "e1-A-5 is shown as UA, its end came before its raise",
    ),
    "replay": (without(TRUTH, '"B": [[5, 5]]'), "e1-B-5, asked for and sent again, was not"),
    "practice": (also(TRUTH, receipt(4_000, "sent", alarm="e1-A-2")), "inst sent for e1-A-2"),
    "post_check": (also(TRUTH, post_check(52_000, 0, "c2")), "c2: minutes 0"),
}  # fmt: skip


@pytest.mark.parametrize("duty", SLIPS)
def test_a_slip_breaks_its_own_duty_and_says_what(duty):
    visit, said = SLIPS[duty]
    found = broken(visit)
    assert found[duty].startswith(said), found
    assert set(found) <= {duty, *FOLLOWS.get(duty, ())}, "and no other one"


FOLLOWS = {"takes": {"any_order"}, "hello_on_start": set()}


def test_what_is_never_answered_out_of_order_after_poison_or_while_away_is_named():
    found = broken(without(TRUTH, '"B": [[3, 3]]', '"A": [[9, 9]]', '"R": [[1, 1]]'))
    assert found["goes_on"].startswith("e1-B-3")
    assert found["session"].startswith("e1-A-9")
    assert found["any_order"].startswith("e1-B-2 (order)")


def test_a_range_over_all_numbers_is_named_and_not_counted_out():
    found = broken(also(TRUTH, ack(8_000, A=[[0, 2**62]])))
    assert found == {"only_what_came": f"boundless range e1 A 0-{2**62}"}


def test_of_a_platform_that_says_nothing_only_the_hello_is_missed():
    silent = Visit(births=(0,), sent=(Sent(A1, (31_000,)),), heard=())
    judged = {each.duty: each.outcome for each in judge(silent, Limits())}
    assert [duty for duty, outcome in judged.items() if outcome is Outcome.BROKEN] == ["hello"]
    assert judged["takes"] is judged["keeps"] is judged["copies"] is Outcome.UNSEEN


def test_an_end_need_not_be_shown_and_what_still_stands_must_be():
    assert broken(replace(TRUTH, shown={"e1-A-6": "AA"})) == {}
    for shown in ({}, {"e1-A-6": "UA"}):
        assert "e1-A-6 is shown as" in broken(replace(TRUTH, shown=shown))["shown"]


def test_who_asks_for_nothing_lost_is_not_judged_and_who_asks_wrongly_is():
    nothing = replace(without(TRUTH, "replay"), sent=TRUTH.sent[:7])
    assert {each.duty: each.outcome for each in judge(nothing, Limits())}["replay"] is (
        Outcome.UNSEEN
    )
    said = broken(also(TRUTH, replay(53_000, lane="B", ep=E)))
    assert said["replay"].startswith("r1: no lane, ep, from and to")


def test_a_command_that_no_gateway_knows_is_named():
    silence = down(53_000, "cmd", {"t": "cmd", "id": "s1", "op": "silence"})
    assert broken(also(TRUTH, silence)) == {"understood": "dn/cmd: no gateway knows op 'silence'"}


def test_post_checks_under_one_id_are_two_questions_only_when_they_differ():
    assert broken(also(TRUTH, post_check(52_000))) == {}
    assert "one id" in broken(also(TRUTH, post_check(52_000, 7)))["post_check"]
