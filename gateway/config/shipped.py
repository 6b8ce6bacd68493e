"""Where the files that come with the gateway lie: profiles, default rules, example sites."""

from pathlib import Path


def shipped_dir() -> Path:
    """The folder with `profiles/` and `rules/`: inside the wheel, or the checkout's `config/`."""
    package = Path(__file__).resolve().parent.parent
    packed = package / "_config"
    return packed if packed.is_dir() else package.parent / "config"
