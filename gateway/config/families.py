"""Every profile there is, the site's own and the shipped, as the families a scan looks for."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from gateway.config.kinds import Kind, Kinds
from gateway.config.problems import Place, Problem
from gateway.config.profiles import Expectation, Profile, Shelf, find_profile
from gateway.config.shipped import shipped_dir
from gateway.config.tree import read_tree
from gateway.config.validate import value_of
from gateway.domain.families import Family, Hint, LineSetting
from gateway.domain.points import Point


def read_families(site_dir: Path) -> tuple[tuple[Family, ...], tuple[Problem, ...]]:
    """All families by profile name, and what is wrong with the files of those that are not there.

    `site_dir` is the folder of the site file; its own `profiles/` win over shipped ones of the
    same name. Layouts that only serve others as a base are no families.
    """
    found: list[Problem] = []
    shelf = Shelf(site_dir, shipped_dir(), Kinds(shipped_dir() / "rules", found))
    families = []
    for name in shelf.names():
        if _is_base(name, shelf):
            continue
        profile = find_profile(name, Place(name, 0, 0, "", 0), shelf, found)
        if profile is not None and profile.is_sound:
            families.append(_family(profile, shelf.kinds))
    return tuple(families), tuple(problem for problem in found if problem.is_error)


def read_family(site_dir: Path, name: str) -> Family | None:
    """One family by its profile's name; None when there is none that could be used."""
    found: list[Problem] = []
    shelf = Shelf(site_dir, shipped_dir(), Kinds(shipped_dir() / "rules", found))
    profile = find_profile(name, Place(name, 0, 0, "", 0), shelf, found)
    return None if profile is None or not profile.is_sound else _family(profile, shelf.kinds)


def profile_names(site_dir: Path) -> list[str]:
    """The names of the profiles that a site may use: its own and the shipped ones."""
    folders = (site_dir / "profiles", shipped_dir() / "profiles")
    return sorted({file.stem for folder in folders for file in folder.glob("*.yaml")})


def profile_digest(site_dir: Path, name: str) -> str:
    """The first twelve digits of the SHA-256 of a profile's file; "" where there is none."""
    own = site_dir / "profiles" / f"{name}.yaml"
    path = own if own.is_file() else shipped_dir() / "profiles" / f"{name}.yaml"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    except OSError:
        return ""


def _is_base(name: str, shelf: Shelf) -> bool:
    """True for a file without points and without a base of its own."""
    own = shelf.site_dir / "profiles" / f"{name}.yaml"
    path = own if own.is_file() else shelf.shipped / "profiles" / f"{name}.yaml"
    tree = read_tree(path, name, [])
    data = tree.data if tree is not None else None
    return isinstance(data, dict) and not data.get("points") and not data.get("extends")


def _family(profile: Profile, kinds: Mapping[str, Kind]) -> Family:
    said = profile.serial
    return Family(
        profile=profile.name,
        maker=profile.maker,
        model=profile.model,
        confidence=profile.confidence,
        points=tuple(profile.points.values()),
        hints=tuple(
            _hint(profile.points[name], expected)
            for name, expected in profile.probe.items()
            if name in profile.points
        ),
        line=None if said is None else LineSetting(said.baud, said.parity, said.stop_bits),
        max_registers=profile.max_registers,
        barriers=profile.barriers,
        channels=profile.channels,
        source=profile.source,
        notes=profile.notes,
        unverified="" if profile.unverified is None else profile.unverified.en,
        needs=tuple(_needs(profile, kinds)),
    )


def _needs(profile: Profile, kinds: Mapping[str, Kind]) -> Iterator[str]:
    """The rules of its points for which there is no default limit."""
    for point in profile.points.values():
        for name, given in kinds[point.kind].rules.items() if point.kind else ():
            if "needs" in given and not value_of(given, "where_possible", default=False):
                yield f"{point.name}/{name}"


def _hint(point: Point, expected: Expectation) -> Hint:
    if isinstance(expected, frozenset):
        return Hint(point, values=expected)
    return Hint(point, *expected)
