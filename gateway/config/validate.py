"""One part of a file against its model: the values, and problems at their places."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config import slips
from gateway.config.problems import Level, Place, Problem
from gateway.config.quantities import Unreadable, duration, shown
from gateway.config.tree import Tree, Where
from gateway.config.words import MEANINGS, MEANT
from gateway.domain.text import Text

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

# Where a key of the site file belongs, when it stands somewhere else.
_PARTS = {
    name: MEANINGS[model].keys()
    for name, model in {
        "buses": "BusPart", "devices": "DevicePart", "panel": "PanelPart", "uplink": "UplinkPart",
        "site": "House", "store": "StorePart", "uplink: tls": "TlsPart", "rules": "RulePart",
    }.items()
}  # fmt: skip


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
        part = model.model_validate(data)
    except ValidationError as error:
        all_ = error.errors()
        split = _split_by_commas(data, all_)
        items = [
            item
            for item in all_
            if item["loc"][:1] not in split and not _is_misspelt(item, model, all_)
        ]
        found.extend(_problem(model, tree, where, item) for item in items)
        _report_empty(model, tree, where, {item["loc"][:1] for item in all_}, found)
        return _salvage(model, data)
    _report_empty(model, tree, where, set(), found)
    return part


def _split_by_commas(data: Any, all_: list[ErrorDetails]) -> set[tuple[int | str, ...]]:
    """The keys before such a rest as the `600` of `9,600`: that is told, and once."""
    keys = list(data) if isinstance(data, dict) else []
    rests = {item["loc"][0] for item in all_ if item["loc"] and _is_rest(item)}
    return {
        (keys[n - 1],) for n, key in enumerate(keys) if n and (key in rests or str(key) in rests)
    }


def _is_rest(item: ErrorDetails) -> bool:
    """A number that a comma made an entry of its own: `{valid: 0,07}`, `{baud: 9,600}`."""
    name = str(item["loc"][0])
    is_key = item["type"] in ("extra_forbidden", "invalid_key")
    is_alone = item["type"] == "invalid_key" or item["input"] is None
    return is_key and is_alone and re.fullmatch(r"\d+(\s*\D\S*)?", name) is not None


def _report_empty(
    model: type[BaseModel],
    tree: Tree,
    where: Where,
    reported: set[tuple[int | str, ...]],
    found: list[Problem],
) -> None:
    """A key with nothing after its colon: an optional one would be left out in silence."""
    data = tree.at(where)
    for name, field in model.model_fields.items() if isinstance(data, dict) else ():
        key = key_of(model, name)
        if key in data and data[key] is None and (key,) not in reported:
            if field.annotation is Any and name in ("source", "note"):
                continue
            fact, advice = _empty(model.__name__, key, is_needed=False)
            found.append(error(tree.place((*where, key), key=True), "empty_value", fact, advice))


def _is_empty(tree: Tree, spot: Where) -> bool:
    """True for a key that is there, with nothing after its colon."""
    return is_given(tree, spot[:-1], str(spot[-1])) and tree.at(spot) is None


def _empty(model: str, key: str, *, is_needed: bool) -> tuple[Text, Text]:
    meaning = MEANINGS.get(model, {}).get(key, Text("它的值", "its value"))
    fact = Text(f"`{key}:` 后面没有内容", f"nothing is written after `{key}:`")
    if is_needed:
        return fact, Text(f"写上：{meaning.zh}", f"write {meaning.en}")
    return fact, Text(
        f"写上：{meaning.zh}；不需要就删掉这一行", f"write {meaning.en}; or remove this line"
    )


def _needed(model: type[BaseModel], loc: tuple[int | str, ...]) -> set[str]:
    """The keys that must be given in the part at `loc`."""
    inside = _inside(_annotation_at(model, loc))
    models = [m for m in inside if isinstance(m, type) and issubclass(m, BaseModel)]
    return {key_of(m, n) for m in models for n, f in m.model_fields.items() if f.is_required()}


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
    guess = meant_by(word, names)
    if guess is not None and slips.full_width(word) is not None:
        return Text(
            f"是不是 `{guess}`？用英文半角重新输入（里面有全角或看不见的字符）",
            f"did you mean `{guess}`? Type it again: it holds full-width or invisible characters",
        )
    if guess is not None:
        return Text(f"是不是 `{guess}`？", f"did you mean `{guess}`?")
    if not names:
        return Text("这里还没有任何定义", "nothing is defined there yet")
    listed = ", ".join(names[:24]) + (", ..." if len(names) > 24 else "")
    return Text(f"可用的有：{listed}", f"there are: {listed}")


def meant_by(word: str, known: Iterable[str]) -> str | None:
    """The one of the known words that was probably meant."""
    names = {name.casefold().replace("-", "_"): name for name in known}
    typed = (slips.full_width(word) or word).strip().casefold().replace("-", "_")
    if typed in names:
        return names[typed]
    for name in MEANT.get(typed, ()):
        if name in names:
            return names[name]
    close = get_close_matches(typed, names, n=1, cutoff=0.6)
    if close:
        return names[close[0]]
    within = [name for name in names if len(typed) >= 4 and (typed in name or name in typed)]
    return names[within[0]] if len(within) == 1 else None


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
    is_key = spot[-1:] == loc[-1:] and name.isidentifier() and item["type"] != "extra_forbidden"
    if is_key and _is_empty(tree, spot):
        is_needed = name in _needed(model, loc[:-1])
        fact, advice = _empty(_model_at(model, loc[:-1]), name, is_needed=is_needed)
        return error(tree.place(spot, key=True), "empty_value", fact, advice)
    if item["type"] in ("dict_type", "model_type") and spot and _is_empty(tree, spot):
        fact, _ = _empty("", str(spot[-1]), is_needed=True)
        advice = Text("下面要写“键: 值”", "`key: value` lines are expected below it")
        return error(tree.place(spot, key=True), "empty_value", fact, advice)
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, Unreadable):
        return error(tree.place(spot), cause.code, cause.fact, cause.advice)
    if item["type"] == "invalid_key" and tree.at(spot) is None and name.isdecimal():
        return error(tree.place(spot, key=True), "unknown_key", *_unknown_key(name, (), None))
    if item["type"] == "extra_forbidden":
        fact, advice = _unknown_key(name, _keys(_annotation_at(model, loc[:-1])), item["input"])
        return error(tree.place(spot, key=True), "unknown_key", fact, advice)
    if item["type"] == "missing":
        owner = _model_at(model, loc[:-1])
        return _missing(name, MEANINGS.get(owner, {}).get(name), tree.place(spot[:-1], key=True))
    fact, advice = _wrong_type(model, loc, item, tree.at(spot))
    return error(tree.place(spot), "wrong_type", fact, advice)


def _is_misspelt(item: ErrorDetails, model: type[BaseModel], all_: list[ErrorDetails]) -> bool:
    """A missing key that stands there with a typing error: one mistake, one message."""
    if item["type"] != "missing":
        return False
    near = item["loc"][:-1]
    known = _keys(_annotation_at(model, near))
    typed = [e for e in all_ if e["type"] == "extra_forbidden" and e["loc"][:-1] == near]
    names = [str(e["loc"][-1]) for e in typed]
    return item["loc"][-1] in [meant_by(re.split("[:：]", name)[0], known) for name in names]


def _unknown_key(name: str, known: Sequence[str], value: Any) -> tuple[Text, Text]:
    glued = slips.no_colon(name)
    if glued is not None:
        return glued
    if re.fullmatch(r"\d+(\s*\D\S*)?", name) and value is None:
        fact = Text(
            f"逗号把 `{name}` 分成了另一项", f"the comma makes `{name}` an entry of its own"
        )
        advice = Text(
            "小数点用英文句点，如 0.07；千位不分隔，如 9600",
            "a decimal point is a full stop: 0.07; thousands stand together: 9600",
        )
        return fact, advice
    fact = Text(f"这里没有 `{name}` 这个键", f"`{name}` is not a key here")
    elsewhere = [part for part, keys in _PARTS.items() if name in keys]
    if elsewhere and meant_by(name, known) is None:
        return fact, Text(
            f"`{name}` 写在 {elsewhere[0]} 下面", f"`{name}` belongs under `{elsewhere[0]}`"
        )
    return fact, did_you_mean(name, known)


def _missing(name: str, meaning: Text | None, place: Place) -> Problem:
    if name == "owner":
        return owner_missing(place)
    fact = Text(f"缺少 `{name}`", f"`{name}` is missing")
    said = meaning or Text("…", "...")
    advice = Text(f"加上 {name}：{said.zh}", f"add {name}: {said.en}")
    return error(place, "missing_key", fact, advice)


def owner_missing(place: Place, said: str = "") -> Problem:
    """An alarm that nobody answers for; `said` is what stands there in a post's place."""
    fact = Text("没有责任人：报警会没人管", "no owner: an alarm here would be nobody's")
    advice = Text("加上 owner: 岗位（如 电工班）", "add owner: the post that answers for it")
    if said:
        fact = Text(
            f"`{said}` 不是岗位：报警会没人管",
            f"`{said}` is no post: an alarm here would be nobody's",
        )
        advice = Text("写上 owner: 岗位（如 电工班）", "write the post that answers for it")
    return error(place, "owner_missing", fact, advice)


