import json
from pathlib import Path

from gateway.cli.check import check
from gateway.config.shipped import shipped_dir
from gateway.domain.text import Lang

CASES = Path(__file__).parent.parent / "config" / "cases"


def test_a_good_file_exits_0_and_says_what_is_in_it(capsys):
    assert check(shipped_dir() / "site.example.yaml", lang=Lang.EN, as_json=False) == 0
    printed = capsys.readouterr()
    assert "6 devices" in printed.err
    assert "scale_unverified" in printed.out


def test_a_bad_file_exits_2_and_prints_its_problems_on_stdout(capsys):
    path = CASES / "five_mistakes_at_once" / "site.yaml"
    assert check(path, lang=Lang.ZH, as_json=False) == 2
    printed = capsys.readouterr()
    assert printed.out.count("错误[") == 5
    assert "不能用" in printed.err


def test_json_has_every_problem_with_its_place(capsys):
    path = CASES / "five_mistakes_at_once" / "site.yaml"
    assert check(path, lang=Lang.EN, as_json=True) == 2
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is False
    assert len(document["problems"]) == 5
    twice = next(p for p in document["problems"] if p["code"] == "unit_twice")
    assert (twice["line"], twice["column"]) == (13, 11)
    assert twice["also"][0]["line"] == 8
    assert twice["fact"]["zh"]


def test_json_keeps_the_shape_that_others_rely_on(capsys):
    check(CASES / "unit_0_and_unit_248" / "site.yaml", lang=Lang.EN, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"ok", "sha", "problems", "coverage", "institution"}
    assert document["sha"] is None
    for problem in document["problems"]:
        assert set(problem) == {
            "level", "code", "file", "line", "column", "fact", "advice", "also",
        }  # fmt: skip
        assert set(problem["fact"]) == set(problem["advice"]) == {"zh", "en"}
        assert problem["level"] in ("error", "warning")
        assert problem["line"] >= 1


def test_json_of_a_good_file_has_its_warnings_and_its_sha(capsys):
    check(CASES / "bus_without_devices" / "site.yaml", lang=Lang.ZH, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert len(document["sha"]) == 64
    assert [problem["code"] for problem in document["problems"]] == ["bus_unused"]


def test_what_its_type_asks_of_a_house_is_repeated_with_what_is_unverified(capsys):
    path = shipped_dir() / "site.example.yaml"
    assert check(path, lang=Lang.ZH, as_json=False) == 0
    said = capsys.readouterr().err
    assert "至少每 2 小时一次 (GB/T 40248-2021 7.3.5)\n" in said
    assert "(公安部61号令 40); 未核实：" in said
    assert check(path, lang=Lang.EN, as_json=True) == 0
    institution = json.loads(capsys.readouterr().out)["institution"]
    assert institution["type"] == "elder-care"
    night = next(duty for duty in institution["duties"] if duty["name"] == "night_round")
    assert (night["every_ms"], night["is_must"], night["unverified"]) == (7_200_000, True, None)
