"""A file of answers, with which an acceptance is played without anybody at the keyboard."""

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.config.problems import Problem
from gateway.config.tree import read_tree
from gateway.config.validate import error
from gateway.domain.text import Text

WRONG = Text("回答要是文字或数，或它们的列表", "an answer is a text, a number, or a list of them")
ADVICE = Text("例：point/board.current_l1: 3.2", "such as point/board.current_l1: 3.2")

Answers = Mapping[str, tuple[str, ...]]


def read_answers(path: Path) -> tuple[Answers, tuple[Problem, ...]]:
    """By question, or by a pattern of questions, the answers in their order; and what is wrong.

    The file is one mapping: `point/board.current_l1: 3.2`, `panel/*: ok`; a list has an answer for
    each time the same thing is asked.
    """
    found: list[Problem] = []
    tree = read_tree(path, path.name, found)
    if tree is None:
        return {}, tuple(found)
    answers: dict[str, tuple[str, ...]] = {}
    for key, said in tree.data.items():
        each = said if isinstance(said, list) else [said]
        texts = [_text(one) for one in each]
        if not isinstance(key, str) or None in texts:
            found.append(error(tree.place((key,)), "bad_answer", WRONG, ADVICE))
        else:
            answers[key] = tuple(text for text in texts if text is not None)
    return answers, tuple(found)


def _text(said: Any) -> str | None:
    """As it would have been typed; decimals stay as they stand in the file."""
    if said is None:
        return ""
    if isinstance(said, bool):
        return "ok" if said else None
    if isinstance(said, str | int | Decimal):
        return f"{said:f}" if isinstance(said, Decimal) else str(said)
    return None
