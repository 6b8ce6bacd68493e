"""What `care-gateway bus` prints, without a line and on one; with the daemon: tests/daemon."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import bus_line
from gateway.cli.bus_line import NoLine, Registers, Where, find_target
from gateway.cli.bus_scan import parse_units
from gateway.cli.bus_solve import solve_line
from gateway.cli.main import main
from gateway.domain.families import LineSetting
from gateway.domain.points import Table
from gateway.domain.text import Lang
from gateway.sim.bus import open_tcp
from gateway.sim.devices import SimDevice, by_unit, lx47le, pzem016, sdm630
from gateway.sim.mixed import open_mixed


@contextmanager
def serving(make) -> Iterator[object]:
    """A simulated line in a thread of its own, while the block runs."""
    is_up, ended = threading.Event(), threading.Event()
    made: list[object] = []

    async def serve() -> None:
        async with make() as line:
            made.append(line)
            is_up.set()
            while not ended.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert is_up.wait(30)
    try:
        yield made[0]
    finally:
        ended.set()
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def tcp_line(*devices) -> Iterator[str]:
    with serving(lambda: open_tcp(by_unit(list(devices)), turnaround_s=0.0)) as bus:
        yield f"127.0.0.1:{bus.port}"


NOWHERE = ["--socket", "/nowhere/s", "--site", "/nowhere/site.yaml"]


def test_a_float_written_down_is_solved_without_a_bus(capsys):
    assert main(["bus", "solve", "--words", "4366 3333=230.2", "--lang", "en"]) == 0
    said = capsys.readouterr()
    assert said.out == "{at: 0, type: float32}\n"
    assert "This is it" in said.err


def test_what_stays_open_is_named_with_the_reading_that_decides(capsys):
    words = ["--words", "41=25", "--words", "70=72"]
    assert main(["bus", "solve", "--at", "6", *words, "--lang", "zh"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "{at: 6, type: uint16, offset: -40}"
    assert "大于 32727，或小于 -40" in said.err


def test_the_solution_as_json_has_candidates_and_what_is_needed(capsys):
    assert main(["bus", "solve", "--words", "0041=25", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {"at": 0, "type": "uint16", "order": "big", "scale": 1.0, "offset": -40.0} in document[
        "candidates"
    ]
    assert document["needed"] == {"away_from": None, "by": 0, "above": 32727, "below": -40}


@pytest.mark.parametrize("words", ["41", "xyz=1", "41=abc", "=3"])
def test_words_that_are_none_are_refused(words, capsys):
    assert main(["bus", "solve", "--words", words]) == 2
    assert capsys.readouterr().out == ""


def test_a_display_that_nothing_explains_is_said_to_be_so(capsys):
    assert main(["bus", "solve", "--words", "0001=98765", "--lang", "en"]) == 1
    assert "the address one off" in capsys.readouterr().err


def test_units_are_typed_as_ranges_and_lists():
    assert parse_units("1-3,100") == (1, 2, 3, 100)
    for wrong in ("", "a", "5-1", "300", "1,,2"):
        with pytest.raises(ValueError):
            parse_units(wrong)


def test_registers_are_shown_in_every_type_and_order(capsys):
    with tcp_line(sdm630("meter", 1)) as at:
        assert main(["bus", "read", at, "--unit", "1", "--table", "input", "--count", "2",
                     *NOWHERE, "--json"]) == 0  # fmt: skip
    (first, second) = json.loads(capsys.readouterr().out)["registers"]
    assert first["float32"]["ABCD"] == pytest.approx(229, abs=3)
    assert set(first["float32"]) == {"ABCD", "CDAB", "BADC", "DCBA"}
    assert "float32" not in second
    assert first["hex"] == f"{first['word']:04X}"


def test_a_profile_s_points_stand_beside_their_words(capsys):
    with tcp_line(pzem016("meter", 2)) as at:
        assert main(["bus", "read", at, "--unit", "2", "--profile", "peacefair-pzem-016",
                     *NOWHERE, "--json"]) == 0  # fmt: skip
    rows = {row["point"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["voltage"]["value"] == pytest.approx(227, abs=3)
    assert (rows["voltage"]["unit"], rows["voltage"]["quality"]) == ("V", "good")
    assert len(rows["current"]["words"].split()) == 2


def test_watch_prints_again_only_what_changed_and_marks_it(capsys):
    count = 0

    def fill(_truth, _noise):
        nonlocal count
        count += 1
        return {"holding": {0: 7, 1: count}}

    with tcp_line(SimDevice("counter", 1, fill, {})) as at:
        assert main(["bus", "watch", at, "--unit", "1", "--count", "2", "--every", "0.1", "--for",
                     "0.5", "--type", "uint16", *NOWHERE]) == 0  # fmt: skip
    said = capsys.readouterr().out
    assert "*1 0x0001" in said
    assert "*0 0x0000" not in said


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["read", "/dev/nothing-here", "--unit", "1"], 1, "no such port"),
        (["read", "cellar", "--unit", "1"], 2, "there is no such bus: cellar"),
        (["read", "--unit", "1"], 2, "name a serial port"),
        (["stats", "/dev/nothing-here"], 2, "scan it first"),
        (["read", "127.0.0.1:1", "--unit", "1", "--profile", "no-such"], 2, "no profile no-such"),
        (
            ["read", "127.0.0.1:1", "--unit", "1", "--profile", "lingxun-lx47"],
            2,
            "no profile lingxun-lx47; did you mean lingxun-lx47le?",
        ),
    ],
)
def test_what_cannot_be_is_said_in_one_line(arguments, code, words, capsys):
    assert main(["bus", *arguments, *NOWHERE, "--lang", "en"]) == code
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/dev/nothing-here", "没有这个串口：/dev/nothing-here"),
        ("127.0.0.1:1", "127.0.0.1:1 拒绝连接"),
    ],
)
def test_why_a_line_cannot_be_opened_is_told_in_the_language_spoken(target, words, capsys):
    assert main(["bus", "read", target, "--unit", "1", *NOWHERE, "--lang", "zh"]) == 1
    assert capsys.readouterr().err.splitlines() == [words]


def test_who_types_nothing_when_asked_for_the_display_learns_that(capsys):
    with tcp_line(sdm630("meter", 1)) as at:
        nowhere = Path("/nowhere/s"), Path("/nowhere/site.yaml")
        where = Where(at, *nowhere, timeout_ms=30_000)
        what = Registers(1, Table.INPUT, 0, 4)
        assert solve_line(where, what, lang=Lang.EN, prompt=lambda _: "") == 2
    assert "nothing was typed" in capsys.readouterr().err


def test_buses_that_daemon_and_file_both_know_are_named_once(tmp_path, monkeypatch):
    site = tmp_path / "site.yaml"
    site.write_text(
        "site: {id: s, name: S, institution: elder-care}\n"
        "buses: {cellar: {tcp: 192.0.2.1}, roof: {tcp: 192.0.2.2}}\n"
        "devices:\n"
        "  d: {profile: eastron-sdm120, bus: cellar, unit: 3, place: P, owner: O}\n"
        "  e: {profile: eastron-sdm120, bus: roof, unit: 3, place: P, owner: O}\n"
    )
    lines = [{"bus": "cellar", "tcp": "192.0.2.1:502"}, {"bus": "roof", "tcp": "192.0.2.2:502"}]
    monkeypatch.setattr(bus_line, "ask", lambda *_: {"lines": lines})
    with pytest.raises(NoLine, match=r"name one: cellar, roof$"):
        find_target(None, socket=tmp_path / "none", site=site)


def test_a_unit_that_is_not_there_is_named(capsys):
    with tcp_line(sdm630("meter", 1)) as at:
        code = main(["bus", "read", at, "--unit", "9", "--timeout", "100", *NOWHERE,
                     "--lang", "en"])  # fmt: skip
    assert code == 1
    assert "unit 9 does not answer" in capsys.readouterr().err


def test_a_bus_of_the_site_file_is_found_by_its_name_or_its_port(tmp_path):
    site = tmp_path / "site.yaml"
    site.write_text(
        "site: {id: s, name: S, institution: elder-care}\n"
        "buses: {cellar: {serial: /dev/ttyS77, baud: 2400}}\n"
        "devices: {d: {profile: eastron-sdm120, bus: cellar, unit: 3, place: P, owner: O}}\n"
    )
    for name in ("cellar", "/dev/ttyS77", None):
        target = find_target(name, socket=tmp_path / "none", site=site)
        assert (target.name, target.setting, target.units) == ("cellar", LineSetting(2400), (3,))
        assert target.points == []
    with pytest.raises(NoLine) as refused:
        find_target("celler", socket=tmp_path / "none", site=site)
    assert refused.value.words.zh.endswith("主机[:端口]；是不是 cellar？")
    assert refused.value.words.en.endswith("; did you mean cellar?")


def test_solve_asks_for_the_display_until_one_way_is_left(capsys):
    truth = iter([108, 100_000, 2_200_000_000])

    def fill(_truth, _noise):
        value = next(truth)
        return {"holding": {0: value & 0xFFFF, 1: value >> 16, 2: 1, 3: 2}}

    displays = iter(["0.108", "100.000", "2200000.000"])
    with tcp_line(SimDevice("meter", 1, fill, {})) as at:
        where = Where(at, Path("/nowhere/s"), Path("/nowhere/site.yaml"))
        what = Registers(1, Table.HOLDING, 0, 4)
        code = solve_line(where, what, lang=Lang.EN, prompt=lambda _: next(displays))
    assert code == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "{at: 0, type: uint32, order: little, scale: 0.001}"
    assert "This is it" in said.err


def test_stats_without_a_daemon_asks_the_site_s_devices_and_hints_at_wires(tmp_path, capsys):
    with tcp_line(lx47le("board", 3)) as at:
        host, port = at.split(":")
        site = tmp_path / "site.yaml"
        site.write_text(
            "site: {id: s, name: S, institution: elder-care}\n"
            f"buses: {{b: {{tcp: {host}:{port}}}}}\n"
            "devices:\n"
            "  board: {profile: lingxun-lx47le, bus: b, unit: 3, place: P, owner: O}\n"
            "  gone: {profile: eastron-sdm120, bus: b, unit: 4, place: P, owner: O}\n"
        )
        code = main(["bus", "stats", "--site", str(site), "--socket", str(tmp_path / "s"), "--for",
                     "1", "--timeout", "100", "--lang", "en", "--json"])  # fmt: skip
    assert code == 0
    said = json.loads(capsys.readouterr().out)
    rows = {row["id"]: row for row in said["devices"]}
    assert rows["board"]["timeouts"] < rows["board"]["requests"]
    assert rows["gone"]["timeouts"] == rows["gone"]["requests"] > 0
    hints = [hint["en"] for hint in said["hints"]]
    assert "never answers: gone. Its unit, power and own wires" in hints


def test_a_scan_of_a_line_finds_two_settings_and_writes_a_file_that_check_takes(tmp_path, capsys):
    devices = {
        LineSetting(9600): by_unit([pzem016("kitchen", 1)]),
        LineSetting(38400, stop_bits=2): by_unit([lx47le("board", 2)]),
    }
    port, out = tmp_path / "port", tmp_path / "site.yaml"
    with serving(lambda: open_mixed(port, devices, turnaround_s=0.005)):
        code = main(["bus", "scan", str(port), "--ids", "1-2", "--baud", "9600", "--baud", "38400",
                     "--stop-bits", "1", "--stop-bits", "2", "--timeout", "400", "--out", str(out),
                     "--lang", "en", *NOWHERE])  # fmt: skip
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "4 line settings x 2 units: at most" in said.err
    assert "100 %" in said.err
    assert "2 devices found" in said.err
    assert "unit 2  38400 8N2  lingxun-lx47le" in said.err
    assert main(["check", str(out)]) == 0
    assert "peacefair-pzem-016-1:" in out.read_text()
    assert "unit 2 speaks 38400 8N2: set it to 9600 8N1 first" in out.read_text()
    assert main(["bus", "scan", str(port), "--out", str(out), *NOWHERE]) == 2


def test_a_daemon_that_does_not_answer_properly_is_said_in_one_line(tmp_path, capsys):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def hang_up():
            listener.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        code = main(["bus", "read", "b", "--unit", "1", "--socket", str(path), "--site", "/no"])
        thread.join(30)
    assert code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert str(path) in said.err
