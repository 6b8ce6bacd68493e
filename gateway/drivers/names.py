"""The addresses of a host in the house, where the name server may be slow, or dead for days.

The system's look-up cannot be called back, and may take a minute to give up. Here each has a thread
that nobody waits for, one at a time, and what was found last goes on to be used meanwhile.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

LookUp = Callable[[str, int], list[str]]


def system_addresses(host: str, port: int) -> list[str]:
    """What the system says, in its order, each once. Blocks; raises OSError."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as error:  # of the idna codec, or a NUL: no host can be called that
        raise socket.gaierror(socket.EAI_NONAME, "no name of a host") from error
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HostAddresses:
    """One host, by its name or its address."""

    def __init__(self, host: str, port: int, look_up: LookUp = system_addresses) -> None:
        self._host = host
        self._port = port
        self._look_up = look_up
        self._known: list[str] = []
        self._pending: asyncio.Future[list[str]] | None = None
        with suppress(ValueError):
            self._known = [str(ipaddress.ip_address(host))]
        self._is_name = not self._known

    async def find(self, within_s: float) -> list[str]:
        """Return the addresses as of now, else those of before. OSError when there are none."""
        if not self._is_name:
            return self._known
        if self._pending is None:
            self._pending = _begin(self._look_up, self._host, self._port)
        done, _ = await asyncio.wait({self._pending}, timeout=within_s)
        if not done and not self._known:
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        if done:
            found, self._pending = self._pending, None
            error = found.exception()
            if error is None:
                self._known = found.result()
            elif not self._known:
                raise error
        return self._known


def _begin(look_up: LookUp, host: str, port: int) -> asyncio.Future[list[str]]:
    loop = asyncio.get_running_loop()
    found: asyncio.Future[list[str]] = loop.create_future()
    found.add_done_callback(
        lambda done: done.exception()
    )  # asked for by the next who opens, or never

    def run() -> None:
        error: Exception | None = None
        addresses: list[str] = []
        try:
            addresses = look_up(host, port)
        except Exception as failed:  # noqa: BLE001 - whoever waits is told, whatever it is
            error = failed
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(tell, addresses, error)

    def tell(addresses: list[str], error: Exception | None) -> None:
        if error is None:
            found.set_result(addresses)
        else:
            found.set_exception(error)

    Thread(target=run, name="look-up", daemon=True).start()
    return found
