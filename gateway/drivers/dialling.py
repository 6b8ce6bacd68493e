"""A TCP connection to a name that may have several addresses, some of them dead.

The addresses are tried in the order of the resolver, each a moment after the one before it, and the
first that connects is used (RFC 8305, happy eyeballs): one that swallows everything costs a second,
not the whole wait. Blocks: for threads of their own.
"""

import errno
import os
import selectors
import socket
import time
from collections.abc import Iterator, Sequence
from typing import Any

NEXT_AFTER_S = 1.0  # slower than RFC 8305 would have it: a modem's first packet may take as long

_Address = tuple[socket.AddressFamily, Any]


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Return a connected socket, blocking with that timeout; OSError says why there is none.

    No address has longer than `timeout_s`, all together no more than twice that.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    end_s = time.monotonic() + min(2 * timeout_s, timeout_s + NEXT_AFTER_S * (len(addresses) - 1))
    failure: OSError = TimeoutError("timed out")
    opened: list[socket.socket] = []
    connected: socket.socket | None = None
    try:
        with selectors.DefaultSelector() as under_way:
            for outcome in _attempts(addresses, end_s, under_way, opened):
                if isinstance(outcome, socket.socket):
                    connected = outcome
                    connected.settimeout(timeout_s)
                    return connected
                failure = outcome
    finally:
        for sock in opened:
            if sock is not connected:
                sock.close()
    raise failure


def _attempts(
    addresses: Sequence[_Address],
    end_s: float,
    under_way: selectors.BaseSelector,
    opened: list[socket.socket],
) -> Iterator[socket.socket | OSError]:
    """Yield how each attempt came out, in the order in which that is known."""
    next_s = time.monotonic()
    left = iter(addresses)
    address = next(left, None)
    while address is not None or under_way.get_map():
        if address is not None and (time.monotonic() >= next_s or not under_way.get_map()):
            next_s = time.monotonic() + NEXT_AFTER_S
            try:
                sock = _begin(address, opened)
                under_way.register(sock, selectors.EVENT_WRITE, sock)
            except OSError as error:
                yield error
            address = next(left, None)
        until_s = end_s if address is None else min(next_s, end_s)
        for key, _ in under_way.select(max(0.0, until_s - time.monotonic())):
            sock = key.data
            under_way.unregister(sock)
            code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            yield OSError(code, os.strerror(code)) if code else sock
        if time.monotonic() >= end_s:
            yield TimeoutError("timed out")
            return


def _begin(address: _Address, opened: list[socket.socket]) -> socket.socket:
    """Return a socket that connects; OSError when it cannot even begin."""
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    opened.append(sock)
    sock.setblocking(False)
    code = sock.connect_ex(address[1])
    if code not in (0, errno.EINPROGRESS):
        raise OSError(code, os.strerror(code))
    return sock
