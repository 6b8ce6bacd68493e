"""The JSON Schema of the configuration files, for editors that complete and check while typing.

It says what a file may look like. What only a whole site shows (two devices with one unit, limits
in the right unit, profiles that exist) is said by `care-gateway check`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from gateway.config.institutions import institution_types
from gateway.config.kinds import Kinds
from gateway.config.problems import Problem
from gateway.config.quantities import KNOWN_UNITS, duration
from gateway.config.schema import KindPart, ProfilePart, SiteFile
from gateway.config.words import MEANINGS
from gateway.domain.text import Lang, Text

DIALECT = "https://json-schema.org/draft/2020-12/schema"
JsonSchema = dict[str, Any]


class FileKind(StrEnum):
    """The three kinds of configuration file."""

    SITE = "site"
    PROFILE = "profile"
    RULES = "rules"


_MODELS: Mapping[FileKind, type[BaseModel]] = {
    FileKind.SITE: SiteFile,
    FileKind.PROFILE: ProfilePart,
    FileKind.RULES: KindPart,
}
_TITLES = {
    FileKind.SITE: Text("站点文件 site.yaml", "site file site.yaml"),
    FileKind.PROFILE: Text("设备档案 profiles/*.yaml", "device profile profiles/*.yaml"),
    FileKind.RULES: Text("默认规则 rules/*.yaml", "default rules rules/*.yaml"),
}
_DROPPED = ("title", "description")


@dataclass(frozen=True, slots=True)
class _Made:
    """What is put together while the models' own schema is walked."""

    lang: Lang
    offers: Mapping[str, list[str]]
    parts: dict[str, JsonSchema] = field(default_factory=dict)


def json_schema(kind: FileKind, lang: Lang, shipped: Path) -> JsonSchema:
    """The schema of one kind of file, its descriptions in `lang` (JSON Schema 2020-12).

    `shipped` is the folder whose profiles and kinds are offered as examples.
    """
    model = _MODELS[kind]
    raw = model.model_json_schema()
    made = _Made(lang, _offers(shipped))
    for name, part in raw.pop("$defs", {}).items():
        tidy = _tidy(part, made)
        if "$ref" not in tidy:
            made.parts[name] = tidy
    top = _tidy(raw, made)
    if kind is FileKind.RULES:
        top = {"type": "object", "additionalProperties": top}
    else:
        top = made.parts.pop(model.__name__)
    return {
        "$schema": DIALECT,
        "$id": f"urn:care-gateway:schema:{kind}",
        "title": _TITLES[kind].in_(lang),
        **top,
        "$defs": made.parts,
    }


def _offers(shipped: Path) -> Mapping[str, list[str]]:
    """What an editor can offer for a key."""
    found: list[Problem] = []
    kinds = Kinds(shipped / "rules", found)
    return {
        "profile": sorted(path.stem for path in (shipped / "profiles").glob("*.yaml")),
        "kind": sorted(kinds),
        "timezone": ["Asia/Shanghai"],
        "institution": list(institution_types(shipped / "institutions")),
        "serial": ["/dev/serial/by-path/"],
        "unit": list(KNOWN_UNITS),
    }


def _tidy(node: Any, made: _Made) -> Any:
    """Without what pydantic adds for itself (titles, docstrings, null); models become parts."""
    if isinstance(node, list):
        return [_tidy(item, made) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _tidy(value, made) for key, value in node.items() if key not in _DROPPED}
    if node.get("title") in MEANINGS:
        kept.pop("default", None)
        return _part(node["title"], kept, made)
    arms = [arm for arm in kept.pop("anyOf", []) if arm != {"type": "null"}]
    kept |= arms[0] if len(arms) == 1 else {"anyOf": arms} if arms else {}
    if {"const": 0} in arms and isinstance(kept.get("default"), int):
        kept["default"] = duration(kept["default"])
    if kept.get("default") in (None, "", {}, []):
        kept.pop("default", None)
    return kept


def _part(name: str, part: JsonSchema, made: _Made) -> JsonSchema:
    """The model under its name among the parts, each key with its meaning; a reference to it."""
    properties = part["properties"]
    for key, said in properties.items():
        said["description"] = MEANINGS[name][key].in_(made.lang)
        if key in made.offers and said.get("type") == "string":
            said["examples"] = made.offers[key]
    made.parts[name] = {**part, "properties": properties}
    return {"$ref": f"#/$defs/{name}"}
