"""Unix sockets on which one JSON object a line is asked and one is answered."""

import asyncio
import errno
import json
import logging
import os
import pwd
import socket
import stat
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gateway.domain.text import Text

log = logging.getLogger(__name__)

MAX_REQUEST = 64 * 1024
MAX_REPLY = 16 * 1024 * 1024
MAX_PEERS = 32
ITEMS_AT_ONCE = 50  # of a list: about as many as are made into text in half a millisecond
_PEERCRED = struct.Struct("3i")

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """Who asks, as the kernel knows it."""

    pid: int
    uid: int
    gid: int


def is_user(uid: int, name: str) -> bool:
    """Whether a peer is this user, or may be anybody anyway: root, and who runs this process."""
    if uid in (0, os.getuid()):
        return True
    try:
        return uid == pwd.getpwnam(name).pw_uid
    except KeyError:  # no such user on this machine
        return False


class NoAnswer(Exception):
    """Nobody listens, or what came back is no answer; `text` is for people."""

    def __init__(self, said: str, zh: str = "") -> None:
        super().__init__(said)
        self.text = Text(zh or said, said)


class NoDaemon(NoAnswer):
    """Nobody listens there at all."""


class NotAllowed(NoAnswer):
    """The system does not let this user talk to whoever listens there."""


Handle = Callable[[Message, Peer], Awaitable[Message]]
Ask = Callable[[Mapping[str, object]], Awaitable[Message]]


@asynccontextmanager
async def serve(
    path: Path,
    handle: Handle,
    *,
    mode: int = 0o660,
    max_peers: int = MAX_PEERS,
    max_each: int | None = None,
    idle_s: float | None = None,
) -> AsyncIterator[None]:
    """Answer on `path` while the block runs. Requests of one connection are answered in order.

    `max_each`: of all places so many for one user, other than root and who runs this process.
    `idle_s`: a peer that asks nothing, or does not take its answer, for so long is let go.
    A left-over socket file is replaced. Raises OSError: EADDRINUSE when somebody listens there,
    EEXIST when the path is something else than a socket.
    """
    _claim(path)
    peers: dict[asyncio.Task[Any], Peer] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task, peer = cast("asyncio.Task[Any]", asyncio.current_task()), _peer(writer)
        peers[task] = peer
        try:
            if (most := _refuses(peer, peers.values(), max_peers, max_each)) is not None:
                async with asyncio.timeout(idle_s):
                    error = f"more than {most} connections; try again"
                    await _send(writer, _refusal("busy", error))
            else:
                await _converse(reader, writer, handle, peer, idle_s)
        except OSError as error:  # the peer went away in the middle, or said nothing for too long
            log.debug("connection ended why=%s", error)
        except asyncio.CancelledError:
            # Only `serve` cancels, when it ends; asyncio's streams (before 3.12) take a handler
            # that ended by it for an error and log its traceback.
            log.debug("connection ended by us")
        finally:
            del peers[task]
            writer.close()

    listener, inode = _listen(path, mode)
    server = await asyncio.start_unix_server(connected, sock=listener, limit=MAX_REQUEST)
    try:
        yield
    finally:
        server.close()
        for task in peers:
            task.cancel()
        await asyncio.gather(*peers, return_exceptions=True)
        _release(path, inode)


async def request(path: Path, message: Mapping[str, object], timeout_s: float = 10.0) -> Message:
    """Ask once and return the answer. Raises NoAnswer."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY)
            try:
                writer.write(_line(message))
                await writer.drain()
                line = await reader.readline()
            finally:
                writer.close()
    except (OSError, ValueError) as error:  # TimeoutError is an OSError; ValueError: over the limit
        raise _no_answer(path, error) from error
    return _answer(path, line)


@asynccontextmanager
async def connected(path: Path, timeout_s: float = 10.0) -> AsyncIterator[Ask]:
    """A conversation: ask again and again over one connection, one question at a time.

    Entering and asking raise NoAnswer; after that the conversation is over.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_unix_connection(path, limit=MAX_REPLY)
    except OSError as error:
        raise _no_answer(path, error) from error

    async def ask_on(message: Mapping[str, object]) -> Message:
        try:
            async with asyncio.timeout(timeout_s):
                writer.write(_line(message))
                await writer.drain()
                line = await reader.readline()
        except (OSError, ValueError) as error:
            raise _no_answer(path, error) from error
        return _answer(path, line)

    try:
        yield ask_on
    finally:
        writer.close()


def ask(path: Path, message: Mapping[str, object], timeout_s: float = 10.0) -> Message:
    """Ask once, without an event loop, and return the answer. Raises NoAnswer.

    `timeout_s` limits each step, not the whole.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(timeout_s)
            client.connect(os.fspath(path))
            client.sendall(_line(message))
            with client.makefile("rb") as replies:
                line = replies.readline(MAX_REPLY)
    except OSError as error:
        raise _no_answer(path, error) from error
    return _answer(path, line)


def listener(path: Path) -> int | None:
    """The process that listens there, as the kernel knows it; None when nobody can be asked."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.settimeout(2)
            client.connect(os.fspath(path))
            raw = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    except OSError:
        return None
    return Peer(*_PEERCRED.unpack(raw)).pid or None


