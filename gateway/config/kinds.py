"""Kinds of points: their unit, their deadband and the default rules that come with them."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.problems import Problem
from gateway.config.quantities import Quantity
from gateway.config.schema import KindPart, KindRulePart
from gateway.config.tree import Tree, read_tree
from gateway.config.validate import Settings, settings, validate

NAMES = re.compile(r"^([a-z][a-z0-9_]*):", re.MULTILINE)  # kinds stand at the left margin


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    unit: str
    deadband: Quantity | None
    rules: Mapping[str, Settings]
    is_at_worst_point: bool = False  # its limits hold there, not where the gauge is
    by_class: Mapping[str, str] = field(default_factory=dict)  # class of building -> kind instead


class Kinds(Mapping[str, Kind]):
    """All kinds of a folder of rules files; a file is read when one of its kinds is asked for.

    A house uses a few kinds, and reading YAML is most of what a start costs on a small board.
    Problems of a file are found when it is read.
    """

    def __init__(self, folder: Path, found: list[Problem]) -> None:
        self._found = found
        self._files = {
            name: path
            for path in sorted(folder.glob("*.yaml"))
            for name in NAMES.findall(path.read_text(encoding="utf-8", errors="replace"))
        }
        self._kinds: dict[str, Kind] = {}
        self._trees: dict[Path, Tree | None] = {}

    @property
    def trees(self) -> list[Tree]:
        """The files that were read, by name."""
        return [tree for _, tree in sorted(self._trees.items()) if tree is not None]

    def __getitem__(self, name: str) -> Kind:
        path = self._files[name]
        if path not in self._trees:
            tree = self._trees[path] = read_tree(path, f"config/rules/{path.name}", self._found)
            if tree is not None:
                names = [str(each) for each in tree.data]
                self._kinds |= {each: _kind(each, tree, self._found) for each in names}
        return self._kinds[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def _kind(name: str, tree: Tree, found: list[Problem]) -> Kind:
    part = validate(KindPart, tree, (name,), found)
    rules = {}
    for rule in part.rules:
        where = (name, "rules", rule)
        rules[str(rule)] = settings(validate(KindRulePart, tree, where, found), tree, where)
    unit, by_class = part.unit or "", part.by_class or {}
    return Kind(name, unit, part.deadband, rules, bool(part.at_worst_point), by_class)
