"""What goes to systemd's notify socket, with and without systemd-python."""

import json
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from gateway.drivers import systemd


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield receiver


@pytest.fixture(params=["systemd-python", "own datagram"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "own datagram":
        monkeypatch.setattr(systemd, "daemon", None)
    elif systemd.daemon is None:
        pytest.skip("systemd-python is not installed here")


@pytest.mark.usefixtures("library")
def test_systemd_hears_each_state_as_written(notified: socket.socket) -> None:
    assert systemd.ready("2 buses")
    assert systemd.status("one\nline")
    assert systemd.feed()
    assert systemd.stopping()
    assert [notified.recv(1024) for _ in range(4)] == [
        b"READY=1\nSTATUS=2 buses",
        b"STATUS=one line",
        b"WATCHDOG=1",
        b"STOPPING=1",
    ]


@pytest.mark.usefixtures("library")
def test_an_abstract_socket_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(f"\0care-gateway-test-{os.getpid()}")
        receiver.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@care-gateway-test-{os.getpid()}")
        assert systemd.feed()
        assert receiver.recv(100) == b"WATCHDOG=1"


def test_outside_systemd_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not systemd.ready()


@pytest.mark.usefixtures("library")
def test_a_vanished_notify_socket_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    assert not systemd.feed()


@pytest.mark.parametrize(
    ("environment", "interval"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30_000),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_interval_is_ours_only_if_meant_for_us(
    environment: dict[str, str], interval: int | None
) -> None:
    assert systemd.watchdog_interval_ms(environment) == interval


def test_a_terminal_or_pipe_is_no_journal() -> None:
    assert not systemd.is_journal({})
    assert not systemd.is_journal({"JOURNAL_STREAM": "1:2"})


SAYS = """
import logging, os
from gateway.drivers.systemd import open_log
here = os.fstat(2)
if os.environ.get("AS_JOURNAL"):
    os.environ["JOURNAL_STREAM"] = f"{here.st_dev}:{here.st_ino}"
with open_log():
    log = logging.getLogger("gateway.test")
    log.warning("fault raised fault=%s device=%s place=%s", "device_silent", "board", "1F 厨房")
    try:
        1 / 0
    except ZeroDivisionError:
        log.exception("task failed task=%s", "poll hall")
    log.debug("nobody asked for this")
"""


def test_on_a_terminal_a_line_has_its_time_its_level_and_its_fields() -> None:
    run = subprocess.run(
        [sys.executable, "-c", SAYS], check=True, capture_output=True, text=True, timeout=60
    )
    assert run.stdout == ""
    first, second, *trace = run.stderr.splitlines()
    when, said = first[:23], first[24:]
    assert datetime.fromisoformat(when.replace(",", "."))
    assert said == 'WARNING fault raised fault=device_silent device=board place="1F 厨房"'
    assert second[24:] == 'ERROR   task failed task="poll hall"'
    assert trace[-1] == "ZeroDivisionError: division by zero"


def test_the_journal_without_the_library_gets_a_priority_on_every_line() -> None:
    run = subprocess.run(
        [sys.executable, "-c", "import sys; sys.modules['systemd'] = None" + SAYS],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "AS_JOURNAL": "1"},
    )
    first, *rest = run.stderr.splitlines()
    assert first == '<4>fault raised fault=device_silent device=board place="1F 厨房"'
    assert all(line.startswith("<3>") for line in rest)
    assert rest[-1] == "<3>ZeroDivisionError: division by zero"


@pytest.mark.parametrize(
    ("template", "values", "fields"),
    [
        ("link down broker=%s why=%s", ("a:1", "lost"), {"BROKER": "a:1", "WHY": "lost"}),
        ("%d blocks bus=%s", (3, "hall"), {"BUS": "hall"}),
        ("p99=%.1f ms of %s", (4.25, "core.db"), {"P99": "4.25"}),
        ("full at 100%% file=%s", ("core.db",), {"FILE": "core.db"}),
        ("nothing to fill in", (), {}),
        ("message=%s priority=%s unit=%s", ("a", "b", "c"), {}),  # the journal's own
        ("odd=%s %(key)s", ("a", "b"), {}),
        ("too=%s", ("many", "values"), {}),
    ],
)
def test_the_fields_of_a_line_are_its_key_value_pairs(
    template: str, values: tuple[object, ...], fields: dict[str, str]
) -> None:
    record = logging.LogRecord("x", logging.INFO, "x.py", 1, template, values, None)
    assert systemd.fields_of(record) == fields


def test_lines_of_one_kind_have_one_message_id_whatever_they_are_about() -> None:
    first = systemd.message_id("fault raised fault=%s device=%s")
    assert first == systemd.message_id("fault raised fault=%s bus=%s why=%s")
    assert first != systemd.message_id("fault cleared fault=%s device=%s")
    assert first == "6fba6c180915bb7eb8c712371003c4af"  # people search by it: it stays what it is


NAMESPACE = """
set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal
"$JOURNALD" &
journald=$!
for _ in $(seq 300); do [ -S /run/systemd/journal/socket ] && break; sleep 0.1; done
AS_JOURNAL=1 "$PYTHON" -c "$SAYS"
for _ in $(seq 300); do
    journalctl --directory=/run/log/journal --output=json SYSLOG_IDENTIFIER=care-gateway >"$OUT"
    [ "$(wc -l <"$OUT")" -ge 2 ] && break
    sleep 0.1
done
kill "$journald"
wait "$journald" || true
"""
JOURNALD = Path("/lib/systemd/systemd-journald")


@pytest.mark.skipif(
    os.geteuid() != 0 or not JOURNALD.exists() or systemd.journal is None,
    reason="needs root, systemd-journald and systemd-python",
)
def test_a_real_journal_keeps_the_fields(tmp_path: Path) -> None:
    """systemd's own journald in a mount namespace, with a /run of its own."""
    out = tmp_path / "entries.json"
    named = {"JOURNALD": str(JOURNALD), "PYTHON": sys.executable, "SAYS": SAYS, "OUT": str(out)}
    run = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child",
         "bash", "-c", NAMESPACE],
        check=False, capture_output=True, text=True, timeout=120, env={**os.environ, **named},
    )  # fmt: skip
    refusals = ("unshare failed", "permission denied", "cannot change root filesystem propagation")
    if any(refusal in run.stderr for refusal in refusals):
        pytest.skip("this machine allows no namespace of its own")
    assert run.returncode == 0, run.stderr
    fault, failed = map(json.loads, out.read_text().splitlines())
    assert fault["MESSAGE"] == 'fault raised fault=device_silent device=board place="1F 厨房"'
    assert (fault["FAULT"], fault["DEVICE"], fault["PLACE"]) == (
        "device_silent", "board", "1F 厨房",
    )  # fmt: skip
    assert fault["MESSAGE_ID"] == systemd.message_id("fault raised")
    assert (fault["PRIORITY"], fault["LOGGER"]) == ("4", "gateway.test")
    assert (failed["PRIORITY"], failed["TASK"]) == ("3", "poll hall")
    assert "ZeroDivisionError" in failed["EXCEPTION_TEXT"]


def test_what_nobody_takes_is_counted_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first line hangs in its handler until the queue has overflown, and is full still."""
    taken, overflown = threading.Event(), threading.Event()
    said: list[str] = []

    class Slow(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            taken.set()
            assert overflown.wait(60)
            said.append(self.format(record))

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    monkeypatch.setattr(systemd, "_handler", Slow)
    monkeypatch.setattr(systemd, "WAITING_LINES", 5)
    try:
        with systemd.open_log():
            log = logging.getLogger("gateway.test")
            for number in range(20):
                log.warning("line=%s", number)
                assert taken.wait(60)
            overflown.set()
            deadline = time.monotonic() + 60
            while not any("lost" in line for line in said):
                assert time.monotonic() < deadline
                time.sleep(0.002)
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    (told,) = [line for line in said if "lost" in line]
    assert int(told.rpartition("=")[2]) == 20 - 1 - 5
    assert [line for line in said if line != told] == [f"line={number}" for number in range(6)]
