"""The console's process: one port, one socket of the daemon, and a quick end."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from pathlib import Path

import uvicorn

from gateway.domain.text import Lang
from gateway.drivers.sockets import Message, NoAnswer, connected, request
from gateway.web.feed import Feed, follow
from gateway.web.photos import Photos
from gateway.web.routes import build
from gateway.web.visit import Ask

LONGEST_HEAD = 16 * 1024  # bytes of a request's line and headers
MOST_CONNECTIONS = 100
IDLE_S = 5
DEAD_PEER_MS = 15_000  # a phone that left without a word gives its place back
END_WITHIN_S = 1
ASKING_AT_ONCE = 2
UNDECIDED = frozenset({"no_answer", "busy", "failed"})  # the daemon is there and cannot say
ASK_WITHIN_S = 8.0  # longer than the daemon's own patience with its decider


def asking(daemon: Path) -> Ask:
    """Return how to ask the daemon: a few at a time, for it takes few connections."""
    turns = asyncio.Semaphore(ASKING_AT_ONCE)

    async def ask(message: Mapping[str, object]) -> Message:
        try:
            async with asyncio.timeout(ASK_WITHIN_S), turns:
                answer = await request(daemon, message, ASK_WITHIN_S)
        except TimeoutError as error:
            raise NoAnswer("too many ask at once") from error
        if answer.get("code") in UNDECIDED:
            raise NoAnswer(f"{answer['code']}: {answer.get('error')}")
        return answer

    return ask


class _Server(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        """Take no signals: streams must end before the server waits for them, see `serve`."""
        return nullcontext()


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free one. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # What is set here, every accepted connection has.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_PEER_MS)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.bind((host, port))
        listener.listen(MOST_CONNECTIONS)
    except OSError:
        listener.close()
        raise
    return listener


async def serve(
    listener: socket.socket,
    daemon: Path,
    *,
    lang: Lang,
    hosts: Sequence[str],
    on_ready: Callable[[], None],
    photos: Path | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then end within a second, also with pages open."""
    feed, stopping = Feed(), asyncio.Event()
    config = uvicorn.Config(
        build(
            feed,
            lang=lang,
            hosts=hosts,
            stopping=stopping,
            ask=asking(daemon),
            photos=None if photos is None else Photos(photos),
        ),
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="error",  # a line for every crooked request would be a way to fill the journal
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=END_WITHIN_S,
    )
    server = _Server(config)

    def stop() -> None:
        stopping.set()  # the streams end by themselves, so that nothing has to be cut off
        feed.wake()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    following = asyncio.create_task(follow(feed, partial(connected, daemon, 5.0)))
    on_ready()
    try:
        await server.serve(sockets=[listener])
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
