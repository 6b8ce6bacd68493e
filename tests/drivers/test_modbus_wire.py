"""The Modbus door on a wire that is late, noisy, shared or pulled out: no value is ever wrong.

Most of it in simulated time, on the wire of gateway/sim/line.py; nothing here waits for a clock.
"""

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from random import Random

import pytest

from gateway.core.schedule import Schedule
from gateway.domain.errors import BusDown, DeviceRefused, DeviceSilent
from gateway.domain.points import Table
from gateway.domain.site import Bus, Direction, SerialLine, TcpLink
from gateway.drivers.frames import (
    Frame,
    Kind,
    Shape,
    begins_as_question,
    find_frames,
    find_rtu_reply,
    is_asked,
    may_be_question,
    shape_of,
)
from gateway.drivers.modbus import TIMEOUTS_TO_REOPEN, open_bus, set_direction
from gateway.sim.bus import open_tcp
from gateway.sim.devices import jxbs_co
from gateway.sim.line import Conduct, Wire, framed, manner_of
from gateway.sim.loop import NothingLeft, run_simulated
from gateway.tasks.poll import poll_bus
from scripts.benchmarks import transactions
from scripts.benchmarks.bus import kept, misses
from scripts.benchmarks.replug import replug
from scripts.benchmarks.sweep import stretch, sweep
from scripts.benchmarks.transactions import attach, transact
from tests.core.blocks import block
from tests.drivers.test_modbus import SILENCE_MS, eventually, mbap, open_descriptors, tcp_peer
from tests.partners.modbus.line import Device, Port, frame, refusal
from tests.partners.modbus.masters import beside_another

INPUT, HOLDING = Table.INPUT, Table.HOLDING
QUICK = 20_000
TIMEOUT_MS = 300
ROOT = Path(__file__).parents[2]


# --- many transactions -----------------------------------------------------------------------


def test_late_replies_are_never_another_registers_value_nor_an_old_one():
    tally = transact(QUICK, transactions.LATE, seed=11)
    assert tally.late > QUICK * 0.08, "the devices were really late"
    assert (tally.wrong, tally.stale) == (0, 0)
    assert tally.answered > QUICK * 0.6
    assert tally.door["late"] > tally.late * 0.5


def test_plain_pymodbus_takes_late_replies_for_answers():
    tally = transact(2_000, transactions.LATE, seed=11, is_bare=True)
    assert tally.wrong > 10, "or the run above proves nothing"


def test_damage_gets_through_no_more_often_than_crc_16_lets_it():
    tally = transact(QUICK // 2, transactions.ALL, seed=12)
    assert tally.damaged > 500
    assert tally.wrong + tally.stale <= misses(tally)


def test_replies_behind_garbage_are_kept():
    tally = transact(3_000, transactions.GARBAGE_BEFORE, seed=13)
    assert kept(tally) >= 95
    assert kept(transact(1_000, transactions.GARBAGE_BEFORE, seed=13, is_bare=True)) < 20
    assert tally.wrong == 0


# --- one thing at a time, on a wire in memory ------------------------------------------------


def echoing(unit, pdu):
    """A device whose register n holds n; from 500 on it has none."""
    function, start, count = struct.unpack(">BHH", pdu)
    if start >= 500:
        return bytes([function | 0x80, 2])
    return struct.pack(f">BB{count}H", function, 2 * count, *range(start, start + count))


@asynccontextmanager
async def wired(manner=None, answers=(echoing,), baud=9600, **bus):
    calm = manner_of(Conduct(turnaround_s=0.01), Random(1))
    wire = Wire(answers, baud, emit=lambda _: None, manner=manner or calm, piece_s=0.016)

    async def dial(client, _bus):
        return attach(client, wire)

    spec = Bus("b", SerialLine("memory", baud=baud), **bus)
    async with open_bus(spec, dial=dial) as door:
        yield wire, door


def simulated(test):
    """Run a coroutine test in simulated time."""

    def run():
        run_simulated(test())

    run.__name__ = test.__name__
    return run


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_machine_that_stands_still_is_not_the_devices_silence(is_silent):
    """The request is written only after the time for its answer has passed."""

    @simulated
    async def run():
        loop = asyncio.get_running_loop()
        async with wired(answers=() if is_silent else (echoing,)) as (wire, door):
            hear = wire.hear

            def stand_still(data):
                loop.call_soon(loop.jump, 2 * TIMEOUT_MS / 1000)
                loop.call_soon(hear, data)

            wire.hear = stand_still
            if is_silent:
                with pytest.raises(DeviceSilent):
                    await door.read(1, INPUT, 20, 2, TIMEOUT_MS)
                assert loop.time() == pytest.approx(3 * TIMEOUT_MS / 1000, abs=0.01), "once more"
            else:
                assert await door.read(1, INPUT, 20, 2, TIMEOUT_MS) == [20, 21]
            assert door.counts.timeouts == is_silent

    run()


@pytest.mark.parametrize("is_cut", [False, True])
def test_an_answer_that_has_begun_is_let_finish_and_no_longer(is_cut):
    def manner(_request, reply):
        return [(TIMEOUT_MS / 1000 - 0.05, reply[:-30] if is_cut else reply)]

    @simulated
    async def run():
        loop = asyncio.get_running_loop()
        async with wired(manner) as (_, door):
            began = loop.time()
            if is_cut:
                with pytest.raises(DeviceSilent):
                    await door.read(1, INPUT, 0, 40, TIMEOUT_MS)
            else:
                assert await door.read(1, INPUT, 0, 40, TIMEOUT_MS) == [*range(40)]
            took_ms = 1000 * (loop.time() - began)
            assert TIMEOUT_MS < took_ms < TIMEOUT_MS + 150, "a reply of 89 ms, and 50"

    run()


@simulated
async def test_a_late_refusal_is_not_taken_for_the_next_blocks():
    def manner(request, reply):
        return [(0.5 if request[2:4] == b"\x02\x00" else 0.05, reply)]

    async with wired(manner) as (_, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 512, 2, TIMEOUT_MS)
        # device 1 refuses 512 while it is asked for 20: the answer to that comes behind it
        assert await door.read(1, INPUT, 20, 4, TIMEOUT_MS) == [20, 21, 22, 23]
        assert door.counts.late == 1
        with pytest.raises(DeviceRefused):
            await door.read(1, INPUT, 600, 2, TIMEOUT_MS)


@simulated
async def test_a_refusal_that_could_be_either_ones_is_silence():
    async with wired(lambda _request, reply: [(0.35, reply)]) as (_, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 512, 2, TIMEOUT_MS)
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 516, 4, TIMEOUT_MS)


