"""Child processes of the demo and the tests: started with a log file, always ended by their pid."""

import asyncio
import os
import shlex
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

Process = asyncio.subprocess.Process


def environment_of(unit: Path) -> dict[str, str]:
    """What a unit file sets with `Environment=`: a program without it is not the one that runs."""
    lines = unit.read_text("utf-8").splitlines()
    words = " ".join(line.partition("=")[2] for line in lines if line.startswith("Environment="))
    return dict(word.split("=", 1) for word in shlex.split(words))


async def spawn(argv: Sequence[str], log: Path, env: Mapping[str, str] | None = None) -> Process:
    """Start a program in a session of its own (a Ctrl-C is ours to pass on), output into `log`."""
    environment = None if env is None else {**os.environ, **env}
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            env=environment,
        )


async def end(process: Process, *, within_s: float = 5.0) -> int:
    """Ask it to stop, kill it if it does not; return its exit code once it is gone."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(within_s):
                    await process.wait()
            except TimeoutError:
                process.kill()
    return await process.wait()


@asynccontextmanager
async def running(
    argv: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    within_s: float = 5.0,
) -> AsyncIterator[Process]:
    """A program that runs inside the block and is gone after it, however the block is left."""
    process = await spawn(argv, log, env)
    try:
        yield process
    finally:
        await asyncio.shield(end(process, within_s=within_s))


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, for people; says so when there are none."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    return "\n".join(text.strip().splitlines()[-lines:]) or "(it wrote nothing)"
