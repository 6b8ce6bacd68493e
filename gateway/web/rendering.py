"""Templates and own files, read once at start: nothing is asked of the disk while serving."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.domain.text import Lang
from gateway.web.page import Shown, content_of
from gateway.web.words import UNITS, WORDS

HERE = Path(__file__).parent
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media_type: str
    version: str


def load_assets() -> dict[str, Asset]:
    """Return every own file by its name."""
    found = {}
    for path in sorted((HERE / "static").iterdir()):
        body = path.read_bytes()
        version = hashlib.sha256(body).hexdigest()[:12]
        found[path.name] = Asset(body, TYPES[path.suffix], version)
    return found


@dataclass(frozen=True, slots=True)
class Pages:
    """What can be shown: the whole page, its changing part, and the page that is not there."""

    whole: Callable[[Shown, Lang], str]
    part: Callable[[Shown, Lang], str]
    missing: Callable[[Lang], str]
    visit: Callable[..., str]  # template, what it places -> a page for a patroller's phone


def load_pages(assets: dict[str, Asset]) -> Pages:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def asset(name: str) -> str:
        """The address changes with the file: a browser may keep it for ever."""
        return f"/static/{name}?v={assets[name].version}"

    environment.globals["asset"] = asset
    page = environment.get_template("page.html")
    now = environment.get_template("now.html")
    problem = environment.get_template("problem.html")

    def whole(shown: Shown, lang: Lang) -> str:
        units = "|".join(unit.in_(lang) for unit in UNITS)
        return page.render(units=units, **content_of(shown, lang))

    def missing(lang: Lang) -> str:
        words = {key: text.in_(lang) for key, text in WORDS.items()}
        return problem.render(lang=lang.value, words=words)

    def visit(template: str, **content: object) -> str:
        return environment.get_template(template).render(**content)

    def part(shown: Shown, lang: Lang) -> str:
        return now.render(**content_of(shown, lang))

    return Pages(whole, part, missing, visit)