@simulated
async def test_a_late_answer_that_has_come_is_not_waited_for_any_more():
    waits = iter([0.5, 0.01, 0.01])
    async with wired(lambda _request, reply: [(next(waits), reply)]) as (_, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        assert door.hold_ms(1, INPUT, 2) == 2000
        await asyncio.sleep(0.5)
        assert door.hold_ms(1, INPUT, 2) == 0
        assert await door.read(1, INPUT, 50, 2, TIMEOUT_MS) == [50, 51]
        assert asyncio.get_running_loop().time() < 1


@simulated
async def test_an_answer_that_comes_even_later_than_that_is_not_another_registers_value():
    """Its shape is asked for again by then: the answer that fits is that of the question before."""
    waits = iter([2.34, 0.2, 0.05, 0.05, 0.05])
    async with wired(lambda _request, reply: [(next(waits), reply)]) as (_, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        with pytest.raises(DeviceSilent, match="the question before"):
            await door.read(1, INPUT, 50, 2, TIMEOUT_MS)  # 0 and 1 come meanwhile
        assert await door.read(1, INPUT, 50, 2, TIMEOUT_MS) == [50, 51]


@simulated
async def test_a_device_that_is_one_answer_behind_is_never_believed():
    held = []

    def behind(_request, reply):
        held.append(reply)
        return [(0.05, held[-2])] if len(held) > 1 else []

    async with wired(behind) as (wire, door):
        for start in range(0, 300, 10):
            with pytest.raises(DeviceSilent):
                await door.read(1, INPUT, start, 2, TIMEOUT_MS)
        wire.manner = lambda _request, reply: [(0.05, reply)]
        assert await door.read(1, INPUT, 7, 2, TIMEOUT_MS) == [7, 8]


@simulated
async def test_what_fits_after_a_silence_is_checked_once_and_costs_one_question():
    async with wired() as (wire, door):
        wire.answers.clear()
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 1, TIMEOUT_MS)
        wire.answers.append(echoing)
        for start in (0, 499, 60):
            assert await door.read(1, INPUT, start, 1, TIMEOUT_MS) == [start]
        assert door.counts.requests == 1 + 3 + 1


@simulated
async def test_a_device_that_ignores_the_check_is_believed_without_in_the_end():
    def own_registers(unit, pdu):
        return echoing(unit, pdu) if pdu[1:] == b"\x00\x07\x00\x01" else b""

    async with wired(answers=()) as (wire, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 7, 1, TIMEOUT_MS)
        wire.answers.append(own_registers)
        for _ in range(2):
            with pytest.raises(DeviceSilent) as silent:
                await door.read(1, INPUT, 7, 1, TIMEOUT_MS)
            assert silent.value.is_heard
        for _ in range(3):
            assert await door.read(1, INPUT, 7, 1, TIMEOUT_MS) == [7]


@simulated
async def test_the_pause_for_a_late_answer_is_the_buss():
    async with wired(lambda _request, _reply: [], late_ms=7_000) as (_, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        assert door.hold_ms(1, INPUT, 2) == 7_000


@pytest.mark.parametrize("gap_ms", [None, 0.5, 40.0])
@pytest.mark.parametrize("baud", [2400, 9600, 115200])
def test_the_gap_is_counted_from_the_end_of_the_last_reply(baud, gap_ms):
    async def run():
        async with wired(baud=baud, gap_ms=gap_ms) as (wire, door):
            wire.asked_at = asked_at = []
            quiet_at = []
            for start in range(5):
                await door.read(1, INPUT, start, 20, 5_000)
                quiet_at.append(wire.quiet_at)
            return [ask - quiet for quiet, ask in zip(quiet_at, asked_at[1:], strict=False)]

    pauses = run_simulated(run())
    expected = (SerialLine("", baud).t35_ms if gap_ms is None else gap_ms) / 1000
    assert len(pauses) == 4
    assert min(pauses) >= expected - 1e-9
    assert max(pauses) < expected + 0.001


@simulated
async def test_our_own_echo_is_taken_out_and_counted():
    async with wired() as (wire, door):
        wire.echoes = True
        for start in range(20):
            assert await door.read(1, INPUT, start, 2, TIMEOUT_MS) == [start, start + 1]
        assert door.counts.echoes == 20
        assert (door.counts.foreign, door.counts.noise_bytes) == (0, 0)
        assert door.foreign_master == ""


def test_an_echo_that_looks_like_an_answer_is_not_one():
    # the first seven bytes of this request are a CRC-right reply of one register: (unit, start)
    # were searched for; without the echo taken out the door would return 0xNN00
    request, shape = masquerade()
    assert find_rtu_reply(request, shape), "the request does look like an answer"

    async def run():
        async with wired() as (wire, door):
            wire.echoes = True
            start = int.from_bytes(request[2:4], "big")
            wire.answers[:] = [lambda *_: b"\x04\x02\x12\x34"]
            assert await door.read(request[0], INPUT, start, 1, TIMEOUT_MS) == [0x1234]

    run_simulated(run())


def masquerade():
    """A request for one register whose bytes hold a reply that fits it."""
    for unit in range(1, 248):
        for low in range(256):
            request = framed(struct.pack(">BBHH", unit, 4, 0x0200 | low, 1))
            if find_rtu_reply(request, Shape(unit, 4, 2)):
                return request, Shape(unit, 4, 2)
    pytest.skip("no request looks like its own answer")
    raise AssertionError


@simulated
async def test_another_master_is_tolerated_counted_and_noticed():
    async with wired() as (wire, door):
        await door.read(1, INPUT, 0, 1, TIMEOUT_MS)
        for start in range(8):
            wire.ask(framed(struct.pack(">BBHH", 9, 4, 100 + start, 3)))
            await asyncio.sleep(0.2)
            assert await door.read(1, INPUT, start, 2, TIMEOUT_MS) == [start, start + 1]
        assert door.counts.foreign_requests == 8
        assert door.counts.foreign == 16, "its questions and their answers"
        assert door.foreign_master == "asks unit 9"
        await asyncio.sleep(120)
        assert door.foreign_master == ""


@simulated
async def test_the_answer_to_another_master_is_never_ours():
    """It asks the same device for as many registers, at every moment of our own exchange."""
    for delay_ms in range(0, 150, 3):
        async with wired(lambda _request, reply: [(0.05, reply)]) as (wire, door):
            theirs = framed(struct.pack(">BBHH", 1, 4, 300, 2))
            asyncio.get_running_loop().call_later(delay_ms / 1000, wire.ask, theirs)
            try:
                words = await door.read(1, INPUT, 10, 2, TIMEOUT_MS)
            except DeviceSilent:
                continue  # they clashed
            assert words == [10, 11], delay_ms


@simulated
async def test_another_masters_question_behind_ours_is_not_answered_by_our_answer():
    theirs = framed(struct.pack(">BBHH", 1, 4, 100, 2))

    def manner(request, reply):
        return [(0.01, theirs), (0.05, reply)] if request[5] == 4 else [(0.05, reply)]

    async with wired(manner) as (_, door):
        assert await door.read(1, INPUT, 20, 4, TIMEOUT_MS) == [20, 21, 22, 23]
        assert door.hold_ms(1, INPUT, 2) > 0, "the answer to them is still to come"


@pytest.mark.parametrize("tick_ms", [1, 4, 16])
def test_beside_a_master_that_asks_the_same_no_value_is_wrong(tick_ms):
    tally = beside_another(500, 5, every_s=0.1, tick_s=tick_ms / 1000)
    assert tally.door["foreign_requests"] > 400, "it did ask"
    assert tally.answered > 150
    assert tally.wrong == 0


@pytest.mark.parametrize("start", [0x0300, 0x03FF])
@pytest.mark.parametrize("function", [3, 4])
def test_a_question_for_a_register_from_0x0300_is_no_answer_of_three_bytes(function, start):
    asked = framed(struct.pack(">BBHH", 2, function, start, 4))
    assert list(find_frames(asked)) == [Frame(Kind.REQUEST, Shape(2, function, 8), asked)]


def test_a_question_that_begins_as_an_answer_is_a_question():
    asked, _ = masquerade()
    assert [frame.kind for frame in find_frames(asked)] == [Kind.REQUEST]


def test_bits_from_0x0300_are_asked_for_by_what_could_be_an_answer():
    asked = framed(struct.pack(">BBHH", 2, 1, 0x0310, 20))
    assert is_asked(asked, Shape(2, 1, 3))
    assert may_be_question(asked)
    assert not may_be_question(framed(b"\x02\x01\x03\xff\xff\xff"))


def test_what_begins_with_a_whole_question_may_be_one_though_its_checksum_is_right():
    asked = framed(struct.pack(">BBHH", 6, 3, 0x065E, 4))
    heard = asked + b"\x06\x80\x02"  # a damaged refusal
    assert find_rtu_reply(heard, Shape(6, 3, 6)) == heard
    assert begins_as_question(heard)
    assert not begins_as_question(frame(6, 3, 1, 2, 3))


@simulated
async def test_the_refusal_of_another_masters_question_is_not_ours():
    theirs = framed(struct.pack(">BBHH", 1, 4, 600, 7))

    def manner(request, _reply):
        return [(0.01, theirs), (0.05, refusal(1, 4, 2))] if request[5] == 4 else []

    async with wired(manner) as (_, door):
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 20, 4, TIMEOUT_MS)


@simulated
async def test_another_masters_question_that_comes_in_two_pieces_is_one():
    """The adapter hands over its first half before we ask, and the rest behind our question."""
    theirs = framed(struct.pack(">BBHH", 1, 4, 100, 4))
    async with wired(lambda _request, reply: [(0.12, reply)]) as (wire, door):
        await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        loop = asyncio.get_running_loop()
        wire.emit(theirs[:5])
        await asyncio.sleep(0.02)
        loop.call_later(0.03, wire.emit, theirs[5:])
        loop.call_later(0.08, wire.emit, frame(1, 4, 100, 101, 102, 103))
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 20, 4, TIMEOUT_MS)
        assert door.counts.foreign_requests == 1


