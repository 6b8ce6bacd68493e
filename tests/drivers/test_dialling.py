import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.drivers import dialling
from gateway.drivers.dialling import dial
from tests.partners.broker import free_port

PATIENCE_S = 30.0


@contextlib.contextmanager
def swallowing() -> Iterator[int]:
    """A port of a host that is gone: what asks for a connection gets no answer at all."""
    with socket.socket() as server, contextlib.ExitStack() as full:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        for _ in range(8):  # nobody accepts: the queue is full after the first
            sock = full.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", port))
        yield port


@pytest.fixture
def named(monkeypatch):
    """Let the resolver answer with these ports of 127.0.0.1."""

    def give(*ports: int) -> None:
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", one)) for one in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)

    monkeypatch.setattr(dialling, "NEXT_AFTER_S", 0.1)
    return give


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_addresses_that_swallow_everything_do_not_hide_the_one_that_answers(named):
    with swallowing() as dead, swallowing() as dead_too, socket.create_server(("", 0)) as server:
        named(dead, dead_too, server.getsockname()[1])
        before = open_files()
        with dial("broker", 1, 24 * 3600) as sock:  # not waited for any of them to its end
            assert sock.getpeername()[1] == server.getsockname()[1]
            assert sock.gettimeout() == 24 * 3600
        assert open_files() == before


def test_an_address_that_refuses_costs_no_wait(named, monkeypatch):
    monkeypatch.setattr(dialling, "NEXT_AFTER_S", 24 * 3600)
    with socket.create_server(("", 0)) as server:
        named(free_port(), server.getsockname()[1])
        with dial("broker", 1, PATIENCE_S) as sock:
            assert sock.getpeername()[1] == server.getsockname()[1]


def test_why_there_is_no_connection_is_told(named):
    before = open_files()
    named(free_port())
    with pytest.raises(ConnectionRefusedError):
        dial("broker", 1, PATIENCE_S)
    with swallowing() as dead:
        named(free_port(), dead)
        with pytest.raises(TimeoutError):
            dial("broker", 1, 0.3)
    assert open_files() == before


def test_a_name_that_nobody_knows_is_an_error_of_the_resolver():
    with pytest.raises(socket.gaierror):
        dial("no-such-host.invalid", 1, PATIENCE_S)