_EXPECTED = {
    "int_type": Text("这里要整数", "a whole number is expected"),
    "string_type": Text("这里要文字", "text is expected"),
    "bool_type": Text("这里要 true 或 false", "true or false is expected"),
    "dict_type": Text("这里要“键: 值”", "`key: value` lines are expected"),
    "model_type": Text("这里要“键: 值”", "`key: value` lines are expected"),
    "list_type": Text("这里要列表 [a, b]", "a list [a, b] is expected"),
    "too_short": Text("列表太短", "the list is too short"),
    "too_long": Text("太多了", "there are too many"),
    "string_too_short": Text("不能为空", "it must not be empty"),
    "string_too_long": Text("文字太长", "the text is too long"),
    "invalid_key": Text("键要加引号", "put the key in quotes"),
}
_ID = Text("只能用字母、数字、- 和 _，最多 64 个", "only letters, digits, - and _, at most 64")
_MQTT_SIGNS = Text("（/ + # 在 MQTT 主题里有特殊含义）", " (/ + # have a meaning in MQTT topics)")


def _wrong_type(
    model: type[BaseModel], loc: tuple[int | str, ...], item: ErrorDetails, typed: Any
) -> tuple[Text, Text]:
    text, kind, value = shown(typed), item["type"], item["input"]
    fact = Text(f"`{text}` 不能用在这里", f"`{text}` does not fit here")
    if kind in ("enum", "literal_error"):
        return fact, did_you_mean(text, _choices(_annotation_at(model, loc)))
    if kind in ("greater_than_equal", "less_than_equal"):
        return fact, _bound(item, typed, _model_at(model, loc[:-1]), str(loc[-1]))
    if kind == "string_pattern_mismatch" and not text.strip():
        return fact, _EXPECTED["string_too_short"]
    if kind == "string_pattern_mismatch":
        plain = (slips.full_width(text) or text).strip("\"' ")
        if plain != text and re.fullmatch("[A-Za-z0-9_-]+", plain):
            return fact, Text(
                f"用英文半角输入：{plain}", f"it holds Chinese or full-width signs: type {plain}"
            )
        signs = _MQTT_SIGNS if set(text) & set("/+#") else Text("", "")
        return fact, Text(_ID.zh + signs.zh, _ID.en + signs.en)
    if kind in ("dict_type", "model_type"):
        return _no_mapping(fact, value)
    return fact, _as_meant(kind, value) or _EXPECTED.get(kind, Text(item["msg"], item["msg"]))


