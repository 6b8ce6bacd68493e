"""Each mix of errors has its own words for the technician."""

import pytest

from gateway.core import wiring
from gateway.core.wiring import DeviceCount, wiring_hints

WELL = DeviceCount("near", 100, 0)
ALSO = DeviceCount("middle", 100, 1)
FAR = DeviceCount("far", 100, 30)
FARTHER = DeviceCount("farther", 100, 40)
GONE = DeviceCount("gone", 100, 100)


def said(devices, **counts):
    return [hint.en.split(":")[0] for hint in wiring_hints(devices, counts)]


@pytest.mark.parametrize(
    ("devices", "counts", "hints"),
    [
        ([DeviceCount("d", 3, 3)], {}, [wiring.TOO_FEW]),
        ([WELL, ALSO], {}, [wiring.WELL]),
        ([GONE], {}, [wiring.NOBODY]),
        ([GONE], {"noise_bytes": 40}, [wiring.NOBODY_BUT_NOISE]),
        ([WELL], {"foreign_requests": 5}, [wiring.MASTER]),
        ([WELL], {"echoes": 100}, [wiring.ECHO]),
        ([WELL], {"noise_bytes": 500}, [wiring.FLOATING]),
    ],
)
def test_a_line_as_a_whole(devices, counts, hints):
    assert list(wiring_hints(devices, counts)) == hints


@pytest.mark.parametrize(
    ("devices", "counts", "words"),
    [
        ([WELL, FAR, FARTHER], {"crc_errors": 60}, "answers come damaged: far, farther"),
        ([WELL, ALSO, FAR], {"crc_errors": 25}, "only far comes damaged"),
        ([WELL, FAR], {"late": 28}, "answers come too late: far"),
        ([WELL, FAR], {}, "sometimes silent: far"),
        ([WELL, GONE], {}, "never answers: gone"),
        ([WELL, DeviceCount("other", 100, 0, 50)], {}, "refuses what is asked: other"),
    ],
)
def test_single_devices_are_named(devices, counts, words):
    (hint,) = wiring_hints(devices, counts)
    assert hint.en.startswith(words)
    for device in words.split(": ")[-1].split(", "):
        assert device.split()[0] in hint.en


def test_a_device_that_takes_no_long_question_is_named_with_its_cure():
    (hint,) = wiring_hints([WELL, DeviceCount("meter", 100, 1, 0, 16)], {})
    assert "meter (max_registers: 16)" in hint.en
    assert "meter (max_registers: 16)" in hint.zh


def test_the_gravest_comes_first_and_several_stand_together():
    hints = said([WELL, FAR, GONE], crc_errors=0, foreign_requests=3)
    assert hints == ["sometimes silent", "never answers", "somebody else asks on this line too"]
