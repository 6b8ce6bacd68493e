"""What a terminal shows, as an SVG: `python -m scripts.drawing COLUMNS FILE <captured`.

Rich draws it. Its web font is left out: a picture of this repository asks no other host.
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

TITLE = "scripts/demo"
FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)


def draw(captured: str, columns: int) -> str:
    """Return the page, with its colours, as SVG."""
    console = Console(
        record=True, width=columns, file=io.StringIO(), force_terminal=True,
        color_system="truecolor", legacy_windows=False,
    )  # fmt: skip
    for line in captured.rstrip("\n").split("\n"):
        console.print(Text.from_ansi(line), no_wrap=True, overflow="crop", crop=True)
    return FONT_FACE.sub("", console.export_svg(title=TITLE, unique_id="demo")) + "\n"


if __name__ == "__main__":
    columns, file = int(sys.argv[1]), Path(sys.argv[2])
    file.write_text(draw(sys.stdin.read(), columns), "utf-8")
