"""Asking over a Unix socket: one line in, one line out, and nothing that a caller sends hurts."""

import asyncio
import errno
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.drivers.sockets import (
    MAX_PEERS,
    MAX_REQUEST,
    Message,
    NoAnswer,
    NoDaemon,
    Peer,
    _line,
    _parts,
    _refuses,
    _send,
    ask,
    connected,
    request,
    serve,
)

PATIENCE_S = 60.0


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="gw") as directory:  # a socket's path is at most 107
        yield Path(directory) / "daemon.sock"


async def echo(message: Message, peer: Peer) -> Message:
    return {"ok": True, "got": message, "uid": peer.uid, "pid": peer.pid}


async def raw(path: Path, sent: bytes, lines: int = 1) -> list[bytes]:
    reader, writer = await asyncio.open_unix_connection(path)
    async with asyncio.timeout(20):
        writer.write(sent)
        got = [await reader.readline() for _ in range(lines)]
    writer.close()
    return got


async def test_a_request_is_answered_and_the_caller_known(path: Path) -> None:
    async with serve(path, echo):
        answer = await request(path, {"verb": "状态"})
    assert answer == {
        "ok": True,
        "got": {"verb": "状态"},
        "uid": os.getuid(),
        "pid": os.getpid(),
    }


async def test_the_command_line_asks_without_a_loop(path: Path) -> None:
    async with serve(path, echo):
        answer = await asyncio.to_thread(ask, path, {"verb": "status"})
    assert answer["got"] == {"verb": "status"}


async def test_one_connection_may_ask_again_and_again(path: Path) -> None:
    async with serve(path, echo):
        got = await raw(path, b'{"n":1}\n{"n":2}\n', lines=2)
    assert [b'"n":1' in got[0], b'"n":2' in got[1]] == [True, True]


@pytest.mark.parametrize(
    "sent",
    [b"status\n", b"[1]\n", b"null\n", b"\n", b"\xff\xfe\n", b"[" * 60_000 + b"\n", b'{"a":\n'],
)
async def test_what_is_no_request_gets_one_clear_error_and_the_next_is_heard(
    path: Path, sent: bytes
) -> None:
    async with serve(path, echo):
        refusal, answer = await raw(path, sent + b'{"n":1}\n', lines=2)
    assert b'"code":"bad_request"' in refusal
    assert b'"n":1' in answer


async def test_an_endless_line_is_refused_and_others_go_on(path: Path) -> None:
    async with serve(path, echo):
        (refusal,) = await raw(path, b"x" * (MAX_REQUEST * 3))
        assert b'"code":"too_long"' in refusal
        assert (await request(path, {}))["ok"]


async def test_an_error_in_a_verb_is_an_answer_and_not_an_end(path: Path) -> None:
    async def fail(message: Message, peer: Peer) -> Message:
        if message:
            raise KeyError("rule")
        return {"ok": True}

    async with serve(path, fail):
        assert await request(path, {"verb": "x"}) == {
            "ok": False,
            "code": "failed",
            "error": "KeyError: 'rule'",
        }
        assert await request(path, {}) == {"ok": True}


async def test_a_caller_that_leaves_in_the_middle_disturbs_nobody(path: Path) -> None:
    async with serve(path, echo):
        _, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"verb": "sta')
        writer.close()
        assert (await request(path, {}))["ok"]


async def test_only_owner_and_group_may_connect(path: Path) -> None:
    async with serve(path, echo):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660  # noqa: PTH116
        assert os.listdir(path.parent) == ["daemon.sock"]  # noqa: PTH208
    assert os.listdir(path.parent) == []  # noqa: PTH208


async def test_a_left_over_socket_is_replaced(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    async with serve(path, echo):
        assert (await request(path, {}))["ok"]


async def test_a_living_daemon_is_not_pushed_aside(path: Path) -> None:
    async with serve(path, echo):
        with pytest.raises(OSError, match="another daemon listens here"):
            async with serve(path, echo):
                pass
        assert (await request(path, {}))["ok"]


@pytest.mark.parametrize("name", ["nowhere/daemon.sock", "x" * 120])
async def test_a_place_that_takes_no_socket_is_named(path: Path, name: str) -> None:
    with pytest.raises(OSError, match=name) as refused:
        async with serve(path.with_name("deeper") / name, echo):
            pytest.fail("there is no such place")
    assert refused.value.errno in (errno.ENOENT, errno.ENAMETOOLONG)


def test_a_file_that_is_no_socket_is_left_alone(path: Path) -> None:
    async def start() -> None:
        async with serve(path, echo):
            pass

    path.write_text("notes")
    with pytest.raises(FileExistsError):
        asyncio.run(start())
    assert path.read_text() == "notes"


async def test_too_many_connections_are_told_so(path: Path) -> None:
    async with serve(path, echo):
        held = [await asyncio.open_unix_connection(path) for _ in range(MAX_PEERS)]
        for reader, writer in held:  # each has been accepted
            writer.write(b"{}\n")
            await reader.readline()
        (refusal,) = await raw(path, b"")
        assert b'"code":"busy"' in refusal
        for _, writer in held:
            writer.close()


async def test_leaving_ends_open_connections(path: Path) -> None:
    async with serve(path, echo):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"{}\n")
        await reader.readline()
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_no_daemon_is_said_plainly(path: Path) -> None:
    with pytest.raises(NoAnswer, match="no daemon listens here"):
        await request(path, {})
    with pytest.raises(NoAnswer, match="no daemon listens here"):
        ask(path, {})


async def test_a_daemon_that_hangs_is_given_up(path: Path) -> None:
    async def hang(message: Message, peer: Peer) -> Message:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with serve(path, hang):
        with pytest.raises(NoAnswer, match="does not answer"):
            await request(path, {}, timeout_s=0.05)
        with pytest.raises(NoAnswer, match="does not answer"):
            await asyncio.to_thread(ask, path, {}, 0.05)


