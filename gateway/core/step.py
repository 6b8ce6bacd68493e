"""The heart: one event in, the next state and what is to be done out. Pure.

    state, outcome = step(state, event, now)

Nothing here waits, reads a clock or touches the world; delays run on `now.mono_ms` and end at
`state.next_deadline_ms`, when the decider comes back with `Ticked`.
"""

from dataclasses import replace
from typing import assert_never

from gateway.core.acceptance import (
    drop_what_changed,
    note_tag,
    restore_acceptance,
    take_acceptance,
)
from gateway.core.aside import aside
from gateway.core.case_verbs import arrive, close, enter_missed, handle, needs_verdict
from gateway.core.cases import adopt_cases, follow_cases
from gateway.core.dues import look_at_dues
from gateway.core.intake import take_block
from gateway.core.judge import judge
from gateway.core.ladder import climb
from gateway.core.link import change_link, change_platform, note_outage
from gateway.core.nights import follow_plan, take_plan
from gateway.core.noise import note_noise
from gateway.core.own_faults import clear_fault, record_gap, tell_fault
from gateway.core.patrol import follow_rounds, replan, restore_patrol, take_patrol
from gateway.core.people import acknowledge, reset, silence, test_panel
from gateway.core.post_check import (
    answer_by_button,
    answer_post_check,
    ask_post_check,
    let_post_checks_end,
)
from gateway.core.practice import end_drill, end_test, follow_practice, start_drill, start_test
from gateway.core.receipts import take_receipt
from gateway.core.reload import change_site
from gateway.core.rulings import Judge, let_delays_end
from gateway.core.self_test import ask_self_test, let_self_test_end, note_stage
from gateway.core.shelving import (
    end_shelvings,
    put_in_service,
    settle_inhibits,
    shelve,
    take_out_of_service,
    unshelve,
)
from gateway.core.shown import signal_of
from gateway.core.starting import note_clock, note_step, restart
from gateway.core.state import State
from gateway.core.turn import Turn, begin, end
from gateway.core.watch import watch_now_and_then
from gateway.core.weighing import let_members_hold, watch_silence
from gateway.domain import events
from gateway.domain.moments import Now
from gateway.domain.outcome import Outcome


def step(
    state: State, event: events.Event, now: Now, *, judge: Judge = judge
) -> tuple[State, Outcome]:
    """Decide one event. `judge` can be replaced, to show that a rule that fails does no harm."""
    turn = begin(state, now)
    note_clock(turn)
    match event:
        case events.BlockRead():
            take_block(turn, event, judge)
        case events.Silence():
            if not answer_by_button(turn, event):
                silence(turn, event)
        case events.Acknowledge():
            acknowledge(turn, event)
        case events.Reset():
            reset(turn, event, needs_verdict)
        case events.Shelve():
            shelve(turn, event)
        case events.Unshelve():
            unshelve(turn, event)
        case events.TakeOutOfService():
            take_out_of_service(turn, event)
        case events.PutInService():
            put_in_service(turn, event)
        case events.LampTest():
            test_panel(turn, event)
        case events.FaultRaised(code, subject, detail):
            tell_fault(turn, code, subject, detail)
        case events.FaultCleared(code, subject):
            clear_fault(turn, code, subject)
        case events.LinkChanged():
            change_link(turn, event)
        case events.PlatformChanged(is_present):
            change_platform(turn, is_present=is_present)
        case events.Receipt():
            take_receipt(turn, event)
        case events.Arrive():
            arrive(turn, event)
        case events.Handle():
            handle(turn, event)
        case events.Close():
            close(turn, event)
        case events.MissedEntered():
            enter_missed(turn, event)
        case (
            events.TapSeen()
            | events.VisitEntered()
            | events.RoundStarted()
            | events.RoundEnded()
            | events.RoundCancelled()
            | events.RoundExplained()
            | events.RoundSigned()
            | events.TagRegistered()
            | events.TagRetired()
            | events.PhoneEnrolled()
            | events.PhonesForgotten()
            | events.FiguresSeen()
        ):
            aside(turn, "patrol", take_patrol, turn, event)
        case events.AcceptanceGiven():
            aside(turn, "acceptance", take_acceptance, turn, event)
        case events.TagSeen(checkpoint):
            note_tag(turn, checkpoint)
        case events.ClockStepped(by_ms, at_ms):
            note_step(turn, by_ms, at_ms)
        case events.GapPlanned(gone, why):
            record_gap(turn, gone, why)
        case events.DrillStarted():
            start_drill(turn, event)
        case events.DrillEnded():
            end_drill(turn, event)
        case events.PointTestStarted():
            start_test(turn, event)
        case events.PointTestEnded():
            end_test(turn, event)
        case events.PostCheckAsked():
            ask_post_check(turn, event)
        case events.PostCheckAnswered(by, reply_to):
            answer_post_check(turn, by, reply_to)
        case events.NightPlanned():
            take_plan(turn, event)
        case events.SelfTestAsked():
            ask_self_test(turn, event, judge)
        case events.StageReached():
            note_stage(turn, event)
        case events.SiteChanged():
            before = turn.house
            turn = change_site(turn, event)
            aside(turn, "patrol", replan, turn)
            aside(turn, "acceptance", drop_what_changed, turn, before)
        case events.Restarted():
            restart(turn)
            aside(turn, "restore cases", adopt_cases, turn)
            aside(turn, "restore patrol", restore_patrol, turn)
            aside(turn, "restore acceptance", restore_acceptance, turn)
        case events.Stopping():
            turn.record_fact("stop", {})
        case events.Ticked():
            pass
        case _:
            assert_never(event)
    _pass_time(turn, judge)
    aside(turn, "practice", follow_practice, turn)
    aside(turn, "cases", follow_cases, turn)
    aside(turn, "ladder", climb, turn)  # last: it looks at all that happened to alarms
    return end(turn, signal_of, is_last=isinstance(event, events.Stopping))


def _pass_time(turn: Turn, judge: Judge) -> None:
    """Whatever is due by now happens, whichever event brought the decider here.

    What raises and clears alarms comes first and bare; no mistake in the rest may hold it up.
    """
    watch_silence(turn)
    let_members_hold(turn)
    end_shelvings(turn)
    let_delays_end(turn)
    aside(turn, "link", note_outage, turn)
    aside(turn, "self_test", _test_itself, turn, judge)
    aside(turn, "post_check", let_post_checks_end, turn)
    aside(turn, "watch", watch_now_and_then, turn)
    aside(turn, "dues", look_at_dues, turn)
    aside(turn, "noise", note_noise, turn)
    aside(turn, "inhibits", settle_inhibits, turn)
    patrol_due = turn.state.patrol_due_ms
    if patrol_due is not None and (
        turn.now.mono_ms >= patrol_due or turn.now.clk is not turn.state.clk
    ):
        aside(turn, "patrol", follow_rounds, turn)
    test = turn.state.lamp_test_until_ms
    if test is not None and turn.now.mono_ms >= test:
        turn.state = replace(turn.state, lamp_test_until_ms=None)


def _test_itself(turn: Turn, judge: Judge) -> None:
    follow_plan(turn, judge)
    let_self_test_end(turn, judge)