@simulated
async def test_an_answer_that_began_before_we_asked_is_not_ours():
    whole = frame(1, 4, 100, 101)
    async with wired(lambda _request, reply: [(0.12, reply)]) as (wire, door):
        await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        wire.emit(whole[:5])
        await asyncio.sleep(0.02)
        asyncio.get_running_loop().call_later(0.03, wire.emit, whole[5:])
        assert await door.read(1, INPUT, 20, 2, TIMEOUT_MS) == [20, 21]


@simulated
async def test_the_same_question_of_another_master_is_no_echo():
    """A second gateway with our own site file, on an adapter that does not hear itself."""
    async with wired(lambda _request, reply: [(0.05, reply)]) as (wire, door):
        for start in range(4):
            await door.read(1, INPUT, start, 2, TIMEOUT_MS)
        wire.ask(framed(struct.pack(">BBHH", 1, 4, 3, 2)))
        await asyncio.sleep(0.03)
        assert await door.read(1, INPUT, 50, 2, TIMEOUT_MS) == [50, 51]
        assert (door.counts.echoes, door.counts.foreign_requests) == (0, 1)


@simulated
async def test_an_adapter_that_echoes_is_known_again_after_damaged_echoes():
    async with wired() as (wire, door):
        for start in range(10):
            wire.echoes = not 2 <= start < 6
            assert await door.read(1, INPUT, start, 2, TIMEOUT_MS) == [start, start + 1]
        assert (door.counts.echoes, door.counts.foreign_requests) == (6, 0)


