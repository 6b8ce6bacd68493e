"""How long, as people type it: `60`, `60s`, `500ms`, `5m`, `1h`."""

import re
from functools import partial
from math import inf
from typing import Any

import typer

_SECONDS = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def duration(text: object, *, least: float = 0.0, most: float = inf) -> float:
    """Return seconds, `least` to `most`; BadParameter for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)", str(text).strip())
    if match is None:
        raise typer.BadParameter(f"{str(text)!r}: 60s, 5m, 1h")
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not least <= seconds <= most:
        raise typer.BadParameter(f"{str(text)!r}: {least:g}s ... {most:g}s")
    return seconds


def time_option(name: str, words: str, *, least: float = 0.0, most: float = inf) -> Any:
    """An option that takes such a time."""
    parser = partial(duration, least=least, most=most)
    parser.__name__ = "TIME"  # type: ignore[attr-defined]
    return typer.Option(name, help=words, parser=parser, metavar="TIME")
