"""A case as a sheet, whatever the daemon's answer lacks."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.case_sheet import lines_of
from gateway.domain.text import Lang

AT = {"at": 1_795_319_370_508, "clk": "est", "err": None, "boot": "b1", "mono": 5_000}
CASE = {
    "case": "e1-A-3", "sev": "alarm", "say": {"zh": "燃气泄漏", "en": "Gas leak"},
    "place": "1F 厨房", "device": "kitchen-gas", "bus": "plant-room", "unit_id": 7,
    "table": "holding", "register": 301, "val": 27.0113, "lim": 20.0, "unit": "%LEL",
    "rule": "kitchen-gas.concentration/gas_alarm", "first_out": True, "drill": False,
    "test": False, "activations": 7, "raised": AT, "sounded": AT,
    "acked": {**AT, "boot": "b2", "at": AT["at"] + 60_000, "mono": 9, "by": "panel"},
    "arrived": {**AT, "mono": 95_000, "by": "E07", "proof": 3, "place": "1F 厨房"},
    "finding": {**AT, "mono": 99_000, "by": "E07", "verdict": "false", "cause": "other",
                "actions": ["aired"], "text": "油烟机没开", "called_119": False,
                "evacuated": None},
    "closed": None, "waits_for_say": {"zh": "报警还没有复位", "en": "The alarm is not reset yet"},
    "aud": {"inst": {"stored": {"at": AT["at"], "got": AT}, "silent": None},
            "civil": {"silent": AT}, "fire": {"silent": None}},
    "evidence": {"whole": True,
                 "reply": {"table": "holding", "start": 301, "words": [16856, 6029]},
                 "before": {"kitchen-gas.concentration": [[-900, 0.4], [-400, 27.0113]]},
                 "after": {"kitchen-gas.concentration": [[0, 27.0113], [9, None, "offline"]]}},
}  # fmt: skip


def test_the_sheet_has_all_that_people_ask_about_a_case() -> None:
    text = "\n".join(lines_of(CASE, Lang.EN))
    for said in (
        "Case A-3  ALARM Gas leak  first-out  chattering x7",
        "kitchen-gas, bus plant-room, unit 7  holding register 301",
        "27.011 %LEL (limit 20 %LEL)",
        "+60 s  acknowledged  panel",
        "+90 s  on site  E07  (by tap, proof 3)",
        "Verdict: False alarm; Other (say what); Aired the room; 119 called: no",
        "油烟机没开",
        "  bureau: no receipt in time",
        "  fire brigade: no receipt yet",
        "raw words (holding from 301, hexadecimal): 41D8 178D",
        "before: 2 readings, 0.4 to 27.011 %LEL",
        "after: 2 readings, 27.011 to 27.011 %LEL, 1 not valid",
        "Not closed: The alarm is not reset yet",
    ):
        assert said in text, said


def test_who_gave_no_receipt_stands_there_in_chinese() -> None:
    text = "\n".join(lines_of(CASE, Lang.ZH))
    assert "民政部门: 没有按时回执" in text
    assert "到场  E07  (贴卡，证明等级 3)" in text
    assert "未销号：报警还没有复位" in text


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(CASE, JSON)), st.sampled_from([*CASE]))
def test_no_shape_of_case_breaks_the_sheet(odd: dict[str, object], missing: str) -> None:
    lines_of(odd, Lang.EN)
    lines_of({key: part for key, part in CASE.items() if key != missing} | odd, Lang.ZH)
