"""What the daemon says of a request that it cannot read, in the words of the command line."""

import re
from pathlib import Path

import pytest

from gateway.cli.bad_requests import bad_request
from gateway.domain.text import Text

TASKS = Path(__file__).parents[2] / "gateway" / "tasks"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            "'why' must be a text of 1 to 200 characters",
            Text("--why：写 1 到 200 个字", "--why: 1 to 200 characters"),
        ),
        (
            "'by' must name who asks: a staff code of 1 to 64 letters and digits, no name",
            Text(
                "--as：写员工工号（1 到 64 个字母和数字），不写姓名",
                "--as: a staff code of 1 to 64 letters and digits, no name",
            ),
        ),
        (
            "'month' must be a month, as 2026-11",
            Text("MONTH：月份写成 2026-11", "MONTH: a month is written 2026-11"),
        ),
        ("'for_ms' must be odd", Text("--for-ms：must be odd", "--for-ms: must be odd")),
        ("something else", Text("something else", "something else")),
    ],
)
def test_the_option_stands_first_and_the_rest_in_the_language_spoken(
    error: str, words: Text
) -> None:
    assert bad_request(error) == words


@pytest.mark.parametrize("file", ["commands.py", "patrol_commands.py", "acceptance_commands.py"])
def test_what_the_daemon_says_of_a_text_a_date_or_a_code_has_words(file: str) -> None:
    source = (TASKS / file).read_text("utf-8")
    shapes = re.findall(r"must be a (?:text|date|month|staff code|number of people)[^\"]*", source)
    assert shapes
    for shape in shapes:
        filled = re.sub(r"\{[^}]*\}", "7", shape)
        assert bad_request(f"'note' {filled}").zh.isascii() is False, shape
        assert "must" not in bad_request(f"'note' {filled}").zh
