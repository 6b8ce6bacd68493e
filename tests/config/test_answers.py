"""A file of answers for an acceptance."""

from pathlib import Path

import pytest

from gateway.config.answers import read_answers
from gateway.config.shipped import shipped_dir
from gateway.domain.acceptance import Part


def read(tmp_path, text):
    path = tmp_path / "answers.yaml"
    path.write_text(text, "utf-8")
    return read_answers(path)


def test_numbers_stay_as_they_are_written_and_a_list_has_an_answer_for_each_time(tmp_path):
    answers, problems = read(
        tmp_path,
        "point/a.b: 230.20\npoint/a.c: [280, '28', ok]\npanel/*: true\ntag/x:\nclock/*: 0\n",
    )
    assert problems == ()
    assert answers == {
        "point/a.b": ("230.20",), "point/a.c": ("280", "28", "ok"), "panel/*": ("ok",),
        "tag/x": ("",), "clock/*": ("0",),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("point/a.b: {x: 1}\n", "bad_answer"), ("point/a.b: [[1]]\n", "bad_answer"),
        ("point/a.b: false\n", "bad_answer"), ("1: ok\n", "bad_answer"),
        ("a: 1\na: 2\n", "duplicate_key"),
    ],
)  # fmt: skip
def test_what_is_no_answer_has_its_place(tmp_path, text, code):
    _, problems = read(tmp_path, text)
    assert [problem.code for problem in problems] == [code]
    assert problems[0].place.line > 0


def test_the_example_has_answers_for_every_part():
    answers, problems = read_answers(shipped_dir() / "answers.example.yaml")
    assert problems == ()
    assert {key.partition("/")[0] for key in answers} == {*Part, "points"} - {Part.UPLINK}
    assert "answers.example.yaml" in (Path(__file__).parents[2] / "README.md").read_text("utf-8")


def test_a_file_that_is_not_there_is_a_problem(tmp_path):
    answers, problems = read_answers(tmp_path / "none.yaml")
    assert (answers, len(problems)) == ({}, 1)
