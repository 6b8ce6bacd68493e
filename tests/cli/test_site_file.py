"""The site file read by another process: what comes back, and what the daemon does without."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from gateway.cli.site_file import SiteRead, begin, read_apart, read_here
from gateway.domain.errors import SiteRefused
from gateway.domain.text import Lang

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "config" / "site.example.yaml"

IN_A_FORK = """
import sys
from functools import partial
from pathlib import Path
from gateway.cli.site_file import begin, read_here
from gateway.domain.text import Lang

answer = begin(partial(read_here, Path(sys.argv[1]), None, Lang.EN))
found = answer()
assert answer is not None and found.site is not None, found
heavy = {"pydantic", "ruamel", "gateway.config.load"} & set(sys.modules)
print(len(found.site.devices), *sorted(heavy))
"""
A_FORK_THAT_DIES = """
import os
from gateway.cli.site_file import SiteRead, begin

here = os.getpid()

def read():
    if os.getpid() != here:
        raise MemoryError
    return SiteRead(None, why="read here")

print(begin(read)().why)
"""


def _python(code: str, *words: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_fork_gives_the_site_and_leaves_what_read_it_behind():
    here = read_here(EXAMPLE, None, Lang.EN)
    assert here.site is not None
    assert _python(IN_A_FORK, EXAMPLE) == str(len(here.site.devices))


def test_a_fork_that_dies_is_made_up_for():
    assert _python(A_FORK_THAT_DIES) == "read here"


def test_a_fresh_process_gives_the_very_same_site():
    store = Path("/var/lib/elsewhere")
    apart = read_apart(EXAMPLE, store, Lang.EN)
    assert apart == read_here(EXAMPLE, store, Lang.EN)
    assert apart.taken().store.directory == store


@pytest.mark.parametrize(("lang", "word"), [(Lang.ZH, "错误["), (Lang.EN, "error[")])
def test_what_is_wrong_comes_back_in_the_language_that_was_asked_for(tmp_path, lang, word):
    path = tmp_path / "site.yaml"
    path.write_text("- a\n", encoding="utf-8")
    apart = read_apart(path, None, lang)
    assert apart == read_here(path, None, lang)
    with pytest.raises(SiteRefused) as refused:
        apart.taken()
    assert refused.value.detail.startswith(word)
    assert refused.value.why.startswith(f"{path}:1: ")


def test_without_a_fresh_process_this_one_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    assert read_apart(EXAMPLE, None, Lang.EN).taken().id


def test_without_a_fork_this_process_reads(monkeypatch):
    def refuse() -> int:
        raise OSError("no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    assert begin(partial(SiteRead, None, why="here"))().why == "here"