def _refuses(
    peer: Peer, peers: Collection[Peer], max_peers: int, max_each: int | None
) -> int | None:
    """The number of places that are all taken, this peer's among them; None: it may stay."""
    if len(peers) > max_peers:
        return max_peers
    is_stranger = peer.uid not in (0, os.getuid())
    if max_each is not None and is_stranger:
        return max_each if sum(each.uid == peer.uid for each in peers) > max_each else None
    return None


async def _converse(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    handle: Handle,
    peer: Peer,
    idle_s: float | None,
) -> None:
    """Until the peer leaves. TimeoutError when it is idle for too long."""
    while True:
        try:
            async with asyncio.timeout(idle_s):
                line = await reader.readline()
        except ValueError:  # the rest of an endless line is not worth reading
            await _send(writer, _refusal("too_long", f"a request is at most {MAX_REQUEST} bytes"))
            return
        if not line.endswith(b"\n"):  # the end, perhaps in the middle of a request
            return
        answer = await _reply(line, peer, handle)
        async with asyncio.timeout(idle_s):
            await _send(writer, answer)


async def _reply(line: bytes, peer: Peer, handle: Handle) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        return _refusal("bad_request", f"not JSON: {error}")
    if not isinstance(message, dict):
        return _refusal("bad_request", 'send one JSON object a line, e.g. {"verb": "status"}')
    try:
        return await handle(message, peer)
    except Exception as error:
        log.exception("request failed verb=%s", str(message.get("verb"))[:40])
        return _refusal("failed", f"{type(error).__name__}: {error}")


async def _send(writer: asyncio.StreamWriter, message: Message) -> None:
    """Send one line; a long answer is made in parts, and others have their turn between them."""
    parts: list[bytes] = []
    for part in _parts(message):
        if parts:
            await asyncio.sleep(0)
        parts.append(part)
    writer.write(b"".join(parts))
    await writer.drain()


def _parts(message: Message) -> Iterator[bytes]:
    """The bytes of `_line`, a few dozen items of a long list at a time."""
    is_long = {key for key, value in message.items() if _is_long(value)}
    if not is_long:
        yield _line(message)
        return
    before = b"{"
    for key, value in message.items():
        if key not in is_long:
            yield before + _line({key: value})[1:-2]
        else:
            yield before + _line({key: []})[1:-3]
            for at in range(0, len(value), ITEMS_AT_ONCE):
                some = _line({"": value[at : at + ITEMS_AT_ONCE]})[len(b'{"":[') : -3]
                yield b"," + some if at else some
            yield b"]"
        before = b","
    yield b"}\n"


def _is_long(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > ITEMS_AT_ONCE


def _refusal(code: str, error: str) -> Message:
    return {"ok": False, "code": code, "error": error}


def _line(message: Mapping[str, object]) -> bytes:
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _peer(writer: asyncio.StreamWriter) -> Peer:
    peer_socket = writer.get_extra_info("socket")
    raw = peer_socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEERCRED.size)
    return Peer(*_PEERCRED.unpack(raw))


def _claim(path: Path) -> None:
    """Make sure that nobody listens at `path`."""
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FileExistsError(errno.EEXIST, "is there and is no socket", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(os.fspath(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except TimeoutError:  # its queue is full: somebody is there, only slow
            pass
    raise OSError(errno.EADDRINUSE, "another daemon listens here", str(path))


def _listen(path: Path, mode: int) -> tuple[socket.socket, int]:
    """Return the listener and the inode of its file.

    It is bound under a name of its own and renamed: nobody meets it with the wrong mode.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(FileNotFoundError):
        fresh.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(os.fspath(fresh))
        fresh.chmod(mode)
        listener.listen(MAX_PEERS)
        inode = fresh.stat().st_ino
        fresh.rename(path)
    except OSError as error:
        listener.close()
        with suppress(FileNotFoundError):
            fresh.unlink()
        if error.filename is None:  # `bind` names no path, and has no number for one too long
            why = error.strerror or str(error)
            raise OSError(error.errno or errno.ENAMETOOLONG, why, str(path)) from error
        raise
    return listener, inode


def _release(path: Path, inode: int) -> None:
    with suppress(FileNotFoundError):
        if path.stat().st_ino == inode:  # not the socket of a daemon that came after us
            path.unlink()


def _answer(path: Path, line: bytes) -> Message:
    try:
        message = json.loads(line)
    except ValueError as error:
        said = f"{path}: the daemon closed without a whole answer"
        raise NoAnswer(said, f"{path}：守护进程没有答完就断开了") from error
    if not isinstance(message, dict):
        raise NoAnswer(f"{path}: the answer is no JSON object", f"{path}：应答不是 JSON 对象")
    return message


def _no_answer(path: Path, error: Exception) -> NoAnswer:
    match error:
        case FileNotFoundError() | ConnectionRefusedError():
            return NoDaemon(f"{path}: no daemon listens here", f"{path}：这里没有守护进程")
        case PermissionError():
            said = f"{path}: this user may not talk to the daemon"
            return NotAllowed(said, f"{path}：本用户无权与守护进程通话")
        case TimeoutError():
            return NoAnswer(f"{path}: the daemon does not answer", f"{path}：守护进程没有应答")
        case _:
            return NoAnswer(f"{path}: {error}")