@simulated
async def test_beside_another_master_a_length_is_asked_for_that_it_does_not_ask_for():
    asked = []

    def counting(unit, pdu):
        start, count = struct.unpack(">BHH", pdu)[1:]
        asked.append((start, count))
        return echoing(unit, pdu) if start + count <= 500 else b"\x84\x02"

    async with wired(answers=(counting,)) as (wire, door):
        await door.read(1, INPUT, 0, 9, TIMEOUT_MS)
        for count in (2, 3):
            wire.ask(framed(struct.pack(">BBHH", 1, 4, 100, count)))
            await asyncio.sleep(0.2)
        asked.clear()
        assert await door.read(1, INPUT, 20, 2, TIMEOUT_MS) == [20, 21]
        assert await door.read(1, INPUT, 30, 5, TIMEOUT_MS) == [30, 31, 32, 33, 34]
        assert asked == [(20, 4), (30, 5)]
        asked.clear()
        for _ in range(5):  # there is no register 500: those before are asked for in the end
            assert await door.read(1, INPUT, 498, 2, TIMEOUT_MS) == [498, 499]
        assert asked[-1] == (496, 4)
        await asyncio.sleep(700)
        asked.clear()
        assert await door.read(1, INPUT, 20, 2, TIMEOUT_MS) == [20, 21]
        assert asked == [(20, 2)], "it is gone"


@simulated
async def test_a_question_of_another_master_that_nobody_answers_holds_nothing_for_ever():
    async with wired() as (wire, door):
        theirs = framed(struct.pack(">BBHH", 1, 4, 100, 2))

        async def ask_for_ever():
            while True:
                wire.emit(theirs)  # and no device hears it
                await asyncio.sleep(0.7)

        asking = asyncio.create_task(ask_for_ever())
        began = asyncio.get_running_loop().time()
        answered = []
        while asyncio.get_running_loop().time() < began + 30:
            await asyncio.sleep(0.1)
            if not door.hold_ms(1, INPUT, 2):
                with suppress(DeviceSilent):
                    answered += await door.read(1, INPUT, 20, 2, TIMEOUT_MS)
        asking.cancel()
        assert len(answered) > 100
        assert set(answered) == {20, 21}


@simulated
async def test_beside_another_master_an_answer_is_not_ours_if_less_of_it_is_refused():
    """Something not understood came before it: maybe a question, as there is no register 600."""

    def manner(request, reply):
        is_long = request[0] == 1 and request[5] == 4
        return [(0.05, b"\x1e" + frame(1, 4, 1, 2, 3, 4) if is_long else reply)]

    async with wired(manner) as (wire, door):
        await door.read(1, INPUT, 0, 9, TIMEOUT_MS)
        wire.ask(framed(struct.pack(">BBHH", 9, 4, 100, 2)))
        await asyncio.sleep(0.2)
        with pytest.raises(DeviceSilent) as silent:
            await door.read(1, INPUT, 600, 4, TIMEOUT_MS)
        assert silent.value.is_heard


