"""Each folder of `cases` is a test: its site.yaml prints exactly its expected.txt.

A folder whose name ends in `.zh` is printed in Chinese. One without site.yaml is about that.
"""

from pathlib import Path

import pytest

from gateway.config.load import load_site
from gateway.config.problems import render
from gateway.domain.text import Lang

CASES = Path(__file__).parent / "cases"


@pytest.mark.parametrize("name", sorted(folder.name for folder in CASES.iterdir()))
def test_the_printed_excerpts_are_as_expected_to_the_letter(name, monkeypatch):
    monkeypatch.chdir(CASES / name)
    loaded = load_site(Path("site.yaml"))
    printed = render(loaded.problems, Lang.ZH if name.endswith(".zh") else Lang.EN)
    assert printed + "\n" == Path("expected.txt").read_text(encoding="utf-8")
    assert (loaded.site is None) == any(problem.is_error for problem in loaded.problems)
