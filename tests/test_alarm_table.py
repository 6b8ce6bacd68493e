import pytest

from gateway.core.alarms import LATCHED, NEXT, QUIET
from scripts.alarm_table import PAGE, drawn, page


def test_the_diagram_in_the_docs_is_the_one_the_table_draws():
    text = PAGE.read_text(encoding="utf-8")
    assert page(text) == text, "run python -m scripts.alarm_table"


@pytest.mark.parametrize("table", [NEXT, LATCHED, QUIET])
def test_the_diagram_has_every_arrow_of_the_table(table):
    for (state, _), then in table.items():
        assert f"    {state.value} --> {then.value}: " in drawn()