@simulated
async def test_a_question_of_another_master_is_waited_for_though_one_before_was_not_answered():
    theirs = framed(struct.pack(">BBHH", 1, 4, 100, 2))
    async with wired() as (wire, door):
        await door.read(1, INPUT, 0, 9, TIMEOUT_MS)
        for _ in range(3):
            wire.emit(theirs)
            await asyncio.sleep(0.1)
            assert door.hold_ms(1, INPUT, 2) > 1_800
            await asyncio.sleep(5)


@simulated
async def test_another_master_is_let_have_its_answer_before_we_ask():
    async with wired(lambda _request, reply: [(0.05, reply)]) as (wire, door):
        await door.read(1, INPUT, 0, 9, TIMEOUT_MS)
        for start in range(5):
            wire.ask(framed(struct.pack(">BBHH", 9, 4, 100, 2)))
            await asyncio.sleep(0.02)
            assert await door.read(1, INPUT, start, 2, TIMEOUT_MS) == [start, start + 1]
        assert wire.counts.clashes == 0
        assert door.counts.foreign == 10, "five questions, and their answers"
        wire.answers.clear()
        wire.emit(framed(struct.pack(">BBHH", 9, 4, 100, 2)))
        began = asyncio.get_running_loop().time()
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        waited_s = asyncio.get_running_loop().time() - began - TIMEOUT_MS / 1000
        assert waited_s < 0.2, "but not for long, if it has none"


@simulated
async def test_two_devices_at_one_address_garble_each_other_and_bring_no_wrong_value():
    async with wired(answers=(echoing, echoing)) as (wire, door):
        for start in range(30):
            try:
                words = await door.read(1, INPUT, start, 2, TIMEOUT_MS)
            except DeviceSilent:
                continue
            assert words == [start, start + 1]
        assert wire.counts.clashes > 0
        assert door.counts.noise_bytes > 0


@simulated
async def test_an_answer_that_nobody_asked_for_holds_its_shape():
    """From a device slower than `late_max`, or the second at an address: it may come again."""
    async with wired() as (wire, door):
        await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
        wire.say(frame(1, 4, 7, 8))
        await asyncio.sleep(0.1)
        assert door.hold_ms(1, INPUT, 2) > 1_800, "so that the scheduler reads something else"
        began = asyncio.get_running_loop().time()
        assert await door.read(1, INPUT, 5, 2, TIMEOUT_MS) == [5, 6]
        assert asyncio.get_running_loop().time() - began > 1.8
        assert door.counts.foreign == 1


@simulated
async def test_cut_and_damaged_replies_are_counted_as_such():
    async with wired(lambda _request, reply: [(0.01, reply[:-1] + b"\x00")]) as (_, door):
        for start in range(4):
            with pytest.raises(DeviceSilent):
                await door.read(1, INPUT, start, 2, TIMEOUT_MS)
        await asyncio.sleep(3)
        assert door.hold_ms(1, INPUT, 2) == 0
        assert (door.counts.timeouts, door.counts.crc_errors) == (4, 4)


def test_a_simulated_loop_says_that_nothing_is_left_to_happen():
    with pytest.raises(NothingLeft):
        run_simulated(asyncio.Event().wait())


# --- what bytes are ---------------------------------------------------------------------------


def test_bytes_are_told_apart():
    request = framed(struct.pack(">BBHH", 9, 3, 0, 5))
    heard = b"\xff" + request + b"\x00\x00" + frame(9, 3, 1, 2, 3, 4, 5) + refusal(9, 3, 2) + b"U"
    assert list(find_frames(heard)) == [
        b"\xff",
        Frame(Kind.REQUEST, Shape(9, 3, 10), request),
        b"\x00\x00",
        Frame(Kind.REPLY, Shape(9, 3, 10), frame(9, 3, 1, 2, 3, 4, 5)),
        Frame(Kind.REFUSAL, Shape(9, 3, 0), refusal(9, 3, 2)),
        b"U",
    ]


def test_a_refusal_may_be_left_out_of_the_search():
    shape = shape_of(9, HOLDING, 5)
    assert find_rtu_reply(refusal(9, 3, 2), shape) == refusal(9, 3, 2)
    assert find_rtu_reply(refusal(9, 3, 2), shape, takes_refusal=False) == b""


# --- the adapter ------------------------------------------------------------------------------


class Recorder:
    """A port whose driver does as told."""

    rs485_mode = None


def test_the_direction_settings_reach_the_driver():
    port = Recorder()
    set_direction(port, Direction(rts_on_send=False, delay_before_ms=2, delay_after_ms=5))
    mode = port.rs485_mode
    assert (mode.rts_level_for_tx, mode.rts_level_for_rx) == (False, True)
    assert (mode.delay_before_tx, mode.delay_before_rx) == (0.002, 0.005)


