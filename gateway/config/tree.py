"""YAML text as plain data that remembers where each part of it was written."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.config import slips
from gateway.config.problems import Level, Place, Problem
from gateway.domain.system_errors import why
from gateway.domain.text import Text

MAX_BYTES = 1 << 20
MAX_DEPTH = 24
MOST_OPEN = 4 * MAX_DEPTH  # brackets; some may stand in a text
MOST_DIGITS = 64
_TAG = "tag:yaml.org,2002:"
_SCALARS = ("null", "bool", "int", "float", "str", "timestamp")
_BASES = {"0x": 16, "0o": 8, "0b": 2}

Where = tuple[Hashable, ...]  # keys and indexes from the top of a file down to one part of it


@dataclass(frozen=True, slots=True)
class Tree:
    """One file. `data` holds dict, list, str, int, bool, None, and Decimal for other numbers."""

    file: str
    raw: bytes
    lines: tuple[str, ...]
    root: Node
    data: Any

    def at(self, where: Where) -> Any:
        """The data at that spot, or None when there is none."""
        found = self.data
        for step in where:
            found = _child(found, step)
        return found

    def place(self, where: Where, *, key: bool = False) -> Place:
        """Where it is written: the value, or its key; the nearest thing above it if it is not."""
        node, key_node = self.root, self.root
        for step in where:
            pair = _pair(node, step)
            if pair is None:
                return self.mark(key_node)
            key_node, node = pair
        return self.mark(key_node if key or not isinstance(node, ScalarNode) else node)

    def mark(self, node: Node) -> Place:
        start, end = node.start_mark, node.end_mark
        text = self.lines[start.line] if start.line < len(self.lines) else ""
        length = end.column - start.column if end.line == start.line else len(text) - start.column
        return Place(self.file, start.line + 1, start.column + 1, text, max(1, length))


def read_tree(path: Path, file: str, found: list[Problem]) -> Tree | None:
    """The file at `path`, called `file` in messages; None when it cannot be read as YAML."""
    raw = _read(path, file, found)
    text = None if raw is None else _decode(raw, file, found)
    if raw is None or text is None:
        return None
    lines = tuple(text.split("\n"))
    if (refused := _unread(lines, file)) is not None:
        found.append(refused)
        return None
    root = _compose(text, lines, file, found)
    if root is None:
        return None
    tree, before = Tree(file, raw, lines, root, None), len(found)
    data = _plain(root, tree, (), [], found)
    if any(problem.code in ("yaml_alias", "too_deep") for problem in found[before:]):
        return None  # parts are missing: what else could be said would mislead
    return Tree(file, raw, lines, root, data)


def _read(path: Path, file: str, found: list[Problem]) -> bytes | None:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        said = why(error)
        fact = Text(f"读不了这个文件：{said.zh}", f"this file cannot be read: {said.en}")
        advice = Text("检查路径和权限", "check the path and the permissions")
        found.append(Problem(Place(file), Level.ERROR, "file_unreadable", fact, advice))
        return None
    if len(raw) > MAX_BYTES:
        fact = Text("文件大于 1 MiB", "the file is larger than 1 MiB")
        advice = Text("这不像配置文件", "this does not look like a configuration file")
        found.append(Problem(Place(file), Level.ERROR, "file_too_large", fact, advice))
        return None
    return raw


def _decode(raw: bytes, file: str, found: list[Problem]) -> str | None:
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        found.append(_not_utf8(raw, error, file))
        return None


def _not_utf8(raw: bytes, error: UnicodeDecodeError, file: str) -> Problem:
    advice = Text("在编辑器里另存为 UTF-8，再检查", "save the file as UTF-8 in the editor")
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        fact = Text(
            "文件存成了 UTF-16（记事本的“Unicode”）",
            'the file is saved as UTF-16 (what Notepad calls "Unicode")',
        )
        return Problem(Place(file), Level.ERROR, "not_utf8", fact, advice)
    ahead = raw[: error.start].decode("utf-8-sig", "replace")
    line, column = ahead.count("\n") + 1, len(ahead) - ahead.rfind("\n")
    typed = raw.split(b"\n")[line - 1].rstrip(b"\r")
    try:
        raw.decode("gb18030")
        text = typed.decode("gb18030")
        fact = Text("文件存成了 GBK，不是 UTF-8", "the file is saved as GBK, not as UTF-8")
    except UnicodeDecodeError:
        text = typed.decode("utf-8", "replace")
        byte = f"0x{raw[error.start]:02X}"
        fact = Text(f"文件不是 UTF-8：字节 {byte}", f"the file is not UTF-8: byte {byte}")
    return Problem(Place(file, line, column, text), Level.ERROR, "not_utf8", fact, advice)


def _unread(lines: tuple[str, ...], file: str) -> Problem | None:
    """What is not worth parsing: another dialect, or brackets that take minutes to follow."""
    open_now = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("%") and not any(_says(above) for above in lines[: number - 1]):
            fact, advice = slips.directive(line)
            return Problem(Place(file, number, 1, line), Level.ERROR, "directive", fact, advice)
        if "{" not in line and "[" not in line:
            open_now -= line.count("}") + line.count("]")
            continue
        for column, char in enumerate(line, 1):
            open_now += (char in "{[") - (char in "}]")
            if open_now > MOST_OPEN:
                return _too_deep(Place(file, number, column, line))
    return None


def _says(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(("#", "%"))


def _compose(text: str, lines: tuple[str, ...], file: str, found: list[Problem]) -> Node | None:
    try:
        root = YAML(typ="safe", pure=True).compose(text)
    except RecursionError:
        found.append(_too_deep(Place(file)))
        return None
    except YAMLError as error:
        found.append(slips.problem_of(error, lines, file))
        return None
    if isinstance(root, MappingNode):
        return root
    found.append(_not_a_mapping(root, lines, file))
    return None


def _beginning_of(path: Path) -> Text:
    """What a file of this kind begins with."""
    if path.parent.name == "profiles":
        return Text(
            f"照 docs/adding-a-device.md 写：第一行是 profile: {path.stem}",
            f"see docs/adding-a-device.md: `profile: {path.stem}` first",
        )
    if path.name == "people.yaml":
        return Text(
            "从 people.example.yaml 开始改：第一行是 people:",
            "start from people.example.yaml: `people:` first",
        )
    return Text(
        "从 site.example.yaml 开始改：第一行是 site:", "start from site.example.yaml: `site:` first"
    )


def _not_a_mapping(root: Node | None, lines: tuple[str, ...], file: str) -> Problem:
    advice = _beginning_of(Path(file))
    if root is None:
        fact = Text("文件是空的（或只有注释）", "the file is empty, or has only comments")
        return Problem(Place(file), Level.ERROR, "empty_file", fact, advice)
    at = root.start_mark.line
    place = Place(file, at + 1, root.start_mark.column + 1, lines[at])
    if isinstance(root, SequenceNode):
        fact = Text("文件的最外层是列表（- 或 [）", "the file begins with a list (`-` or `[`)")
        return Problem(place, Level.ERROR, "not_a_mapping", fact, advice)
    meant = slips.no_colon(str(root.value))
    fact, better = meant or (
        Text("文件里没有“键: 值”", "the file holds no `key: value` lines"),
        advice,
    )
    return Problem(place, Level.ERROR, "not_a_mapping", fact, better)


def _alias(place: Place) -> Problem:
    fact = Text("不支持 & * <<（锚点、引用、合并）", "`&`, `*` and `<<` are not supported here")
    advice = Text("把内容完整写出来", "write the content out at each place")
    return Problem(place, Level.ERROR, "yaml_alias", fact, advice)


def _too_deep(place: Place) -> Problem:
    fact = Text(f"嵌套超过 {MAX_DEPTH} 层", f"nested deeper than {MAX_DEPTH} levels")
    advice = Text("检查括号和缩进", "check the brackets and the indentation")
    return Problem(place, Level.ERROR, "too_deep", fact, advice)


def _plain(node: Node, tree: Tree, where: Where, seen: list[Node], found: list[Problem]) -> Any:
    if node.anchor is not None:
        if not any(node is other for other in seen):
            found.append(_alias(tree.mark(node)))
            seen.append(node)
        return None
    if len(where) > MAX_DEPTH:
        found.append(_too_deep(tree.mark(node)))
        return None
    match node:
        case MappingNode():
            return _mapping(node, tree, where, seen, found)
        case SequenceNode():
            items = enumerate(node.value)
            return [_plain(item, tree, (*where, i), seen, found) for i, item in items]
        case ScalarNode():
            return _scalar(node, tree, found)
    return None


def _mapping(
    node: MappingNode, tree: Tree, where: Where, seen: list[Node], found: list[Problem]
) -> dict[Hashable, Any]:
    data: dict[Hashable, Any] = {}
    first: dict[Hashable, Node] = {}
    for key_node, value_node in node.value:
        if key_node.tag == f"{_TAG}merge":
            found.append(_alias(tree.mark(key_node)))
            continue
        key = _scalar(key_node, tree, found) if isinstance(key_node, ScalarNode) else None
        if isinstance(key, int) and str(key) != key_node.value:
            key = str(key_node.value)  # `001` is a staff code, not one
        if not isinstance(key, str | int):
            fact = Text("键必须是名字或整数", "a key must be a name or a whole number")
            advice = Text("改成 名字: 值", "write it as name: value")
            found.append(Problem(tree.mark(key_node), Level.ERROR, "bad_key", fact, advice))
        elif isinstance(key, str) and (odd := slips.INVISIBLE.match(key)):
            place = replace(tree.mark(key_node), length=odd.end())
            found.append(Problem(place, Level.ERROR, "odd_space", *slips.odd_space()))
        elif key in data:
            found.append(_duplicate(key, where, tree.mark(key_node), tree.mark(first[key])))
        else:
            first[key] = key_node
            data[key] = _plain(value_node, tree, (*where, key), seen, found)
    return data


def _duplicate(key: Hashable, where: Where, again: Place, first: Place) -> Problem:
    whats = {"devices": Text("设备", "device"), "buses": Text("总线", "bus")}
    what = whats.get(str(where[0])) if len(where) == 1 else None
    if what is None:
        fact = Text(f"键 `{key}` 写了两次", f"the key `{key}` is given twice")
        advice = Text("只留一个", "keep one of them")
    else:
        fact = Text(f"两个{what.zh}都叫 `{key}`", f"two entries name the same {what.en} `{key}`")
        advice = Text("给其中一个改名", "give one of them another name")
    return Problem(again, Level.ERROR, "duplicate_key", fact, advice, (first,))


def _scalar(node: ScalarNode, tree: Tree, found: list[Problem]) -> Any:
    tag, text = str(node.tag), str(node.value)
    kind = tag.removeprefix(_TAG)
    if kind not in _SCALARS:
        fact = Text(f"不认识的 YAML 标签 `{tag}`", f"unknown YAML tag `{tag}`")
        advice = Text("去掉它", "remove it")
        found.append(Problem(tree.mark(node), Level.ERROR, "yaml_tag", fact, advice))
        return text or None
    if (odd := slips.UNFIT.search(text)) is not None:
        found.append(Problem(tree.mark(node), Level.ERROR, *slips.unfit(odd[0])))
        return slips.UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)
    if kind in ("int", "float") and len(text) > MOST_DIGITS:
        return text  # what is expected there says what is wrong with it
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                digits = text.replace("_", "")
                return int(digits, _BASES.get(digits.lstrip("+-")[:2].lower(), 10))
            case "float":
                return Decimal(
                    text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan")
                )
    except (ValueError, InvalidOperation):
        return text
    return text


def _child(data: Any, step: Hashable) -> Any:
    if isinstance(data, dict):
        if step in data:
            return data[step]
        return next((data[key] for key in data if str(key) == step), None)  # a device named 7
    if isinstance(data, list) and isinstance(step, int) and 0 <= step < len(data):
        return data[step]
    return None


def _pair(node: Node, step: Hashable) -> tuple[Node, Node] | None:
    """Key node and value node; for an item of a list, the item twice."""
    if isinstance(node, SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    if isinstance(node, MappingNode):
        for key_node, value_node in node.value:
            if isinstance(key_node, ScalarNode) and key_node.value == str(step):
                return key_node, value_node
    return None
