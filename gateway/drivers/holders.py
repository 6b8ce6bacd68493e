"""Which programs have a device open, as far as the one who asks may see."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/")


@dataclass(frozen=True, slots=True)
class Holder:
    """`name` is the kernel's, at most 15 letters; `command` how it was started."""

    pid: int
    name: str
    command: str

    @property
    def is_gateway(self) -> bool:
        """Whether it looks like a daemon of ours, this one or another."""
        words = self.command.split("\0")
        return "run" in words and any(
            word.endswith("care-gateway") or word == "gateway" for word in words
        )


def holders(node: Path, root: Path = ROOT) -> list[Holder]:
    """Every program that has `node`, a real path, open; `root` stands for `/`."""
    return sorted(_holders(node, root), key=lambda holder: holder.pid)


def _holders(node: Path, root: Path) -> Iterator[Holder]:
    for folder in (root / "proc").glob("[0-9]*/fd"):
        try:
            is_open = any(entry.readlink() == node for entry in folder.iterdir())
        except OSError:  # ended meanwhile, or not ours to see
            continue
        if is_open:
            process = folder.parent
            name = _text(process / "comm").strip() or "?"
            yield Holder(int(process.name), name, _text(process / "cmdline"))


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:  # ended meanwhile
        return ""
