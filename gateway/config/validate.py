"""One part of a file against its model: the values, and problems at their places."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.problems import Level, Place, Problem
from gateway.config.quantities import Unreadable, shown
from gateway.config.tree import Tree, Where
from gateway.domain.text import Text

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value that a file gives, and where."""

    value: Any
    tree: Tree
    where: Where

    @property
    def place(self) -> Place:
        return self.tree.place(self.where)


Settings = Mapping[str, Setting]


def validate(model: type[M], tree: Tree, where: Where, found: list[Problem]) -> M:
    """The part at `where` as `model`. What is wrong is reported and left out of the result.

    A required field that is missing or wrong is then None, whatever its type says, so that the
    rest can still be checked; the reported error keeps such a result from ever becoming a Site.
    """
    data = tree.at(where)
    try:
        return model.model_validate(data)
    except ValidationError as error:
        items = [item for item in error.errors() if not _is_misspelt(item, model, error.errors())]
        found.extend(_problem(model, tree, where, item) for item in items)
        return _salvage(model, data)


def settings(part: BaseModel, tree: Tree, where: Where) -> dict[str, Setting]:
    """The fields that the file really gives, each with its place."""
    given = {name: getattr(part, name) for name in part.model_fields_set}
    return {
        name: Setting(value, tree, (*where, key_of(part, name)))
        for name, value in given.items()
        if value is not None
    }


def value_of(given: Settings, key: str, default: T) -> T:
    """What the file gives for `key`, as its model made it, or the default."""
    return cast("T", given[key].value) if key in given else default


def key_of(part: BaseModel | type[BaseModel], name: str) -> str:
    """How the field `name` is called in YAML."""
    model = part if isinstance(part, type) else type(part)
    return model.model_fields[name].alias or name


def is_given(tree: Tree, where: Where, key: str) -> bool:
    data = tree.at(where)
    return isinstance(data, dict) and key in data


def did_you_mean(word: str, known: Iterable[str]) -> Text:
    """`did you mean ...?`, or the list of what there is."""
    names = sorted(known)
    close = get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return Text(f"是不是 `{close[0]}`？", f"did you mean `{close[0]}`?")
    if not names:
        return Text("这里还没有任何定义", "nothing is defined there yet")
    listed = ", ".join(names[:24]) + (", ..." if len(names) > 24 else "")
    return Text(f"可用的有：{listed}", f"there are: {listed}")


def error(place: Place, code: str, fact: Text, advice: Text, *also: Place) -> Problem:
    return Problem(place, Level.ERROR, code, fact, advice, also)


def warning(place: Place, code: str, fact: Text, advice: Text, *also: Place) -> Problem:
    return Problem(place, Level.WARNING, code, fact, advice, also)


def _salvage(model: type[M], data: Any) -> M:
    fields = model.model_fields
    part = model.model_construct(**{n: None for n, f in fields.items() if f.is_required()})
    if isinstance(data, dict):
        for name in fields:
            key = key_of(model, name)
            if key in data:
                try:
                    model.__pydantic_validator__.validate_assignment(part, name, data[key])
                except ValidationError:
                    continue  # reported by the caller
    return part


def _problem(model: type[BaseModel], tree: Tree, where: Where, item: ErrorDetails) -> Problem:
    loc = tuple(step for step in item["loc"] if step != "[key]")
    spot: Where = _spot(tree, (*where, *loc))
    name = str(loc[-1]) if loc else ""
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, Unreadable):
        return error(tree.place(spot), cause.code, cause.fact, cause.advice)
    if item["type"] == "extra_forbidden":
        fact = Text(f"这里没有 `{name}` 这个键", f"`{name}` is not a key here")
        advice = did_you_mean(name, _keys(_annotation_at(model, loc[:-1])))
        return error(tree.place(spot, key=True), "unknown_key", fact, advice)
    if item["type"] == "missing":
        return _missing(name, tree.place(spot[:-1], key=True))
    fact, advice = _wrong_type(model, loc, item)
    return error(tree.place(spot), "wrong_type", fact, advice)