async def test_a_driver_that_cannot_switch_direction_is_said_so_and_leaks_nothing(tmp_path):
    with Port(tmp_path / "adapter") as port:
        line = SerialLine(str(port.path), baud=115200, rs485=Direction())
        async with open_bus(Bus("b", line)) as door:
            before = open_descriptors()
            with pytest.raises(BusDown, match="cannot switch RS-485 direction with RTS"):
                await door.read(3, INPUT, 0, 1, SILENCE_MS)
            assert open_descriptors() == before


async def test_nothing_is_asked_before_the_delay_after_opening_has_passed(tmp_path):
    with Port(tmp_path / "adapter") as port:
        device = Device(port, lambda unit, function, *_: frame(unit, function, 1))
        line = SerialLine(str(port.path), baud=115200, open_delay_ms=300)
        async with open_bus(Bus("b", line)) as door:
            began = asyncio.get_running_loop().time()
            await door.read(3, INPUT, 0, 1, 5_000)
            await door.read(3, INPUT, 0, 1, 5_000)
        assert device.heard_at[0] - began >= 0.3
        assert door.counts.opened == 1


async def test_an_adapter_that_is_pulled_comes_back_under_any_number_and_leaves_nothing(tmp_path):
    found = await replug(tmp_path, 5)
    assert len(found.back_s) == 5
    assert max(found.back_s) <= 5 + 20, (
        "5 s on a quiet machine: scripts/bench; more when it is busy"
    )
    assert (found.descriptors_left, found.tasks_left) == (0, 0)


# --- TCP --------------------------------------------------------------------------------------


def tcp(port):
    return open_bus(Bus("b", TcpLink("127.0.0.1", port)))


async def answers_of(reader):
    while True:
        head = await reader.readexactly(6)
        body = await reader.readexactly(int.from_bytes(head[4:], "big"))
        yield int.from_bytes(head[:2], "big"), body[0], struct.unpack(">BHH", body[1:])


async def serve_start(reader, writer):
    """Every register holds the first address that was asked for; unit 9 is dead."""
    async for number, unit, (function, start, count) in answers_of(reader):
        pdu = struct.pack(f">BB{count}H", function, 2 * count, *[start] * count)
        writer.write(mbap(number, bytes([function | 0x80, 0x0B]) if unit == 9 else pdu, unit))


async def test_a_unit_behind_a_bridge_that_gave_up_is_held_and_its_neighbour_is_not():
    async with tcp_peer(serve_start) as (port, _), tcp(port) as door:
        assert await door.read(1, INPUT, 7, 2, 5_000) == [7, 7]
        with pytest.raises(DeviceRefused):
            await door.read(9, INPUT, 7, 2, 5_000)
        assert door.hold_ms(9, INPUT, 2) > 0
        assert door.hold_ms(1, INPUT, 2) == 0
        assert await door.read(1, INPUT, 8, 2, 5_000) == [8, 8]
        assert door.hold_ms(9, INPUT, 2) > 0, "another unit's answer says nothing of this one's"


async def test_a_device_of_its_own_is_not_held_over_tcp():
    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            if start:
                pdu = struct.pack(f">BB{count}H", function, 2 * count, *[start] * count)
                writer.write(mbap(number, pdu, unit))

    async with tcp_peer(serve) as (port, _), tcp(port) as door:
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 2, SILENCE_MS)
        assert door.hold_ms(1, INPUT, 2) == 0
        assert await door.read(1, INPUT, 8, 2, 5_000) == [8, 8]


async def test_a_bridge_that_puts_the_newest_number_on_a_late_answer_brings_no_wrong_value():
    held = []

    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            held.append(struct.pack(f">BB{count}H", function, 2 * count, *[start] * count))
            if start:
                for pdu in held:
                    writer.write(mbap(number, pdu, unit))
                held.clear()

    async with tcp_peer(serve) as (port, _), tcp(port) as door:
        with pytest.raises(DeviceSilent):
            await door.read(1, INPUT, 0, 2, SILENCE_MS)
        try:
            words = await door.read(1, INPUT, 8, 2, 30_000)
        except DeviceSilent:
            words = [8, 8]
        assert words == [8, 8], "not those of register 0"
        assert await door.read(1, INPUT, 9, 2, 30_000) == [9, 9]


async def test_a_bridge_that_is_one_answer_behind_is_never_believed():
    held = [b"\x04\x04\x02\x9a\x02\x9a"]

    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            held.append(struct.pack(f">BB{count}H", function, 2 * count, *[start] * count))
            if len(held) > 2:
                writer.write(mbap(number, held[-2], unit))

    async with tcp_peer(serve) as (port, _), tcp(port) as door:
        for start in range(1, 8):
            with pytest.raises((DeviceSilent, BusDown)):
                await door.read(1, INPUT, start, 2, SILENCE_MS)


async def test_a_peer_that_closes_after_each_answer_is_asked_again_at_once():
    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            pdu = struct.pack(f">BB{count}H", function, 2 * count, *[start] * count)
            writer.write(mbap(number, pdu, unit))
            break
        await reader.read(1)  # it hangs up only when it is asked the next time

    async with tcp_peer(serve) as (port, writers), tcp(port) as door:
        for start in range(10):
            assert await door.read(1, INPUT, start, 1, 30_000) == [start]
        assert len(writers) == 10


def rtu_of(unit, function, start, count):
    return framed(struct.pack(f">BBB{count}H", unit, function, 2 * count, *[start] * count))