def _bound(item: ErrorDetails, typed: Any, model: str, key: str) -> Text:
    ctx = item.get("ctx", {})
    zh, en, bound = (
        ("最小", "at least", ctx["ge"]) if "ge" in ctx else ("最大", "at most", ctx["le"])
    )
    if (model, key) == ("DevicePart", "unit"):
        return Text("站号是 1 到 247", "units are 1 to 247")
    if model == "PanelPart":
        return Text(
            "引脚写 BCM 编号（0 到 27），不是排针的序号",
            "pins are BCM numbers (0 to 27), not positions on the header",
        )
    shown_bound = duration(bound) if isinstance(typed, str) else str(bound)
    return Text(f"{zh} {shown_bound}", f"{en} {shown_bound}")


def _no_mapping(fact: Text, value: Any) -> tuple[Text, Text]:
    if isinstance(value, list):
        fact = Text("这里是列表（- 开头）", "this is a list (`- ` in front)")
        return fact, Text(
            "去掉 `- `，每一项以名字开头：名字: {…}",
            "without `- `: each entry begins with its name: name: {...}",
        )
    meant = slips.no_colon(value) if isinstance(value, str) else None
    return meant or (fact, _EXPECTED["dict_type"])


def _as_meant(kind: str, value: Any) -> Text | None:
    """The right spelling, where it can be guessed."""
    if kind == "string_type" and isinstance(value, int | float | Decimal):
        said = shown(value)
        return Text(f'这里要文字：加引号 "{said}"', f'text is expected: put it in quotes "{said}"')
    if kind == "list_type":
        one = shown(value)
        return Text(f"这里要列表：写成 [{one}]", f"a list is expected: write [{one}]")
    if not isinstance(value, str):
        return None
    if kind == "int_type":
        plain = (slips.full_width(value) or value).strip()
        if (number := re.match(r"(\d{1,9})#", plain)) is not None:
            return Text(
                f"# 前面留一个空格：{number[1]} #…", f"leave a space before the #: {number[1]} #..."
            )
        digits = re.fullmatch(r"(?i:gpio|bcm|pin)?\s*(\d{1,9})", plain)
        if digits is not None and digits[1].isascii():
            return Text(
                f"这里要整数：写成 {int(digits[1])}，不加引号和别的字",
                f"a whole number is expected: write {int(digits[1])}, no quotes, nothing else",
            )
    words = {"yes": "true", "on": "true", "是": "true", "1": "true"}
    words |= {"no": "false", "off": "false", "否": "false", "0": "false"}
    if kind == "bool_type" and value.strip().lower() in words:
        right = words[value.strip().lower()]
        return Text(f"写成 {right}", f"write {right}")
    return None


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


def _model_at(model: Any, loc: tuple[int | str, ...]) -> str:
    """The name of the model that holds what stands at `loc`."""
    inside = _inside(_annotation_at(model, loc))
    models = [m for m in inside if isinstance(m, type) and issubclass(m, BaseModel)]
    return models[0].__name__ if models else ""


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
