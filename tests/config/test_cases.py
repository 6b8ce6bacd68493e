"""Each folder of `cases` is a test: its site.yaml prints exactly expected.en.txt and .zh.txt.

One without site.yaml is about that. After a change of wording, write the files anew with
`python tests/config/test_cases.py` and read the difference.
"""

import os
import re
from pathlib import Path

import pytest

from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.domain.text import Lang

CASES = Path(__file__).parent / "cases"
NAMES = sorted(folder.name for folder in CASES.iterdir() if folder.is_dir())
ACCEPTED = {"bom_and_crlf"}  # folders that show that something is not a mistake


def test_there_are_at_least_40_different_mistakes():
    assert len(set(NAMES) - ACCEPTED) >= 40


@pytest.mark.parametrize("name", NAMES)
def test_the_printed_excerpts_are_as_expected_to_the_letter(name, monkeypatch):
    monkeypatch.chdir(CASES / name)
    keep_apart()
    loaded = load_site(Path("site.yaml"))
    for lang in Lang:
        expected = Path(f"expected.{lang}.txt").read_text(encoding="utf-8")
        assert render(loaded.problems, lang) + "\n" == expected
    assert (loaded.site is None) == any(problem.is_error for problem in loaded.problems)
    assert bool(loaded.problems) == (name not in ACCEPTED)
    for problem in loaded.problems:  # what, where and what to do, none of it left in one language
        assert re.search("[\u4e00-\u9fff]", problem.fact.zh + problem.advice.zh)
        assert re.search("[a-z]{2}", problem.fact.en)
        assert problem.advice.en
        assert problem.line == 0 or problem.place.text


def keep_apart() -> None:
    """People are nobody's to read; git keeps no such modes."""
    for people in Path().glob("people.yaml"):
        people.chmod(0o640)


def write_anew() -> None:
    for name in NAMES:
        os.chdir(CASES / name)
        keep_apart()
        problems = load_site(Path("site.yaml")).problems
        for lang in Lang:
            Path(f"expected.{lang}.txt").write_text(render(problems, lang) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_anew()