OVER_TCP = {
    "it answers as unit 255": lambda n, _unit, pdu, *_: mbap(n, pdu, 255),
    "its answer carries another number": lambda _n, unit, pdu, *_: mbap(0, pdu, unit),
    "another function or length": lambda n, unit, pdu, *_: mbap(n, b"\x03" + pdu[1:], unit),
    "only the beginning": lambda n, unit, pdu, *_: mbap(n, pdu, unit)[:-1],
    "no Modbus TCP": lambda *_: b"HTTP/1.0 400 Bad Request\r\n\r\n",
    "must be set to Modbus TCP": lambda _n, unit, _pdu, *asked: rtu_of(unit, *asked),
    "timeout": lambda *_: b"",
}


@pytest.mark.parametrize("why", OVER_TCP)
async def test_what_a_tcp_peer_says_instead_of_an_answer_is_told(why):
    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            pdu = struct.pack(f">BB{count}H", function, 2 * count, *[start] * count)
            writer.write(OVER_TCP[why](number, unit, pdu, function, start, count))

    async with tcp_peer(serve) as (port, _), tcp(port) as door:
        told = ""
        until = asyncio.get_running_loop().time() + 30
        while why not in told:
            assert asyncio.get_running_loop().time() < until, told
            with pytest.raises(DeviceSilent) as silent:
                await door.read(1, INPUT, 7, 2, SILENCE_MS)
            told = silent.value.why


async def test_a_tcp_device_that_answers_too_late_is_told_apart_from_a_silent_one():
    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            await asyncio.wait_for(given_up.wait(), 30)
            given_up.clear()
            pdu = struct.pack(f">BB{count}H", function, 2 * count, *[start] * count)
            writer.write(mbap(number, pdu, unit))

    given_up = asyncio.Event()
    async with tcp_peer(serve) as (port, _), tcp(port) as door:
        with pytest.raises(DeviceSilent, match="timeout"):
            await door.read(1, INPUT, 7, 2, SILENCE_MS)
        given_up.set()
        until = asyncio.get_running_loop().time() + 30
        while not door.counts.late:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.01)
        with pytest.raises(DeviceSilent, match="it answers later than the timeout"):
            await door.read(1, INPUT, 7, 2, SILENCE_MS)


ON_A_LINE = {
    "unit 4 answers instead": lambda _request, reply: framed(b"\x04" + reply[1:-2]),
    "another function or length": lambda _request, reply: framed(b"\x01\x03" + reply[2:-2]),
    "damaged or cut": lambda _request, reply: reply[:-1],
    "baud rate or parity": lambda _request, _reply: b"\xfe\x80\x00\xf8\xe6",
    "our own question": lambda request, _reply: request,
    "timeout": lambda _request, _reply: b"",
}


@pytest.mark.parametrize("why", [*OVER_TCP, *ON_A_LINE])
def test_what_is_told_stands_in_troubleshooting(why):
    assert why in (ROOT / "docs" / "troubleshooting.md").read_text()


@pytest.mark.parametrize("why", ON_A_LINE)
def test_what_a_line_brings_instead_of_an_answer_is_told(why):
    @simulated
    async def run():
        async with wired(lambda *frames: [(0.05, ON_A_LINE[why](*frames))]) as (_, door):
            with pytest.raises(DeviceSilent, match=why):
                await door.read(1, INPUT, 7, 2, TIMEOUT_MS)

    run()


@simulated
async def test_an_answer_that_came_damaged_is_not_waited_for_any_more():
    pieces = iter([-3, None, None])
    async with wired(lambda _request, reply: [(0.05, reply[: next(pieces)])]) as (_, door):
        with pytest.raises(DeviceSilent) as silent:
            await door.read(1, INPUT, 7, 2, TIMEOUT_MS)
        assert silent.value.is_heard
        assert door.hold_ms(1, INPUT, 2) == 0
        assert await door.read(1, INPUT, 50, 2, TIMEOUT_MS) == [50, 51]


@simulated
async def test_a_device_that_answers_too_late_is_told_apart_from_a_silent_one():
    async with wired(lambda _request, reply: [(0.9, reply)]) as (_, door):
        whys = []
        for _ in range(2):
            with pytest.raises(DeviceSilent) as silent:
                await door.read(1, INPUT, 0, 2, TIMEOUT_MS)
            whys.append(silent.value.why)
            await asyncio.sleep(1)
    assert whys == ["timeout", "it answers later than the timeout"]


async def test_half_a_late_tcp_answer_behind_a_good_one_does_not_shift_the_next():
    held = []

    async def serve(reader, writer):
        async for number, _unit, (function, start, count) in answers_of(reader):
            whole = mbap(number, struct.pack(f">BB{count}H", function, 2 * count, *[start] * count))
            if start == 1:
                held.append(whole)
                continue
            rest = held.pop() if held else b""
            writer.write(whole + rest[:9])
            await asyncio.sleep(0.05)
            writer.write(rest[9:])

    async with tcp_peer(serve) as (port, writers), tcp(port) as door:
        with pytest.raises(DeviceSilent):
            await door.read(7, INPUT, 1, 2, SILENCE_MS)
        assert await door.read(7, INPUT, 2, 2, 5_000) == [2, 2]
        assert await door.read(7, INPUT, 3, 2, 5_000) == [3, 3]
        assert door.counts.late == 1
        assert len(writers) == 1


