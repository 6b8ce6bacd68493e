from gateway.domain.events import StageReached
from gateway.domain.moments import Clk, Now
from gateway.domain.records import Lane, Range, Record
from gateway.tasks.trace import Trace

NOW = Now(1, 2, Clk.SYNC, 40, "b00t")


def record(seq, lane=Lane.A, epoch="e1"):
    return Record(lane, epoch, seq, "alarm", NOW, b"{}")


def test_the_followed_record_is_told_of_once_a_stage():
    posted = []
    trace = Trace(posted.append)
    trace.follow("e1-A-7")
    trace.durable([record(6), record(7, Lane.B), record(7, epoch="e0")])
    trace.settled([Range(Lane.A, "e1", 1, 6), Range(Lane.B, "e1", 7, 7), Range(Lane.A, "e0", 7, 7)])
    assert posted == []
    trace.durable([record(7)])
    trace.durable([record(7)])
    trace.settled([Range(Lane.A, "e1", 5, 9)])
    trace.settled([Range(Lane.A, "e1", 5, 9)])
    assert posted == [StageReached("store", "e1-A-7"), StageReached("uplink", "e1-A-7")]


def test_nothing_is_told_while_nothing_is_followed_and_the_newest_is_followed():
    posted = []
    trace = Trace(posted.append)
    trace.durable([record(7)])
    trace.follow("e1-A-7")
    trace.follow("e1-A-8")
    trace.settled([Range(Lane.A, "e1", 7, 7)])
    assert posted == []
