"""The page of what is tested names tests and long runs that are there."""

import ast
import re
from pathlib import Path

import pytest

from scripts.benchmarks.__main__ import BENCHMARKS
from scripts.long_runs import RUNS
from tests.core.test_town import SINS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contract" / "faults-tested.md").read_text()
WANTED = (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 19, 21, 23, 24, 25)


def rows() -> dict[int, str]:
    return {int(m[1]): m[0] for m in re.finditer(r"^\| (\d+) \|.*$", PAGE, re.MULTILINE)}


@pytest.mark.parametrize("number", WANTED)
def test_every_fault_has_tests_that_exist(number):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", rows()[number])
    assert named
    for path, name in named:
        tree = ast.parse((ROOT / path).read_text())
        known = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
        known |= {t.id for n in tree.body if isinstance(n, ast.Assign) for t in n.targets
                  if isinstance(t, ast.Name)}  # fmt: skip
        assert name in known, f"{path}::{name}"


def test_every_long_run_on_the_page_can_be_asked_for():
    assert set(re.findall(r"`soak (\w+)", PAGE)) <= set(RUNS)
    assert set(re.findall(r"`bench (\w+)", PAGE)) <= set(BENCHMARKS)


def test_every_known_sin_is_on_the_page_as_what_it_is_found():
    told = re.findall(r"^\| (?!Sin|---)([^|]+) \| (\w+) \|$", PAGE, re.MULTILINE)
    assert [found for _, found in told] == list(SINS.values())
