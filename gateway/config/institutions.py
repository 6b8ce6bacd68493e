"""Types of institution (机构类别): one file each, `config/institutions/<type>.yaml`.

A type chooses how often rounds are to be walked and says on what grounds. Limits of points do not
depend on it: no source gives any that would. Only the file of the type that is asked for is read.
"""

from functools import cache
from pathlib import Path

from gateway.config.problems import Problem
from gateway.config.schema import DutyPart, InstitutionPart
from gateway.config.shipped import shipped_dir
from gateway.config.tree import Tree, read_tree
from gateway.config.validate import did_you_mean, validate, warning
from gateway.domain.institutions import Duty, Institution
from gateway.domain.text import Text


@cache
def institution_types(folder: Path | None = None) -> tuple[str, ...]:
    """The types that there are files of."""
    return tuple(sorted(path.stem for path in _in(folder).glob("*.yaml")))


def read_institution(type_: str, found: list[Problem], folder: Path | None = None) -> Institution:
    """What is asked of institutions of this type; nothing of one that there is no file of."""
    unknown = Institution(type_, Text(type_, type_))
    if type_ not in institution_types(folder):
        return unknown
    path = _in(folder) / f"{type_}.yaml"
    tree = read_tree(path, f"config/institutions/{path.name}", found)
    if tree is None:
        return unknown
    part = validate(InstitutionPart, tree, (), found)
    return Institution(
        type_, part.name, tuple(_duty(tree, str(name), found) for name in part.duties)
    )


def _duty(tree: Tree, name: str, found: list[Problem]) -> Duty:
    part = validate(DutyPart, tree, ("duties", name), found)
    return Duty(
        name, part.say, part.basis, part.edition or "", part.every, part.must, part.unverified
    )


def check_type(type_: str, tree: Tree, found: list[Problem]) -> None:
    """A type that nobody knows chooses nothing; that may be meant, and may be a slip."""
    if type_ and type_ not in institution_types():
        fact = Text(f"没有机构类别 `{type_}`", f"there is no type of institution `{type_}`")
        advice = did_you_mean(type_, institution_types())
        place = tree.place(("site", "institution"))
        found.append(warning(place, "unknown_institution", fact, advice))


def _in(folder: Path | None) -> Path:
    return folder or shipped_dir() / "institutions"
