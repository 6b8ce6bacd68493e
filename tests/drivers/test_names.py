"""Names of hosts where the name server is slow or dead: nobody waits for it."""

import asyncio
import socket
from threading import Event

import pytest

from gateway.domain.errors import BusDown
from gateway.domain.points import Table
from gateway.domain.site import Bus, TcpLink
from gateway.drivers.modbus import open_bus
from gateway.drivers.names import HostAddresses, system_addresses
from tests.drivers.test_modbus import ANSWER_MS, eventually, serve_counting, tcp_peer

PATIENCE_S = 30.0
AT_ONCE_S = 0.001


def failing(_host, _port):
    raise socket.gaierror(socket.EAI_NONAME, "unknown")


async def test_an_address_is_never_looked_up():
    for address in ("192.168.1.20", "::1", "fd00::7"):
        assert await HostAddresses(address, 502, failing).find(0) == [address]


async def test_a_name_is_looked_up_anew_each_time():
    answers = iter([["10.0.0.1"], ["10.0.0.2", "10.0.0.3"]])
    host = HostAddresses("bridge", 502, lambda *_: next(answers))
    assert await host.find(PATIENCE_S) == ["10.0.0.1"]
    assert await host.find(PATIENCE_S) == ["10.0.0.2", "10.0.0.3"]


async def test_the_last_addresses_go_on_while_nobody_tells_new_ones():
    answers = iter([["10.0.0.1"]])

    def once(_host, _port):
        for found in answers:
            return found
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    host = HostAddresses("bridge", 502, once)
    for _ in range(3):
        assert await host.find(PATIENCE_S) == ["10.0.0.1"]


async def test_a_look_up_that_hangs_holds_one_thread_and_nobody_up():
    let_go, asked = Event(), []

    def hang(_host, _port):
        asked.append(True)
        assert let_go.wait(PATIENCE_S)
        return ["10.0.0.1"]

    host = HostAddresses("bridge", 502, hang)
    for _ in range(20):
        with pytest.raises(socket.gaierror, match="no name server"):
            await host.find(AT_ONCE_S)
    let_go.set()
    assert await host.find(PATIENCE_S) == ["10.0.0.1"], "what was asked for first"
    assert len(asked) == 1


def test_a_look_up_that_outlives_its_loop_hurts_nobody():
    let_go = Event()

    def hang(_host, _port):
        assert let_go.wait(PATIENCE_S)
        return ["10.0.0.1"]

    async def ask():
        with pytest.raises(socket.gaierror):
            await HostAddresses("bridge", 502, hang).find(AT_ONCE_S)

    asyncio.run(ask())  # and does not wait for the thread
    let_go.set()


@pytest.mark.parametrize("name", ["a" * 70 + ".lan", "a\0.lan"])
def test_what_no_host_can_be_called_is_an_unknown_host(name):
    with pytest.raises(socket.gaierror):
        system_addresses(name, 502)


async def test_a_bus_is_found_by_its_name_once_the_name_server_knows_it():
    knows = []

    def look_up(_host, _port):
        if not knows:
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        return knows

    async with tcp_peer(serve_counting) as (port, _):
        bus = Bus("b", TcpLink("bridge.lan", port))
        async with open_bus(bus, look_up=look_up) as door:
            with pytest.raises(BusDown, match=r"no name server answers where bridge\.lan is"):
                await door.read(3, Table.INPUT, 5, 1, ANSWER_MS)
            knows += ["::1", "127.0.0.1"]  # nobody listens at the first
            assert await eventually(lambda: door.read(3, Table.INPUT, 5, 1, ANSWER_MS)) == [5]


async def test_a_look_up_that_breaks_is_told_to_who_waits():
    def broken(host, _port):
        raise KeyError(host)

    with pytest.raises(KeyError):
        await HostAddresses("meter.example", 502, broken).find(60)
