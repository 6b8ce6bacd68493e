"""Details of faults: in words of both languages, and as they are where there are none."""

import errno
import re
import socket
from pathlib import Path

import pytest

from gateway.domain.details import detail_text
from gateway.domain.site import Bus, SerialLine, TcpLink
from gateway.domain.text import Text
from gateway.drivers.modbus import _why

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text("utf-8")
TABLE = PAGE.partition("| It says |")[2].partition("\n\n")[0]
TOLD = re.findall(r"^\| (`[^|]*) \| [^|]* \|$", TABLE, re.MULTILINE)
SERIAL = Bus("line", SerialLine("/dev/ttyUSB0"))
TCP = Bus("hall", TcpLink("meter.example", 502))
FAILURES = [
    *((SERIAL, OSError(number, "x")) for number in (
        errno.ENOENT, errno.ENXIO, errno.EACCES, errno.EBUSY, errno.EINVAL, errno.EOPNOTSUPP,
        errno.EISDIR,
    )),
    *((TCP, OSError(number, "x")) for number in (errno.ECONNREFUSED, errno.EHOSTUNREACH)),
    (TCP, TimeoutError()),
    (TCP, socket.gaierror(socket.EAI_AGAIN, "x")),
    (TCP, socket.gaierror(socket.EAI_NONAME, "x")),
]  # fmt: skip


def is_chinese(text: str) -> bool:
    return re.search("[\u4e00-\u9fff]", text) is not None


@pytest.mark.parametrize(("bus", "error"), FAILURES)
def test_why_a_line_cannot_be_opened_is_told_in_chinese_too(bus: Bus, error: OSError) -> None:
    why = _why(error, bus)
    said = detail_text(why)
    assert said.en == why
    assert is_chinese(said.zh)
    assert ("/dev/ttyUSB0" if bus is SERIAL else "meter.example") in said.zh


def test_the_page_names_what_a_fault_says_in_both_languages() -> None:
    told = [pair for row in TOLD for pair in re.findall(r"`([^`]+)` ([^`|]+?)(?:, |$)", row)]
    assert len(told) >= len(TOLD) > 10
    for en, zh in told:
        said = detail_text("timeout" if en == "no answer" else en.replace("…", "X"))
        assert (said.en.replace("X", "…"), said.zh.replace("X", "…")) == (en, zh)


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ("timeout", Text("没有应答", "no answer")),
        ("4 devices", Text("4 台设备", "4 devices")),
        (
            "4 devices, no such port: /dev/x",
            Text("4 台设备，没有这个串口：/dev/x", "4 devices, no such port: /dev/x"),
        ),
        (
            "power, current … exception_2, sentinel",
            Text(
                "power, current：异常应答 2、设备报无效值",
                "power, current: exception 2, the device says: no value",
            ),
        ),
        (
            "database is locked; the disk of /data is full",
            Text(
                "数据库被别的程序占用；/data 的磁盘已满",
                "database is locked; the disk of /data is full",
            ),
        ),
        (
            "not plugged in: /dev/ttyUSB0",
            Text("没有插上：/dev/ttyUSB0", "not plugged in: /dev/ttyUSB0"),
        ),
        (
            "p.example:8883: certificate has expired",
            Text("p.example:8883：证书已过期", "p.example:8883: certificate has expired"),
        ),
        (
            "k7Q2mZ1c-A-812: closes the link, 20480 bytes",
            Text(
                "k7Q2mZ1c-A-812：使连接断开，20480 字节",
                "k7Q2mZ1c-A-812: closes the link, 20480 bytes",
            ),
        ),
        ("disk I/O error", Text("磁盘读写出错", "disk I/O error")),
        ("not plugged in: ", Text("没有插上", "not plugged in")),
        (
            "[Errno 13] Permission denied: '/data'",
            Text("没有权限: '/data'", "permission denied: '/data'"),
        ),
        ("[Errno 99999] Odd: x", Text("Odd: x", "Odd: x")),
        ("ValueError: odd {x}", Text("ValueError: odd {x}", "ValueError: odd {x}")),
        ("", Text("", "")),
    ],
)
def test_details_are_told_in_words_and_what_has_none_stays(detail: str, words: Text) -> None:
    assert detail_text(detail) == words