def _is_misspelt(item: ErrorDetails, model: type[BaseModel], all_: list[ErrorDetails]) -> bool:
    """A missing key that stands there with a typing error: one mistake, one message."""
    if item["type"] != "missing":
        return False
    near = item["loc"][:-1]
    known = _keys(_annotation_at(model, near))
    typed = [e for e in all_ if e["type"] == "extra_forbidden" and e["loc"][:-1] == near]
    guesses = [get_close_matches(str(e["loc"][-1]), known, n=1) for e in typed]
    return [item["loc"][-1]] in guesses


def _missing(name: str, place: Place) -> Problem:
    if name == "owner":
        fact = Text("没有责任人", "no owner: an alarm here would be nobody's")
        advice = Text("加上 owner: 岗位（如 电工班）", "add owner: the post that answers for it")
        return error(place, "owner_missing", fact, advice)
    fact = Text(f"缺少 `{name}`", f"`{name}` is missing")
    return error(place, "missing_key", fact, Text(f"加上 {name}: …", f"add {name}: ..."))


_EXPECTED = {
    "int_type": Text("这里要整数", "a whole number is expected"),
    "string_type": Text("这里要文字", "text is expected"),
    "bool_type": Text("这里要 true 或 false", "true or false is expected"),
    "dict_type": Text("这里要“键: 值”", "`key: value` lines are expected"),
    "model_type": Text("这里要“键: 值”", "`key: value` lines are expected"),
    "list_type": Text("这里要列表 [a, b]", "a list [a, b] is expected"),
    "too_short": Text("列表太短", "the list is too short"),
    "too_long": Text("列表太长", "the list is too long"),
    "string_too_short": Text("不能为空", "it must not be empty"),
    "string_too_long": Text("文字太长", "the text is too long"),
    "string_pattern_mismatch": Text(
        "只能用字母、数字、- 和 _，最多 64 个", "only letters, digits, - and _, at most 64"
    ),
}


def _wrong_type(
    model: type[BaseModel], loc: tuple[int | str, ...], item: ErrorDetails
) -> tuple[Text, Text]:
    typed, ctx = shown(item["input"]), item.get("ctx", {})
    fact = Text(f"`{typed}` 不能用在这里", f"`{typed}` does not fit here")
    if item["type"] in ("enum", "literal_error"):
        return fact, did_you_mean(typed, _choices(_annotation_at(model, loc)))
    if item["type"] in ("greater_than_equal", "less_than_equal"):
        word, bound = ("最小", ctx["ge"]) if "ge" in ctx else ("最大", ctx["le"])
        least = "at least" if "ge" in ctx else "at most"
        return fact, Text(f"{word} {bound}", f"{least} {bound}")
    if item["type"] == "string_type" and isinstance(item["input"], int | float):
        advice = Text(
            f'这里要文字：加引号 "{typed}"', f'text is expected: put it in quotes "{typed}"'
        )
        return fact, advice
    return fact, _EXPECTED.get(item["type"], Text(item["msg"], item["msg"]))


def _spot(tree: Tree, where: Where) -> Where:
    """`where` without the steps that pydantic adds for the arms of a union."""
    kept: Where = ()
    for step in where:
        below = tree.at(kept)
        known = isinstance(below, dict | list)
        if known:
            kept = (*kept, step)
    return kept


def _annotation_at(model: Any, loc: tuple[int | str, ...]) -> Any:
    for step in loc:
        models = [m for m in _inside(model) if isinstance(m, type) and issubclass(m, BaseModel)]
        for candidate in models:
            for name, field in candidate.model_fields.items():
                if key_of(candidate, name) == step:
                    model = field.annotation
                    break
            else:
                continue
            break
    return model


def _inside(annotation: Any) -> list[Any]:
    """The annotation and everything it is made of: Optional, list, dict, Annotated."""
    return [annotation, *(deep for arg in get_args(annotation) for deep in _inside(arg))]


def _keys(annotation: Any) -> list[str]:
    models = [m for m in _inside(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]
    return [key_of(model, name) for model in models for name in model.model_fields]


def _choices(annotation: Any) -> list[str]:
    inside = _inside(annotation)
    enums = [
        str(member.value)
        for e in inside
        if isinstance(e, type) and issubclass(e, Enum)
        for member in e
    ]
    return enums or [word for word in inside if isinstance(word, str)]
