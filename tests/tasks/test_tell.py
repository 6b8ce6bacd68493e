from gateway.domain.events import FaultRaised
from gateway.tasks.tell import beside


def test_a_mistake_in_telling_is_a_fault_and_stops_nobody():
    posted = []

    def fail(*_changed):
        raise KeyError("no words")

    beside(fail, posted.append)(None, None, None)
    assert posted == [FaultRaised("function_failed", "telling", "KeyError: 'no words'")]


def test_what_is_told_well_is_told_once():
    told = []
    beside(lambda *changed: told.append(changed), told.append)(1, 2, 3)
    assert told == [(1, 2, 3)]