async def test_ending_while_a_client_is_connected_is_no_error(tmp_path, caplog):
    async def answer(message, peer):
        return {"ok": True}

    failures = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    async with serve(tmp_path / "s", answer):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "s")
        writer.write(b'{"verb": "x"}\n')
        await reader.readline()
    assert await reader.read() == b""
    await asyncio.sleep(0)
    writer.close()
    assert failures == []


async def test_a_conversation_asks_again_and_again_over_one_connection(path: Path) -> None:
    async with serve(path, echo), connected(path) as ask_on:
        answers = [await ask_on({"n": n}) for n in range(3)]
    assert [answer["got"]["n"] for answer in answers] == [0, 1, 2]


async def test_a_conversation_without_a_daemon_is_refused_plainly(path: Path) -> None:
    with pytest.raises(NoDaemon):
        async with connected(path):
            pass


async def test_a_conversation_ends_with_no_answer_when_the_daemon_goes(path: Path) -> None:
    async with serve(path, echo):
        talk = connected(path)
        ask_on = await talk.__aenter__()
        assert (await ask_on({}))["ok"]
    with pytest.raises(NoAnswer):
        await ask_on({})
    await talk.__aexit__(None, None, None)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_socket_may_take_fewer_connections_than_others(path: Path) -> None:
    async with serve(path, echo, mode=0o666, max_peers=1), connected(path) as ask_on:
        assert (await ask_on({}))["ok"]
        assert (await request(path, {}))["code"] == "busy"
        assert mode_of(path) == 0o666


async def test_who_asks_nothing_for_too_long_gives_its_place_to_another(path: Path) -> None:
    async with serve(path, echo, max_peers=1, idle_s=0.2):
        reader, writer = await asyncio.open_unix_connection(path)
        async with asyncio.timeout(PATIENCE_S):
            assert await reader.read() == b""  # let go
        assert (await until_free(path))["ok"]
        writer.close()


async def test_who_does_not_take_its_answer_gives_its_place_to_another(path: Path) -> None:
    async def flood(_message: Message, _peer: Peer) -> Message:
        return {"ok": True, "much": "x" * 4_000_000}  # more than any socket buffer

    async with serve(path, flood, max_peers=1, idle_s=0.2):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
            deaf.connect(str(path))
            deaf.sendall(b"{}\n")
            assert (await until_free(path))["ok"]


async def test_who_goes_on_asking_is_not_let_go(path: Path) -> None:
    async with serve(path, echo, idle_s=30.0), connected(path) as ask_on:
        for _ in range(3):
            assert (await ask_on({}))["ok"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
async def test_one_stranger_cannot_take_every_place(path: Path) -> None:
    path.parent.chmod(0o755)
    async with serve(path, echo, mode=0o666, max_peers=4, max_each=2):
        held = [as_stranger(path) for _ in range(3)]
        try:
            said = [await asyncio.to_thread(line_of, one, b"{}\n") for one in held[:2]]
            said.append(await asyncio.to_thread(line_of, held[2]))  # it is told without asking
            assert (await request(path, {}))["ok"]
        finally:
            for one in held:
                one.close()
    assert [b'"uid":65534' in line for line in said] == [True, True, False]
    assert b'"code":"busy"' in said[2]


def as_stranger(path: Path) -> socket.socket:
    """A connection of another user: the kernel notes whose it is when it is made."""
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.seteuid(65_534)
    try:
        one.connect(str(path))
    finally:
        os.seteuid(0)
    return one


def line_of(one: socket.socket, sent: bytes = b"") -> bytes:
    one.settimeout(PATIENCE_S)
    if sent:
        one.sendall(sent)
    with one.makefile("rb") as answers:
        return answers.readline()


def test_root_and_the_daemon_s_own_user_have_every_place() -> None:
    mine, other = Peer(1, os.getuid(), 0), Peer(2, 65_533, 0)
    assert _refuses(mine, [mine] * 4, 4, 2) is None
    assert _refuses(mine, [mine] * 5, 4, 2) == 4
    assert _refuses(other, [mine, mine, other, other], 4, 2) is None
    assert _refuses(other, [mine, other, other, other], 4, 2) == 2
    assert _refuses(other, [other] * 4, 4, None) is None


async def until_free(path: Path) -> Message:
    """Ask until there is a place."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            answer = await request(path, {})
            if answer.get("code") != "busy":
                return answer
            await asyncio.sleep(0.02)


LONG = [{"id": f"点{n}", "value": n / 4, "of": [n] * (n % 3)} for n in range(151)]


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"ok": True, "points": LONG[:50]},
        {"points": LONG[:51]},
        {"ok": True, "points": LONG, 7: "x", "rows": tuple(LONG[:100]), "no": None},
        {"a": LONG, "b": LONG},
    ],
)
def test_an_answer_in_parts_is_the_same_line(message: Message) -> None:
    parts = list(_parts(message))
    assert b"".join(parts) == _line(message)
    items = sum(len(value) for value in message.values() if isinstance(value, list | tuple))
    assert len(parts) >= items // 50


async def test_while_a_long_answer_is_made_others_have_their_turn() -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    class Writer:
        turns_before: int

        def write(self, _data: bytes) -> None:
            self.turns_before = turns

        async def drain(self) -> None:
            pass

    writer, message = Writer(), {"ok": True, "points": LONG * 10}
    others = asyncio.create_task(take_turns())
    await asyncio.sleep(0)
    await _send(writer, message)  # type: ignore[arg-type]
    others.cancel()
    assert writer.turns_before >= len(list(_parts(message))) - 2 > 30
