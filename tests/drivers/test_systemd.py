"""What goes to systemd's notify socket, with and without systemd-python."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
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


def test_without_a_journal_the_log_goes_to_stderr() -> None:
    code = (
        "import logging\n"
        "from gateway.drivers.systemd import open_log\n"
        "open_log()\n"
        "logging.getLogger('gateway.test').warning('bus %s is down', 'a')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60
    )
    assert (run.stdout, run.stderr) == ("", "WARNING gateway.test: bus a is down\n")
