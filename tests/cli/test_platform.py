import json

import pytest

from gateway.cli.main import main
from gateway.cli.platform import show
from gateway.domain.text import Lang
from gateway.sim.duties import DUTIES, Limits, Outcome, Visit, judge


def test_every_duty_is_a_row_with_its_number_and_why_it_was_not_seen(capsys):
    judged = judge(Visit((0,), (), ()), Limits())
    show(judged, Lang.ZH, as_json=False)
    said = capsys.readouterr().out
    assert "每次上线都问候" in said
    assert "没做到" in said
    assert "birth 1: no hello within 30 s" in said
    assert "要 --applied-by" in said
    show(judged, Lang.EN, as_json=False)
    said = capsys.readouterr().out
    assert "says hello on each birth" in said
    assert "BROKEN" in said
    assert "needs --stop-by and --start-by" in said


def test_json_has_every_duty_in_both_languages(capsys):
    show(judge(Visit((0,), (), ()), Limits()), Lang.ZH, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["duty"] for row in rows] == list(DUTIES)
    assert rows[0]["outcome"] == Outcome.BROKEN
    assert all(row["say"]["zh"] and row["say"]["en"] and row["number"] for row in rows)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["http://x"], 2, "mqtts://host:port"),
        (["mqtt://x", "--stop-by", "true"], 2, "--stop-by and --start-by belong together"),
        (["mqtt://x", "--password-file", "/nowhere"], 2, "password file"),
        (["mqtt+unix:///nowhere/s"], 1, "The broker cannot be reached"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_a_code(capsys, words, code, said):
    assert main(["platform", "check", *words, "--lang", "en"]) == code
    assert said in capsys.readouterr().err
