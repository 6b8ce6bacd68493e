"""The wiring pictures of docs/hardware.md: `python -m scripts.wiring` draws them anew.

A test says when that is needed, and when a label cannot be read.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from gateway.domain.text import Lang
from scripts.wiring import clock, contacts, panel, reader, rs485
from scripts.wiring.shapes import Picture, Say, clashes, speaker, svg

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "images"
PICTURES: dict[str, Callable[[Say], Picture]] = {
    "rs485": rs485.draw,
    "contacts": contacts.draw,
    "panel": panel.draw,
    "reader": reader.draw,
    "clock": clock.draw,
}


def files() -> Iterator[tuple[Path, Picture, str]]:
    """Each picture in each language: where it lies, what it shows and its text."""
    for name, draw in PICTURES.items():
        for lang in Lang:
            picture = draw(speaker(lang))
            yield FOLDER / f"wiring-{name}-{lang}.svg", picture, svg(picture, lang)


if __name__ == "__main__":
    for path, picture, text in files():
        for clash in clashes(picture):
            print(f"{path.name}: {clash}")
        path.write_text(text, "utf-8")
