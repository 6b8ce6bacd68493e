"""The site file, read by a process of its own.

What reads it, YAML and schema, weighs a quarter of the daemon and is needed for a second: it would
stay in memory for months, and while it works no other thread gets its turn of the interpreter. So
at the start a fork reads the file while the daemon's modules load; later a fresh process does, and
the buses are polled meanwhile. What was read comes back pickled, from our own child.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from gateway.core import health, state  # noqa: F401 - both sides need them: before they part
from gateway.domain.errors import SiteRefused
from gateway.domain.site import Site
from gateway.domain.text import Lang

WITHIN_S = 50.0  # who asks for a reload waits a minute (cli/reload)
_READER = "from gateway.cli.site_file import main; main()"  # what it pickles is of this module


@dataclass(frozen=True, slots=True)
class SiteRead:
    """A site and the number of its warnings, or why there is none."""

    site: Site | None
    warnings: int = 0
    why: str = ""
    detail: str = ""  # every problem under its line, for people

    def taken(self) -> Site:
        """The site; SiteRefused has all that is wrong."""
        if self.site is None:
            raise SiteRefused(self.why, self.detail)
        return self.site


def read_here(path: Path, store: Path | None, lang: Lang) -> SiteRead:
    """Read the site file in this process; `store` wins over the file's folder of databases."""
    from gateway.config.load import load_site
    from gateway.config.problems import render

    # what `check` says of load and detection times is not worth waiting for at every start
    loaded = load_site(path, store_dir=store, is_timed=False)
    if loaded.site is not None:
        return SiteRead(loaded.site, warnings=len(loaded.problems))
    errors = [problem for problem in loaded.problems if problem.is_error]
    first = errors[0]
    more = f" (+{len(errors) - 1})" if len(errors) > 1 else ""
    why = f"{first.file}:{first.line}: {first.fact.in_(lang)}{more}"
    return SiteRead(None, why=why, detail=render(errors, lang))


def begin(read: Callable[[], SiteRead]) -> Callable[[], SiteRead]:
    """Let a fork of this process `read`; what is returned waits for the answer.

    Where there can be no fork, or it ends without an answer, the caller's own process reads.
    """
    if threading.active_count() > 1:  # a fork has the locks of threads that it does not have
        return read
    into, out = os.pipe()
    try:
        child = os.fork()
    except OSError:
        os.close(into)
        os.close(out)
        return read
    if child == 0:
        _tell(read, out)
    os.close(out)
    return partial(_answer, child, into, read)


def _tell(read: Callable[[], SiteRead], out: int) -> NoReturn:
    """In the fork: nothing of the parent's is flushed, closed or said at its end."""
    code = 1
    try:
        with os.fdopen(out, "wb") as pipe:
            pickle.dump(read(), pipe, pickle.HIGHEST_PROTOCOL)
        code = 0
    finally:
        os._exit(code)


def _answer(child: int, into: int, read: Callable[[], SiteRead]) -> SiteRead:
    with os.fdopen(into, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return _unpickled(text) if status == 0 else read()


def read_apart(path: Path, store: Path | None, lang: Lang) -> SiteRead:
    """Read the site file in a fresh process; for a thread of a daemon that runs."""
    words = [str(path), "" if store is None else str(store), lang.value]
    try:
        done = subprocess.run(  # noqa: S603 - our own words only
            [sys.executable, "-P", "-c", _READER, *words],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False, timeout=WITHIN_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return SiteRead(None, why=f"{path}: not read within {WITHIN_S:.0f} s")
    except OSError:
        return read_here(path, store, lang)
    return read_here(path, store, lang) if done.returncode else _unpickled(done.stdout)


def _unpickled(text: bytes) -> SiteRead:
    read = pickle.loads(text)  # noqa: S301 - from our own child, through its pipe
    if not isinstance(read, SiteRead):
        raise TypeError(f"the site file's reader answered with {type(read).__name__}")
    return read


def main() -> None:
    """The fresh process: site file, folder of databases and language in, pickled to stdout."""
    path, store, lang = sys.argv[1:]
    read = read_here(Path(path), Path(store) if store else None, Lang(lang))
    sys.stdout.buffer.write(pickle.dumps(read, pickle.HIGHEST_PROTOCOL))
