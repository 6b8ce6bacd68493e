"""Kinds of points: their unit, their deadband and the default rules that come with them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.config.problems import Problem
from gateway.config.quantities import Quantity
from gateway.config.schema import KindPart, KindRulePart
from gateway.config.tree import Tree, read_tree
from gateway.config.validate import Settings, settings, validate


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    unit: str
    deadband: Quantity | None
    rules: Mapping[str, Settings]


def read_kinds(shipped: Path, found: list[Problem]) -> tuple[dict[str, Kind], list[Tree]]:
    """All kinds of `<shipped>/rules/*.yaml` by name, and the files they came from."""
    kinds: dict[str, Kind] = {}
    trees = []
    for path in sorted((shipped / "rules").glob("*.yaml")):
        tree = read_tree(path, f"config/rules/{path.name}", found)
        if tree is not None:
            trees.append(tree)
            kinds |= {str(name): _kind(str(name), tree, found) for name in tree.data}
    return kinds, trees


def _kind(name: str, tree: Tree, found: list[Problem]) -> Kind:
    part = validate(KindPart, tree, (name,), found)
    rules = {}
    for rule in part.rules:
        where = (name, "rules", rule)
        rules[str(rule)] = settings(validate(KindRulePart, tree, where, found), tree, where)
    return Kind(name, part.unit or "", part.deadband, rules)