async def test_a_peer_with_one_place_gets_it_back_before_it_is_asked_for_it():
    """A half-open connection is given up after a few silences, and only then made anew."""
    taken = []

    async def serve(reader, writer):
        if taken:
            return  # it has one place: the second is closed at once
        taken.append(writer)
        try:
            async for number, unit, (function, start, count) in answers_of(reader):
                if len(silent) > 0:
                    continue
                pdu = struct.pack(f">BB{count}H", function, 2 * count, *[start] * count)
                writer.write(mbap(number, pdu, unit))
        finally:
            taken.clear()
            silent.clear()

    silent = []
    async with tcp_peer(serve) as (port, _), tcp(port) as door:
        assert await door.read(7, INPUT, 2, 2, 5_000) == [2, 2]
        before = open_descriptors()
        for _ in range(5):
            silent.append(True)
            for _ in range(3):
                with pytest.raises(DeviceSilent):
                    await door.read(7, INPUT, 2, 2, SILENCE_MS)
            assert await eventually(lambda: door.read(7, INPUT, 3, 2, 500)) == [3, 3]
        for _ in range(200):
            if open_descriptors() <= before:
                break
            await asyncio.sleep(0.05)
        assert open_descriptors() <= before


async def test_a_device_with_room_for_one_connection_is_never_asked_for_a_second():
    board = jxbs_co("co", 1)
    async with open_tcp({1: board}, most_connections=1) as peer, tcp(peer.port) as door:
        for drop in range(6):
            assert len(await eventually(lambda: door.read(1, HOLDING, 6, 1, 1_000))) == 1
            assert len(peer.writers) == 1
            await asyncio.gather(*(door.read(1, HOLDING, 6, 1, 5_000) for _ in range(5)))
            if drop % 2:
                board.is_silent = True  # the door gives the connection up, and takes it anew
                for _ in range(TIMEOUTS_TO_REOPEN):
                    with pytest.raises(DeviceSilent):
                        await door.read(1, HOLDING, 6, 1, SILENCE_MS)
                board.is_silent = False
            else:
                peer.drop()
            async with asyncio.timeout(30):
                while peer.writers:  # given back before it is asked for again
                    await asyncio.sleep(0.01)
        assert len(await eventually(lambda: door.read(1, HOLDING, 6, 1, 1_000))) == 1
        assert peer.refused == 0
        assert door.counts.opened == 7


# --- a device that says nothing to a long question ----------------------------------------------


async def read_all(bus, blocks):
    """Poll until every point of the blocks was read; return what stood at each address."""
    loop = asyncio.get_running_loop()
    read = {}

    def clock():
        return round(1000 * loop.time())

    async def put(event):
        read.update((each.point, each.value) for each in event.readings if event.failure is None)

    async with open_bus(bus) as door, asyncio.timeout(60):
        schedule = Schedule(
            bus, blocks, clock(), hold_ms=lambda b: door.hold_ms(b.unit, b.table, b.count)
        )
        wanted = {point.id: point.at for each in blocks for point in each.points}
        await poll_bus(
            schedule,
            read=lambda b, wait_ms: door.read(b.unit, b.table, b.start, b.count, wait_ms),
            put=put,
            clock=clock,
            sleep_until=lambda ms: asyncio.sleep(ms / 1000 - loop.time()),
            beat=lambda: None,
            is_over=lambda: wanted.keys() <= read.keys(),
        )
    return {wanted[name]: value for name, value in read.items()}


async def test_a_serial_device_that_ignores_long_questions_is_read_whole_in_pieces(tmp_path):
    def answer(unit, function, start, count):
        return frame(unit, function, *range(start, start + count)) if count <= 30 else b""

    with Port(tmp_path / "adapter") as port:
        device = Device(port, answer)
        line = SerialLine(str(port.path), baud=115200)
        bus = Bus("b", line, timeout_ms=150, late_ms=150)
        read = await read_all(bus, [block("a", 100, points=60, unit=3)])
    assert read == {at: at for at in range(100, 160)}
    assert max(count for *_, count in device.requests) == 60, "it was tried"


async def test_a_bridge_that_swallows_long_questions_is_read_whole_in_pieces():
    async def serve(reader, writer):
        async for number, unit, (function, start, count) in answers_of(reader):
            words = struct.pack(f">BB{count}H", function, 2 * count, *range(start, start + count))
            if count <= 30:
                writer.write(mbap(number, words, unit))

    async with tcp_peer(serve) as (port, _):
        bus = Bus("b", TcpLink("127.0.0.1", port), timeout_ms=150)
        read = await read_all(bus, [block("a", 100, points=60, unit=3)])
    assert read == {at: at for at in range(100, 160)}


# --- near the limit ---------------------------------------------------------------------------


async def test_a_sweep_is_as_fast_as_the_wire_and_never_faster(tmp_path):
    shares = await sweep(tmp_path, 115_200, 2)
    assert all(0.1 < share <= 1.0 for share in shares), "0.85 on a quiet machine: scripts/bench"


async def test_the_living_are_read_in_their_period_though_three_are_dead(tmp_path):
    found = await stretch(tmp_path, 115_200, 3, 4)
    assert len(found.means) == 7
    assert 0.3 < max(found.means) <= found.longest
